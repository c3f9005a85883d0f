package run

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// Store is the directory of what is known about containers, one directory per
// ID below it:
//
//	container.json  the Record
//	status          locked by the monitor while it lives; the Outcome at the end
//	exit            the exit status in decimal digits, written last
//	pid             the pid of the first process
//	log             the output of a detached container
//	bundle/         a rewritten config.json, when the bundle's own did not do
//	runtime.log     what the runtime said
//	oom             exists when the kernel killed for lack of memory
//
// A directory appears by rename, with its lock already held. A status file
// that can be locked and is empty means that the monitor was killed.
type Store struct {
	dir string
}

const (
	recordFile = "container.json"
	statusFile = "status"
	exitFile   = "exit"
	pidFile    = "pid"
	logFile    = "log"
	oomFile    = "oom"
	bundleDir  = "bundle"
	runtimeLog = "runtime.log"
	tempPrefix = ".new-"
)

// OpenStore opens the store below the directory of run state, and makes it if
// need be. It refuses a directory that others own or can write: the default
// for an ordinary user without XDG_RUNTIME_DIR is in /tmp, where anybody can
// be first.
func OpenStore(runRoot string) (*Store, error) {
	dir := filepath.Join(runRoot, "containers")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fault.Hint(fmt.Errorf("make the directory of run state: %w", err), "set XDG_RUNTIME_DIR to a directory of your own")
	}
	for _, d := range []string{runRoot, dir} {
		var st unix.Stat_t
		if err := unix.Lstat(d, &st); err != nil {
			return nil, fmt.Errorf("look at %s: %w", d, err)
		}
		if st.Mode&unix.S_IFMT != unix.S_IFDIR || int(st.Uid) != os.Geteuid() || st.Mode&0o022 != 0 {
			return nil, fault.Refused("%s is not a directory that only you can write", d)
		}
	}
	return &Store{dir: dir}, nil
}

// Dir is the directory of the container.
func (s *Store) Dir(id string) string { return filepath.Join(s.dir, id) }

// claim is the store's side of a monitor: the locked directory of one
// container.
type claim struct {
	dir    string
	status *os.File
	rec    Record
}

// claim makes the directory of a new container and locks it. With a config,
// that becomes bundle/config.json. It fails with ErrTaken when the ID is in use.
func (s *Store) claim(rec Record, config []byte) (_ *claim, err error) {
	// The sweep of left-over directories holds the lock exclusively.
	unlock, err := s.lock(unix.LOCK_SH)
	if err != nil {
		return nil, err
	}
	defer unlock()
	temp, err := os.MkdirTemp(s.dir, tempPrefix)
	if err != nil {
		return nil, fmt.Errorf("claim container %s: %w", rec.ID, err)
	}
	defer func() {
		if err != nil {
			_ = os.RemoveAll(temp)
		}
	}()
	status, err := os.OpenFile(filepath.Join(temp, statusFile), os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("claim container %s: %w", rec.ID, err)
	}
	c := &claim{dir: temp, status: status, rec: rec}
	if err := errors.Join(flock(status, unix.LOCK_EX|unix.LOCK_NB), c.save(), c.putConfig(config)); err != nil {
		return nil, errors.Join(err, status.Close())
	}
	dir := s.Dir(rec.ID)
	if err := unix.Renameat2(unix.AT_FDCWD, temp, unix.AT_FDCWD, dir, unix.RENAME_NOREPLACE); err != nil {
		if errors.Is(err, unix.EEXIST) {
			err = ErrTaken
		}
		return nil, errors.Join(fmt.Errorf("claim container %s: %w", rec.ID, err), status.Close())
	}
	c.dir = dir
	return c, nil
}

// ErrTaken is behind the error of a start whose ID another container has.
var ErrTaken = errors.New("the ID is taken")

// save writes the record.
func (c *claim) save() error {
	data, err := json.Marshal(c.rec)
	if err != nil {
		return fmt.Errorf("encode the record of container %s: %w", c.rec.ID, err)
	}
	return replaceFile(filepath.Join(c.dir, recordFile), append(data, '\n'))
}

func (c *claim) putConfig(config []byte) error {
	if config == nil {
		return nil
	}
	dir := filepath.Join(c.dir, bundleDir)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return fmt.Errorf("make a bundle for the changed config: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "config.json"), config, 0o600); err != nil {
		return fmt.Errorf("write the changed config: %w", err)
	}
	return nil
}

// tell records the outcome for those who wait on the lock.
func (c *claim) tell(o Outcome) error {
	data, err := json.Marshal(o)
	if err != nil {
		return fmt.Errorf("encode the outcome of container %s: %w", c.rec.ID, err)
	}
	if _, err := c.status.Write(append(data, '\n')); err != nil {
		return fmt.Errorf("record the outcome of container %s: %w", c.rec.ID, err)
	}
	return nil
}

// vanish removes the directory, and then gives up the lock: who gets the ID
// next must not lose its own.
func (c *claim) vanish() error {
	err := removeWhole(c.dir)
	if err != nil {
		err = fmt.Errorf("forget container %s: %w", c.rec.ID, err)
	}
	return errors.Join(err, c.status.Close())
}

// finish records the outcome, also as a file of digits, written last, for
// scripts. The lock is given up.
func (c *claim) finish(o Outcome) error {
	var err error
	if o.OOM {
		err = os.WriteFile(filepath.Join(c.dir, oomFile), nil, 0o600)
	}
	err = errors.Join(err, c.tell(o))
	code := fmt.Sprint(o.Status())
	if o.Unknown {
		code = "unknown"
	}
	err = errors.Join(err, replaceFile(filepath.Join(c.dir, exitFile), []byte(code)), c.status.Close())
	if err != nil {
		return fmt.Errorf("record the outcome of container %s: %w", c.rec.ID, err)
	}
	return nil
}

// Container is a container as the store knows it.
type Container struct {
	Record
	store *Store
}

// Load reads the record of the container with the ID.
func (s *Store) Load(id string) (*Container, error) {
	if err := CheckID(id); err != nil {
		return nil, err
	}
	data, err := os.ReadFile(filepath.Join(s.Dir(id), recordFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fault.Hint(fault.NotFound("there is no container %s", id), "oci-run --list shows those there are")
	}
	if err != nil {
		return nil, fmt.Errorf("read the record of container %s: %w", id, err)
	}
	c := &Container{store: s}
	if err := json.Unmarshal(data, &c.Record); err != nil {
		return nil, fmt.Errorf("read the record of container %s: %w", id, err)
	}
	if c.SchemaVersion > RecordVersion {
		return nil, fmt.Errorf("container %s was started by a newer version (record %d, known up to %d)", id, c.SchemaVersion, RecordVersion)
	}
	return c, nil
}

// List returns all containers, the oldest first. It sweeps away what a claim
// that was killed half-way has left, and records that are about nothing any
// more.
func (s *Store) List() ([]*Container, error) {
	s.sweep()
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, fmt.Errorf("list containers: %w", err)
	}
	var all []*Container
	for _, e := range entries {
		if !e.IsDir() || CheckID(e.Name()) != nil {
			continue
		}
		c, err := s.Load(e.Name())
		if errors.Is(err, fault.ErrNotFound) {
			continue // gone since the directory was read
		}
		if err != nil {
			return nil, err
		}
		if c.obsolete() && c.forgetObsolete() {
			continue
		}
		all = append(all, c)
	}
	slices.SortStableFunc(all, func(a, b *Container) int { return a.Created.Compare(b.Created) })
	return all, nil
}

// obsolete reports whether the container has ended, its runtime was told to
// forget it, and its bundle is gone.
func (c *Container) obsolete() bool {
	if c.Bundle == "" || c.Runtime.State == "" || c.Runtime.knows(c.ID) {
		return false
	}
	if _, err := os.Lstat(c.Bundle); !errors.Is(err, fs.ErrNotExist) {
		return false
	}
	state, _, err := c.State()
	return err == nil && state == StateExited
}

// forgetObsolete forgets an obsolete container that nobody is at work on.
func (c *Container) forgetObsolete() bool {
	release, mine, err := c.hold(unix.LOCK_EX | unix.LOCK_NB)
	if err != nil || !mine {
		return false
	}
	defer release()
	return c.obsolete() && c.Forget() == nil
}

// hold makes this call the only one that removes the container: this one, for
// another may have got its ID. mine is false when it is gone.
func (c *Container) hold(how int) (release func(), mine bool, err error) {
	dir, err := os.Open(c.Dir())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("lock container %s: %w", c.ID, err)
	}
	err = flock(dir, how)
	if err == nil {
		mine, err = c.reload()
	}
	if err != nil || !mine {
		return nil, false, errors.Join(err, dir.Close())
	}
	return func() { _ = dir.Close() }, true, nil
}

// reload reads the record again. It reports false, and changes nothing, when the
// container is gone, even if another has its ID.
func (c *Container) reload() (bool, error) {
	now, err := c.store.Load(c.ID)
	if errors.Is(err, fault.ErrNotFound) {
		return false, nil
	}
	if err != nil || !now.Created.Equal(c.Created) {
		return false, err
	}
	c.Record = now.Record
	return true, nil
}

// settle waits until the container is no longer being created, and returns its
// state: before, there is no process to send a signal to.
func (c *Container) settle() (string, error) {
	for deadline := time.Now().Add(2 * callLimit); ; time.Sleep(10 * time.Millisecond) {
		if there, err := c.reload(); err != nil || !there {
			return StateUnknown, err
		}
		state, _, err := c.State()
		if err != nil || state != StateCreating {
			return state, err
		}
		if time.Now().After(deadline) {
			return state, fmt.Errorf("container %s is still being created", c.ID)
		}
	}
}

// sweep removes temporary directories whose maker is dead. While it holds the
// lock no claim is under way, so all of them are.
func (s *Store) sweep() {
	unlock, err := s.lock(unix.LOCK_EX | unix.LOCK_NB)
	if err != nil {
		return // somebody is at work; the next sweep will do
	}
	defer unlock()
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), tempPrefix) {
			_ = os.RemoveAll(filepath.Join(s.dir, e.Name()))
		}
	}
}

// lock takes the lock of the whole store.
func (s *Store) lock(how int) (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(s.dir, ".lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the containers: %w", err)
	}
	if err := flock(f, how); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() { _ = f.Close() }, nil
}

// Dir is the directory of the container in the store.
func (c *Container) Dir() string { return c.store.Dir(c.ID) }

// Path is the path of a file in it.
func (c *Container) path(name string) string { return filepath.Join(c.Dir(), name) }

// State tells how the container fares, and its outcome when that is
// StateExited or StateUnknown.
func (c *Container) State() (string, Outcome, error) {
	status, err := c.openStatus()
	if errors.Is(err, fs.ErrNotExist) {
		return StateUnknown, unknownOutcome(), nil
	}
	if err != nil {
		return "", Outcome{}, err
	}
	defer status.Close()
	monitored := errors.Is(flock(status, unix.LOCK_SH|unix.LOCK_NB), unix.EWOULDBLOCK)
	if !monitored {
		if o, ok, err := readOutcome(status); ok || err != nil {
			return StateExited, o, err
		}
	}
	switch {
	case c.Process.Pid != 0 && c.Process.alive():
		return StateRunning, Outcome{}, nil
	case monitored && c.Process.Pid == 0:
		return StateCreating, Outcome{}, nil
	case monitored:
		return StateRunning, Outcome{}, nil // its end is being written down
	default:
		return StateUnknown, unknownOutcome(), nil
	}
}

// Monitored reports whether the monitor of the container lives.
func (c *Container) Monitored() bool {
	status, err := c.openStatus()
	if err != nil {
		return false
	}
	defer status.Close()
	return errors.Is(flock(status, unix.LOCK_SH|unix.LOCK_NB), unix.EWOULDBLOCK)
}

func (c *Container) openStatus() (*os.File, error) {
	f, err := os.Open(c.path(statusFile))
	if err != nil {
		return nil, fmt.Errorf("read the status of container %s: %w", c.ID, err)
	}
	return f, nil
}

// Watch is an ear for the end of a container. The status file stays readable
// through its open descriptor when --rm removes it from the directory, so that
// who watches does not miss the outcome.
type Watch struct {
	c      *Container
	status *os.File
}

// Watch begins to watch.
func (c *Container) Watch() (*Watch, error) {
	status, err := c.openStatus()
	if err != nil {
		return nil, err
	}
	return &Watch{c, status}, nil
}

// Wait waits for the end, and ends the watch.
func (w *Watch) Wait() (Outcome, error) {
	defer w.status.Close()
	if err := flock(w.status, unix.LOCK_SH); err != nil {
		return Outcome{}, err
	}
	if o, ok, err := readOutcome(w.status); ok || err != nil {
		return o, err
	}
	// The monitor is dead. Its container may live; its status will stay unknown.
	if there, err := w.c.reload(); err == nil && there {
		w.c.Process.waitGone(-1)
	}
	return unknownOutcome(), nil
}

// Wait waits for the end of the container.
func (c *Container) Wait() (Outcome, error) {
	w, err := c.Watch()
	if err != nil {
		return Outcome{}, err
	}
	return w.Wait()
}

// cleanLimit bounds the wait for a monitor whose program has ended: it has the
// runtime kill and delete, and undoes the bundle.
const cleanLimit = 3 * callLimit

// waitFor is Wait with a limit.
func (w *Watch) waitFor(limit time.Duration) (Outcome, error) {
	type end struct {
		outcome Outcome
		err     error
	}
	seen := make(chan end, 1)
	go func() {
		o, err := w.Wait()
		seen <- end{o, err}
	}()
	select {
	case e := <-seen:
		return e.outcome, e.err
	case <-time.After(limit):
		return Outcome{}, fmt.Errorf("the monitor of container %s has not cleaned up within %s", w.c.ID, limit)
	}
}

// readOutcome reports false for the empty file of a monitor that was killed.
func readOutcome(status *os.File) (Outcome, bool, error) {
	var o Outcome
	data := make([]byte, 4096)
	n, err := status.ReadAt(data, 0)
	if n == 0 {
		return o, false, nil
	}
	if jerr := json.Unmarshal(data[:n], &o); jerr != nil {
		return o, false, fmt.Errorf("read the outcome (%w): %w", err, jerr)
	}
	return o, true, nil
}

// Forget removes the directory of the container.
func (c *Container) Forget() error {
	if err := removeWhole(c.Dir()); err != nil {
		return fmt.Errorf("forget container %s: %w", c.ID, err)
	}
	return nil
}

// removeWhole removes the directory of a container. It goes under a name that
// the sweep knows first: half a directory would take the ID, and be about no
// container.
func removeWhole(dir string) error {
	gone, err := os.MkdirTemp(filepath.Dir(dir), tempPrefix)
	if err != nil {
		return os.RemoveAll(dir) // better in steps than not at all
	}
	if err := unix.Rename(dir, gone); err != nil && !errors.Is(err, unix.ENOENT) {
		return errors.Join(fmt.Errorf("rename %s: %w", dir, err), os.Remove(gone))
	}
	return os.RemoveAll(gone)
}

// Age is the time since the container was created.
func (c *Container) Age() time.Duration { return time.Since(c.Created).Truncate(time.Second) }

func flock(f *os.File, how int) error {
	for {
		err := unix.Flock(int(f.Fd()), how)
		switch {
		case err == nil:
			return nil
		case !errors.Is(err, unix.EINTR):
			return fmt.Errorf("lock %s: %w", f.Name(), err)
		}
	}
}

// replaceFile writes a file so that readers see the old or the new one whole.
func replaceFile(path string, data []byte) error {
	temp := path + ".new"
	if err := os.WriteFile(temp, data, 0o600); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := os.Rename(temp, path); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}
