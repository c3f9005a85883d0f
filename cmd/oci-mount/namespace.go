package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/oci-plumbing/oci-plumbing/lib/capability"
	"github.com/oci-plumbing/oci-plumbing/lib/fault"
	"github.com/oci-plumbing/oci-plumbing/lib/idmap"
	"github.com/oci-plumbing/oci-plumbing/lib/store"
)

// privileged reports whether the process may mount where it is.
func privileged() bool { return capability.Has(unix.CAP_SYS_ADMIN) }

// currentForm is the form of the layers that this process can mount: in a
// user namespace trusted.* attributes are out of reach, and ids are mapped.
func currentForm() store.Form {
	uids, errU := readMap("/proc/self/uid_map")
	gids, errG := readMap("/proc/self/gid_map")
	whole := idmap.Map{{Size: 1<<32 - 1}}
	if errU != nil || errG != nil || uids.Equal(whole) && gids.Equal(whole) {
		return store.Form{}
	}
	return store.Form{UserXattr: true, UIDMap: uids, GIDMap: gids}
}

// readMap reads uid_map or gid_map: "inside outside size" in each line.
func readMap(path string) (idmap.Map, error) {
	// The kernel gives the whole map, at most 340 lines, to one read.
	buf := make([]byte, 340*len("4294967295 4294967295 4294967295\n"))
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("read id map %s: %w", path, err)
	}
	defer unix.Close(fd)
	n, err := unix.Read(fd, buf)
	if err != nil {
		return nil, fmt.Errorf("read id map %s: %w", path, err)
	}
	var m idmap.Map
	for line := range bytes.Lines(buf[:n]) {
		r, err := parseRange(strings.Fields(string(line)))
		if err != nil {
			return nil, fmt.Errorf("read id map %s: line %q: %w", path, line, err)
		}
		m = append(m, r)
	}
	return m, nil
}

// parseRange reads the three numbers of a line.
func parseRange(fields []string) (idmap.Range, error) {
	var numbers [3]uint32
	if len(fields) != len(numbers) {
		return idmap.Range{}, errors.New("not three numbers")
	}
	for i, field := range fields {
		n, err := strconv.ParseUint(field, 10, 32)
		if err != nil {
			return idmap.Range{}, err
		}
		numbers[i] = uint32(n)
	}
	return idmap.Range{Container: numbers[0], Host: numbers[1], Size: numbers[2]}, nil
}

// onlyRoot reports whether root is the only id there is, so that no file can
// have another owner.
func onlyRoot(f store.Form) bool {
	return len(f.UIDMap) == 1 && f.UIDMap[0].Size == 1
}

// idTools are the setuid programs that write maps of more than one id.
type idTools struct {
	uid, gid       string
	uids, gids     idmap.Range
	ownUID, ownGID int
}

// findIDTools finds the programs and the ranges; ok is false when the caller
// must do with one id.
func findIDTools() (t idTools, ok bool) {
	t.ownUID, t.ownGID = os.Geteuid(), os.Getegid()
	var okU, okG bool
	t.uids, okU = idmap.Subordinate("/etc/subuid", t.ownUID)
	t.gids, okG = idmap.Subordinate("/etc/subgid", t.ownUID)
	var errU, errG error
	t.uid, errU = exec.LookPath("newuidmap")
	t.gid, errG = exec.LookPath("newgidmap")
	return t, okU && okG && errU == nil && errG == nil
}

// write maps root to the caller, and the other ids to the caller's range.
func (t idTools) write(ctx context.Context, pid int) error {
	for _, tool := range []struct {
		program string
		own     int
		r       idmap.Range
	}{{t.uid, t.ownUID, t.uids}, {t.gid, t.ownGID, t.gids}} {
		words := []string{
			strconv.Itoa(pid), "0", strconv.Itoa(tool.own), "1",
			strconv.Itoa(int(tool.r.Container)), strconv.Itoa(int(tool.r.Host)), strconv.Itoa(int(tool.r.Size)),
		}
		if out, err := exec.CommandContext(ctx, tool.program, words...).CombinedOutput(); err != nil {
			return fmt.Errorf("map ids with %s: %w: %s", tool.program, err, bytes.TrimSpace(out))
		}
	}
	return nil
}

// self is this program again, with the hidden first word.
func self(ctx context.Context, words ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "/proc/self/exe", append([]string{insideWord}, words...)...)
	cmd.Args[0] = ownName()
	return cmd
}

// userNamespace returns a user namespace with the map, for idmapped mounts. A
// namespace needs a process to be made, which lasts no longer than that.
func userNamespace(ctx context.Context, ids idmap.Map) (*os.File, error) {
	var ranges []syscall.SysProcIDMap
	for _, r := range ids {
		ranges = append(ranges, syscall.SysProcIDMap{ContainerID: int(r.Container), HostID: int(r.Host), Size: int(r.Size)})
	}
	holder := self(ctx, holdWord)
	holder.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWUSER, UidMappings: ranges, GidMappings: ranges, Pdeathsig: syscall.SIGKILL,
	}
	stdin, err := holder.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("make a user namespace: %w", err)
	}
	if err := holder.Start(); err != nil {
		return nil, explainNamespaces(fmt.Errorf("make a user namespace: %w", err))
	}
	f, err := os.Open(fmt.Sprintf("/proc/%d/ns/user", holder.Process.Pid))
	if err != nil {
		err = fmt.Errorf("open the user namespace: %w", err)
	}
	if err := errors.Join(stdin.Close(), holder.Wait()); err != nil && ctx.Err() == nil {
		return nil, fmt.Errorf("make a user namespace: %w", err)
	}
	return f, err
}

// explainNamespaces says what an administrator can do when a user may make
// no user namespaces.
func explainNamespaces(err error) error {
	if !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.ENOSPC) && !errors.Is(err, unix.EACCES) {
		return err
	}
	return fault.Hint(err, "user namespaces are off here: see sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone, "+
		"kernel.apparmor_restrict_unprivileged_userns; or run as root")
}
