package idmap

import (
	"encoding/binary"
	"errors"
	"strings"
)

// Layout of the attributes system.posix_acl_access and _default
// (linux/posix_acl_xattr.h): a word with the version, and for each entry its
// tag, its permissions and an id, which only the entries of named users and
// groups use. All numbers are little-endian.
const (
	aclPrefix   = "system.posix_acl_"
	aclVersion  = 2
	aclHead     = 4
	aclEntry    = 8
	aclIDAt     = 4
	aclTagUser  = 2
	aclTagGroup = 8
)

// IsACL reports whether the attribute holds an access control list.
func IsACL(name string) bool { return strings.HasPrefix(name, aclPrefix) }

// NamesIDs reports whether the list has entries of named users or groups.
func NamesIDs(acl string) bool {
	named := false
	note := func(id uint32) (uint32, error) {
		named = true
		return id, nil
	}
	_, err := MapACL(acl, note, note)
	return err == nil && named
}

// MapACL returns the list with the ids of named users and groups mapped by
// the functions, which are ToHost or ToContainer of maps.
func MapACL(acl string, uid, gid func(uint32) (uint32, error)) (string, error) {
	raw := []byte(acl)
	if len(raw) < aclHead || (len(raw)-aclHead)%aclEntry != 0 || binary.LittleEndian.Uint32(raw) != aclVersion {
		return "", errors.New("malformed ACL")
	}
	for entry := raw[aclHead:]; len(entry) > 0; entry = entry[aclEntry:] {
		var convert func(uint32) (uint32, error)
		switch binary.LittleEndian.Uint16(entry) {
		case aclTagUser:
			convert = uid
		case aclTagGroup:
			convert = gid
		default:
			continue
		}
		id, err := convert(binary.LittleEndian.Uint32(entry[aclIDAt:]))
		if err != nil {
			return "", err
		}
		binary.LittleEndian.PutUint32(entry[aclIDAt:], id)
	}
	return string(raw), nil
}
