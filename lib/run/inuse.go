package run

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// RunsFrom finds a container whose program runs from the bundle; "" when there
// is none. A record that cannot be read is that of none.
func (s *Store) RunsFrom(bundle string) (id string, err error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return "", fmt.Errorf("look for containers of bundle %s: %w", bundle, err)
	}
	var there unix.Stat_t
	exists := unix.Stat(bundle, &there) == nil
	buf := make([]byte, 8<<10)
	// Each container that is undone asks, so that to ask is quadratic in the
	// end: a record costs three calls of the kernel, and of its text a part.
	for _, e := range entries {
		var r struct {
			ID      string  `json:"id"`
			Bundle  string  `json:"bundle"`
			Process process `json:"process"`
		}
		data, err := readInto(buf, filepath.Join(s.Dir(e.Name()), recordFile))
		if err != nil || json.Unmarshal(data, &r) != nil {
			continue
		}
		var st unix.Stat_t
		same := r.Bundle == bundle || exists && unix.Stat(r.Bundle, &st) == nil && st.Dev == there.Dev && st.Ino == there.Ino
		if same && r.Process.alive() {
			return r.ID, nil
		}
	}
	return "", nil
}

// readInto reads a file into the buffer, without the poller that os.File sets
// up. A file that fills it is read in the usual way.
func readInto(buf []byte, path string) ([]byte, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	n, err := unix.Read(fd, buf)
	_ = unix.Close(fd) // a file open for reading has nothing to lose
	if err != nil || n == len(buf) {
		return os.ReadFile(path)
	}
	return buf[:n], nil
}
