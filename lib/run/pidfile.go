package run

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// writePidFile writes the pid where others read it, whole or not at all. The
// directory may be one that everybody writes to, /tmp say, so that the name
// meanwhile is not one that could be foreseen, and made a link.
func writePidFile(path string, pid int) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return fmt.Errorf("pid file: %w", err)
	}
	_, err = f.WriteString(strconv.Itoa(pid))
	err = errors.Join(err, f.Chmod(0o644), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("pid file: %w", err), os.Remove(f.Name()))
	}
	return nil
}

// removePidFile removes the file if it still is about this container.
func (rec *Record) removePidFile() {
	if rec.PidFile == "" || rec.Process.Pid == 0 {
		return
	}
	data, err := os.ReadFile(rec.PidFile)
	if err == nil && string(data) == strconv.Itoa(rec.Process.Pid) {
		_ = os.Remove(rec.PidFile)
	}
}
