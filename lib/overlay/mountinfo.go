package overlay

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Mounted is one mount as the kernel lists it.
type Mounted struct {
	// Target is the mount point, as seen in the namespace of the mount.
	Target string
	// Type is the file system, "overlay" or "fuse.fuse-overlayfs".
	Type string
	// Source is the source the mount was made with.
	Source string
	// Device is the st_dev of the directories below Target.
	Device uint64
	// ReadOnly mounts take no changes.
	ReadOnly bool
	// Lowers are the lower directories, the topmost first; "/" stands for
	// one that was passed as a descriptor.
	Lowers []string
	// Volatile mounts do not sync.
	Volatile bool
	// Namespace is the mount namespace, "mnt:[4026531841]"; empty for the
	// caller's own.
	Namespace string
}

// Mounts lists the mounts of this package in the namespace of the caller.
func Mounts() ([]Mounted, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("list mounts: %w", err)
	}
	defer f.Close()
	mounts, err := parseMountinfo(f)
	if err != nil {
		return nil, fmt.Errorf("read /proc/self/mountinfo: %w", err)
	}
	return mounts, nil
}

// AllMounts lists the mounts of this package in every mount namespace that a
// process the caller may look at lives in; its own come first. A fuse-overlayfs
// that is alone with its mount is left out: nobody uses that, and it ends with
// the mount point.
func AllMounts() ([]Mounted, error) {
	all, err := Mounts()
	if err != nil {
		return nil, err
	}
	own, err := os.Readlink("/proc/self/ns/mnt")
	if err != nil {
		return nil, fmt.Errorf("read own mount namespace: %w", err)
	}
	seen := map[string]bool{own: true}
	idle := make(map[string][]Mounted) // by namespace, until somebody else lives there
	err = eachProcess(func(p proc) error {
		if len(idle[p.namespace]) > 0 && !p.servesFuse() {
			all = append(all, idle[p.namespace]...)
			delete(idle, p.namespace)
		}
		if seen[p.namespace] {
			return nil
		}
		mounts, err := p.mounts()
		if errors.Is(err, errNotOurs) {
			return nil
		}
		if err != nil {
			return err
		}
		seen[p.namespace] = true
		alone := p.servesFuse()
		for _, m := range mounts {
			m.Namespace = p.namespace
			if m.Type == fuseType && alone {
				idle[p.namespace] = append(idle[p.namespace], m)
			} else {
				all = append(all, m)
			}
		}
		return nil
	})
	return all, err
}

// RealPath is the path of the directory as the kernel writes it in the list of
// mounts, whichever symlinks lead there.
func RealPath(dir string) (string, error) {
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", &fs.PathError{Op: "open", Path: dir, Err: err}
	}
	defer unix.Close(fd)
	return os.Readlink("/proc/self/fd/" + strconv.Itoa(fd))
}

// At returns the mount on target in the caller's namespace, or nil.
func At(target string) (*Mounted, error) {
	parent, err := RealPath(filepath.Dir(target))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	target = filepath.Join(parent, filepath.Base(target))
	mounts, err := Mounts()
	if err != nil {
		return nil, err
	}
	for i := len(mounts) - 1; i >= 0; i-- {
		if mounts[i].Target == target {
			return &mounts[i], nil
		}
	}
	return nil, nil
}

// parseMountinfo keeps the lines of our mounts: proc(5),
// "36 35 98:0 / /mnt rw shared:1 - overlay source options". A line has no
// bound: 500 lower directories stand in it.
func parseMountinfo(r io.Reader) ([]Mounted, error) {
	var mounts []Mounted
	err := eachLine(r, func(line string) error {
		m, ours, err := parseMount(line)
		if ours {
			mounts = append(mounts, m)
		}
		return err
	})
	return mounts, err
}

func eachLine(r io.Reader, visit func(line string) error) error {
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadString('\n')
		if len(line) > 0 {
			if err := visit(strings.TrimSuffix(line, "\n")); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
}

// MountPoints lists where anything is mounted in the namespace of the caller,
// the oldest mount first.
func MountPoints() ([]string, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("list mounts: %w", err)
	}
	defer f.Close()
	var points []string
	err = eachLine(f, func(line string) error {
		fields := strings.SplitN(line, " ", 6)
		if len(fields) < 6 {
			return fmt.Errorf("too few fields in %q", line)
		}
		points = append(points, unescape(fields[4]))
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read /proc/self/mountinfo: %w", err)
	}
	return points, nil
}

func parseMount(line string) (m Mounted, ours bool, err error) {
	head, tail, ok := strings.Cut(line, " - ")
	if !ok {
		return m, false, fmt.Errorf("no separator in %q", line)
	}
	// The kernel escapes what ends a field, and no other white space: not the
	// no-break space, nor the carriage return.
	fields, kind := strings.Split(head, " "), strings.Split(tail, " ")
	if len(fields) < 6 || len(kind) < 2 {
		return m, false, fmt.Errorf("too few fields in %q", line)
	}
	source := unescape(kind[1])
	// fuse-overlayfs 1.10 does not tell the source that it was given.
	ours = kind[0] == "overlay" && source == Source || kind[0] == fuseType && (source == Source || source == FuseProgram)
	if !ours || fields[3] != "/" {
		return m, false, nil
	}
	m = Mounted{Target: unescape(fields[4]), Type: kind[0], Source: source}
	m.ReadOnly = hasWord(fields[5], "ro")
	if m.Device, err = parseDevice(fields[2]); err != nil {
		return m, false, err
	}
	if len(kind) > 2 {
		m.takeOptions(kind[2])
	}
	return m, true, nil
}

func hasWord(list, word string) bool {
	for w := range strings.SplitSeq(list, ",") {
		if w == word {
			return true
		}
	}
	return false
}

func parseDevice(text string) (uint64, error) {
	major, minor, _ := strings.Cut(text, ":")
	a, errA := strconv.ParseUint(major, 10, 32)
	b, errB := strconv.ParseUint(minor, 10, 32)
	if err := errors.Join(errA, errB); err != nil {
		return 0, fmt.Errorf("device number %q: %w", text, err)
	}
	return unix.Mkdev(uint32(a), uint32(b)), nil
}

// takeOptions reads the options of the super block. The kernel writes commas
// inside a value as \054, so that splitting comes before unescaping.
func (m *Mounted) takeOptions(list string) {
	for word := range strings.SplitSeq(list, ",") {
		key, value, _ := strings.Cut(word, "=")
		value = unescape(value)
		switch key {
		case "lowerdir+":
			m.Lowers = append(m.Lowers, listedLower(value))
		case "lowerdir":
			for _, lower := range splitLowers(value) {
				m.Lowers = append(m.Lowers, listedLower(lower))
			}
		case "volatile":
			m.Volatile = true
		case "fsync":
			m.Volatile = value == "volatile"
		}
	}
}

// splitLowers undoes escapedLowers: before Linux 6.5 the kernel shows the word
// as it was given.
func splitLowers(word string) []string {
	var all []string
	var one []byte
	for i := 0; i < len(word); i++ {
		switch {
		case word[i] == '\\' && i+1 < len(word):
			i++
			one = append(one, word[i])
		case word[i] == ':':
			all, one = append(all, string(one)), nil
		default:
			one = append(one, word[i])
		}
	}
	return append(all, string(one))
}

// listedLower returns the path of a lower, or "/" when the kernel knows no more
// of it than the descriptor that another process had.
func listedLower(path string) string {
	if strings.HasPrefix(path, heldPrefix) || !strings.HasPrefix(path, "/") {
		return "/"
	}
	return path
}

// unescape undoes the octal escapes of the kernel: \040 is a space.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// Users returns the processes whose root or working directory lies on the
// mount: a container, a shell that stands in it.
func Users(m Mounted) ([]int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	var users []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		for _, link := range []string{"root", "cwd"} {
			on, err := onDevice("/proc/"+e.Name()+"/"+link, m.Device)
			if m.Type == fuseType && errors.Is(err, unix.EACCES) {
				on, err = m.seems(e.Name(), link)
			}
			if err != nil {
				break
			}
			if on {
				users = append(users, pid)
				break
			}
		}
	}
	return users, nil
}

// seems answers from what the kernel tells of the process: a FUSE mount of a
// user namespace lets nobody from outside look at it, not even root.
func (m *Mounted) seems(pid, link string) (bool, error) {
	if link == "root" {
		f, err := os.Open("/proc/" + pid + "/mountinfo")
		if err != nil {
			return false, fmt.Errorf("list mounts: %w", err)
		}
		defer f.Close()
		mounts, err := parseMountinfo(f)
		on := slices.ContainsFunc(mounts, func(r Mounted) bool { return r.Target == "/" && r.Device == m.Device })
		return on, err
	}
	namespace, err := os.Readlink("/proc/" + pid + "/ns/mnt")
	if err != nil {
		return false, fmt.Errorf("read a mount namespace: %w", err)
	}
	path, err := os.Readlink("/proc/" + pid + "/cwd")
	if err != nil {
		return false, fmt.Errorf("read a working directory: %w", err)
	}
	return namespace == m.Namespace && (path == m.Target || strings.HasPrefix(path, m.Target+"/")), nil
}

func onDevice(path string, device uint64) (bool, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return false, &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	return st.Dev == device, nil
}
