package spec

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// devices applies --device and --device-cgroup-rule.
func (b *builder) devices() error {
	for _, d := range b.opt.Devices {
		if isCDI(d) {
			if err := b.cdiDevice(d); err != nil {
				return err
			}
			continue
		}
		if err := b.device(d); err != nil {
			return err
		}
	}
	for _, rule := range b.opt.DeviceRules {
		n, err := parseDeviceRule(rule)
		if err != nil {
			return err
		}
		b.allowDevice(byFlag("--device-cgroup-rule", ""), n)
	}
	return nil
}

// device applies PATH[:PATH_INSIDE][:ACCESS]. A directory stands for all nodes
// below it.
func (b *builder) device(d string) error {
	parts := strings.Split(d, ":")
	source, inside, access := parts[0], parts[0], "rwm"
	switch {
	case len(parts) > 3 || !path.IsAbs(source):
		return fault.Usage("--device %q is not PATH[:PATH_INSIDE][:ACCESS]", d)
	case len(parts) == 3:
		inside, access = parts[1], parts[2]
	case len(parts) == 2 && isAccess(parts[1]):
		access = parts[1]
	case len(parts) == 2:
		inside = parts[1]
	}
	if !isAccess(access) {
		return fault.Usage("--device %q: access %q is not made of r, w and m", d, access)
	}
	if !path.IsAbs(inside) {
		inside = path.Join("/dev", inside)
	}
	resolved, err := filepath.EvalSymlinks(source)
	if errors.Is(err, fs.ErrNotExist) {
		return fault.NotFound("--device %s: there is no such device: %w", source, err)
	}
	if err != nil {
		return fmt.Errorf("--device %s: %w", source, err)
	}
	found := 0
	err = filepath.WalkDir(resolved, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.Type()&fs.ModeDevice == 0 {
			return err
		}
		found++
		return b.node(byFlag("--device", d), name, path.Join(inside, strings.TrimPrefix(name, resolved)), access)
	})
	if err == nil && found == 0 {
		err = fault.Usage("%s is not a device, and holds none", source)
	}
	if err != nil {
		return fmt.Errorf("--device %s: %w", source, err)
	}
	return nil
}

func isAccess(s string) bool { return s != "" && strings.Trim(s, "rwm") == "" }

// node lists one device, or binds it where no device can be made.
func (b *builder) node(from *Origin, source, inside, access string) error {
	if b.belowUserNamespace() {
		b.setMount(from, newMount(inside, "bind", source, "rprivate", "nosuid", "noexec", "rw", "rbind"))
		return nil
	}
	var st unix.Stat_t
	if err := unix.Lstat(source, &st); err != nil {
		return fmt.Errorf("stat %s: %w", source, err)
	}
	kind := "c"
	if st.Mode&unix.S_IFMT == unix.S_IFBLK {
		kind = "b"
	}
	major, minor := newUint(uint64(unix.Major(st.Rdev))), newUint(uint64(unix.Minor(st.Rdev)))
	// The type bits are no part of a mode: the schema ends at 0777.
	b.setDevice(from, newObject(
		pair("path", newString(inside)), pair("type", newString(kind)), pair("major", major), pair("minor", minor),
		pair("fileMode", newUint(uint64(st.Mode&0o777))), pair("uid", newUint(uint64(st.Uid))), pair("gid", newUint(uint64(st.Gid)))))
	b.allowDevice(from, newObject(pair("allow", newBool(true)), pair("type", newString(kind)),
		pair("major", major.clone()), pair("minor", minor.clone()), pair("access", newString(access))))
	return nil
}

// setDevice adds the device, or replaces the one on the same path.
func (b *builder) setDevice(from *Origin, n *node) {
	n.from = from
	list := b.doc.list(from, "linux", "devices")
	for i, item := range list.items {
		if item.member("path").text() == n.member("path").text() {
			if !item.equal(n) {
				list.items[i] = n
			}
			return
		}
	}
	list.items = append(list.items, n)
}

// allowDevice appends a rule of the device cgroup: the last that matches
// counts, so it stands behind the one that denies all. Rules for one device
// with other access add up.
func (b *builder) allowDevice(from *Origin, rule *node) {
	list := b.doc.list(from, "linux", "resources", "devices")
	for _, item := range slices.Backward(list.items) {
		if !item.member("allow").isTrue() {
			break
		}
		if item.equal(rule) || allowsAllDevices(item) {
			return
		}
	}
	rule.from = from
	list.items = append(list.items, rule)
}

func allowsAllDevices(rule *node) bool {
	return rule.member("type") == nil && rule.member("major") == nil && rule.member("access").text() == "rwm"
}

// parseDeviceRule reads "c 1:3 rwm", with * for any number.
func parseDeviceRule(rule string) (*node, error) {
	fields := strings.Fields(rule)
	bad := fault.Usage("--device-cgroup-rule %q is not \"TYPE MAJOR:MINOR ACCESS\", such as \"c 1:3 rwm\"", rule)
	if len(fields) != 3 || !isAccess(fields[2]) || fields[0] != "a" && fields[0] != "b" && fields[0] != "c" {
		return nil, bad
	}
	n := newObject(pair("allow", newBool(true)), pair("type", newString(fields[0])))
	major, minor, ok := strings.Cut(fields[1], ":")
	if !ok {
		return nil, bad
	}
	for _, part := range []struct{ key, text string }{{"major", major}, {"minor", minor}} {
		if part.text == "*" {
			continue
		}
		number, err := strconv.ParseUint(part.text, 10, 32)
		if err != nil {
			return nil, bad
		}
		n.put(part.key, newUint(number))
	}
	n.put("access", newString(fields[2]))
	return n, nil
}

func readable(name string) bool { return unix.Access(name, unix.R_OK) == nil }

// standardDevices are those that a runtime makes itself (runtime-spec
// config-linux.md, default devices), and the terminals.
var standardDevices = map[string]bool{
	"/dev/null": true, "/dev/zero": true, "/dev/full": true, "/dev/random": true, "/dev/urandom": true, "/dev/tty": true, "/dev/console": true, "/dev/ptmx": true,
}

// hostDevices lists all devices of the host, for --privileged.
func (b *builder) hostDevices(from *Origin) error {
	return filepath.WalkDir("/dev", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission):
			return nil
		case err != nil:
			return fmt.Errorf("list the devices of the host: %w", err)
		case entry.IsDir() && (name == "/dev/pts" || name == "/dev/shm" || name == "/dev/fd" || name == "/dev/mqueue" || strings.HasPrefix(entry.Name(), ".")):
			return filepath.SkipDir
		case entry.Type()&fs.ModeDevice == 0 || standardDevices[name]:
			return nil
		}
		if b.belowUserNamespace() && !readable(name) {
			// What the user may not open, a bind mount does not change.
			return nil
		}
		err = b.node(from, name, name, "rwm")
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		return err
	})
}
