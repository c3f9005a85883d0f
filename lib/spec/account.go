package spec

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

const (
	// maxID is the greatest uid and gid of a process: the image-spec and the
	// engines read them as signed 32-bit numbers (CVE-2024-40635).
	maxID = 1<<31 - 1
	// maxGroups is NGROUPS_MAX of the kernel.
	maxGroups = 65536
)

// Identity is what a process runs as.
type Identity struct {
	UID, GID uint32
	// Groups are the supplementary groups. The primary group is the first of
	// them: without it a file that the group may not read becomes readable
	// after setgroups (CVE-2022-2989 and its siblings).
	Groups []uint32
}

// UserGroups says which supplementary groups a numeric user gets.
type UserGroups string

const (
	// GroupsSpec gives a numeric user none, as conversion.md has it.
	GroupsSpec UserGroups = "spec"
	// GroupsDocker gives a numeric user with a passwd entry the groups of it.
	GroupsDocker UserGroups = "docker"
)

// LookupUser resolves USER[:GROUP] as the image-spec has it: digits are an id,
// anything else a name that must be in the etc/passwd or etc/group of rootfs.
// The empty string is 0:0. A nil rootfs serves where no name is to be looked
// up.
func LookupUser(rootfs *Rootfs, spec string, mode UserGroups) (Identity, error) {
	id, err := lookupUser(rootfs, spec, mode)
	if err != nil {
		return Identity{}, fmt.Errorf("user %q: %w", spec, err)
	}
	return id, nil
}

func lookupUser(rootfs *Rootfs, spec string, mode UserGroups) (Identity, error) {
	if err := checkText("the name", spec); err != nil {
		return Identity{}, err
	}
	userPart, groupPart, hasGroup := strings.Cut(spec, ":")
	if hasGroup && userPart == "" && groupPart == "" {
		return Identity{}, fault.Refused("neither a user nor a group stands beside the colon")
	}
	account, named, err := findUser(rootfs, userPart)
	if err != nil {
		return Identity{}, err
	}
	id := Identity{UID: account.uid, GID: account.gid}
	switch {
	case groupPart != "":
		if id.GID, err = findGroup(rootfs, groupPart); err != nil {
			return Identity{}, err
		}
	case named || mode == GroupsDocker && account.name != "":
		if id.Groups, err = groupsOf(rootfs, account.name); err != nil {
			return Identity{}, err
		}
	}
	id.Groups = slices.DeleteFunc(id.Groups, func(g uint32) bool { return g == id.GID })
	id.Groups = slices.Insert(id.Groups, 0, id.GID)
	if len(id.Groups) > maxGroups {
		return Identity{}, fault.Refused("in more than %d groups", maxGroups)
	}
	return id, nil
}

// LookupGroup resolves one group, a number or a name.
func LookupGroup(rootfs *Rootfs, group string) (uint32, error) {
	gid, err := findGroup(rootfs, group)
	if err != nil {
		return 0, fmt.Errorf("group %q: %w", group, err)
	}
	return gid, nil
}

// account is a line of passwd.
type account struct {
	name     string
	uid, gid uint32
}

// findUser returns the account, and whether it was given by its name.
func findUser(rootfs *Rootfs, user string) (found account, named bool, err error) {
	if user == "" {
		return account{}, false, nil
	}
	uid, numeric, err := number(user)
	if err != nil {
		return account{}, false, err
	}
	if numeric {
		found = account{uid: uid}
	} else if err := checkName(user); err != nil {
		return account{}, false, err
	}
	if rootfs == nil {
		if numeric {
			return found, false, nil
		}
		return account{}, false, fault.Hint(fault.Usage("a name needs a rootfs to look it up in"), "give --rootfs DIR, or the number")
	}
	// An id may have zeros before it, a name has the start of the line.
	needle := "\n" + user + ":"
	if numeric {
		needle = strconv.FormatUint(uint64(uid), 10)
	}
	var fields [][]byte
	ok, err := scan(rootfs, "etc/passwd", maxAccountLine, needle, func(line []byte) (bool, error) {
		fields = splitColons(fields[:0], line)
		if len(fields) < 4 || !numeric && string(fields[0]) != user {
			return false, nil
		}
		entry, malformed := parseAccount(fields)
		switch {
		case malformed == nil && (!numeric || entry.uid == uid):
			found = entry
			return true, nil
		case !numeric:
			return false, fmt.Errorf("its line in etc/passwd: %w", malformed)
		}
		return false, nil
	})
	switch {
	case err != nil:
		return account{}, false, err
	case !ok && !numeric:
		return account{}, false, fault.Hint(fault.Refused("not in etc/passwd of the rootfs"), "choose another with --user, by number if need be")
	}
	return found, !numeric, nil
}

func parseAccount(fields [][]byte) (account, error) {
	uid, err := idField(fields[2])
	if err != nil {
		return account{}, err
	}
	gid, err := idField(fields[3])
	if err != nil {
		return account{}, err
	}
	return account{name: string(fields[0]), uid: uid, gid: gid}, nil
}

func idField(field []byte) (uint32, error) {
	id, numeric, err := number(string(field))
	if err == nil && !numeric {
		err = fault.Refused("%q is not an id", field)
	}
	return id, err
}

func findGroup(rootfs *Rootfs, group string) (uint32, error) {
	gid, numeric, err := number(group)
	if err != nil || numeric {
		return gid, err
	}
	if err := checkName(group); err != nil {
		return 0, err
	}
	if rootfs == nil {
		return 0, fault.Hint(fault.Usage("a name needs a rootfs to look it up in"), "give --rootfs DIR, or the number")
	}
	var fields [][]byte
	ok, err := scan(rootfs, "etc/group", maxGroupLine, "\n"+group+":", func(line []byte) (bool, error) {
		fields = splitColons(fields[:0], line)
		if len(fields) < 3 || string(fields[0]) != group {
			return false, nil
		}
		if gid, err = idField(fields[2]); err != nil {
			return false, fmt.Errorf("its line in etc/group: %w", err)
		}
		return true, nil
	})
	if err == nil && !ok {
		err = fault.Refused("group %q is not in etc/group of the rootfs", group)
	}
	return gid, err
}

// groupsOf returns the groups that list the user, in the order of the file.
func groupsOf(rootfs *Rootfs, user string) ([]uint32, error) {
	var groups []uint32
	seen := make(map[uint32]bool)
	var fields [][]byte
	_, err := scan(rootfs, "etc/group", maxGroupLine, user, func(line []byte) (bool, error) {
		fields = splitColons(fields[:0], line)
		if len(fields) < 4 || !hasMember(fields[3], []byte(user)) {
			return false, nil
		}
		gid, err := idField(fields[2])
		if err != nil {
			return false, fmt.Errorf("group %q in etc/group: %w", fields[0], err)
		}
		if !seen[gid] {
			seen[gid] = true
			groups = append(groups, gid)
		}
		if len(groups) > maxGroups {
			return false, fault.Refused("in more than %d groups", maxGroups)
		}
		return false, nil
	})
	return groups, err
}

// hasMember looks for a name in a list with commas, without splitting it: the
// list of a hostile image may be megabytes long.
func hasMember(list, name []byte) bool {
	for len(list) > 0 {
		var one []byte
		one, list, _ = bytes.Cut(list, []byte{','})
		if bytes.Equal(bytes.TrimSpace(one), name) {
			return true
		}
	}
	return false
}

// splitColons appends the fields to those before. What is behind the eighth
// belongs to it: a line of colons would make as many fields.
func splitColons(fields [][]byte, line []byte) [][]byte {
	for len(fields) < 7 {
		one, rest, more := bytes.Cut(line, []byte{':'})
		fields = append(fields, one)
		if line = rest; !more {
			return fields
		}
	}
	return append(fields, line)
}

// number reads an id. Digits only: no sign, no space, no 0x, no exponent.
func number(s string) (id uint32, numeric bool, err error) {
	if s == "" || strings.Trim(s, "0123456789") != "" {
		return 0, false, nil
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil || n > maxID {
		return 0, true, fault.Refused("id %s is outside 0 to %d", s, maxID)
	}
	return uint32(n), true, nil
}

// checkName refuses what looks like a number to some reader, so that no entry
// of passwd can turn it into one, and what no line of passwd can hold.
func checkName(name string) error {
	if strings.ContainsAny(name, ":,\n\r\t ") {
		return fault.Refused("%q is no login or group name", name)
	}
	if name[0] == '+' || name[0] == '-' {
		return fault.Refused("%q is neither a name nor a number from 0 to %d", name, maxID)
	}
	if _, err := strconv.ParseFloat(name, 64); err == nil && name[0] >= '0' && name[0] <= '9' {
		return fault.Refused("%q is neither a name nor a number from 0 to %d", name, maxID)
	}
	if _, err := strconv.ParseInt(name, 0, 64); err == nil {
		return fault.Refused("%q is neither a name nor a number from 0 to %d", name, maxID)
	}
	return nil
}
