package run

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// insist sends a signal that asks for the end, and has a paused container go
// on: before that nothing would come of it, not even of SIGKILL (runc issue
// 3132). The signal comes first, so that SIGKILL leaves the program no time.
func (r Runtime) insist(ctx context.Context, rec *Record, sig unix.Signal, ch *children) error {
	err := r.signal(ctx, rec, sig, ch)
	if err == nil {
		err = thaw(rec.Cgroups)
	}
	if !rec.Process.alive() {
		return nil
	}
	if err != nil {
		err = r.resume(ctx, rec, sig, ch, err)
	}
	if sig == unix.SIGKILL && r.kind() == kindRunsc {
		// The program in a sandbox that was paused while it started may be stuck,
		// and runsc refuses to signal one whose start was killed half-way.
		if rec.Process.signal(sig) == nil {
			err = nil
		}
	}
	return err
}

// resume has the runtime resume the container: a paused sandbox (runsc) takes no
// signal, and another user's cgroup is for the runtime to write to. Where that
// is not the matter, err is what is told.
func (r Runtime) resume(ctx context.Context, rec *Record, sig unix.Signal, ch *children, err error) error {
	if r.do(ctx, call{words: []string{"resume", rec.ID}, children: ch}) != nil {
		return err
	}
	return r.signal(ctx, rec, sig, ch)
}

// thaw has the processes of the cgroups go on.
func thaw(dirs []string) error {
	var errs []error
	for _, dir := range dirs {
		for name, value := range map[string]string{"freezer.state": "THAWED", "cgroup.freeze": "0"} {
			err := writeExisting(filepath.Join(dir, name), value)
			if err != nil && !errors.Is(err, os.ErrNotExist) {
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(errs...)
}

func writeExisting(path, value string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(value)
	return errors.Join(err, f.Close())
}
