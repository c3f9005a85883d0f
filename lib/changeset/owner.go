package changeset

import (
	"encoding/binary"
	"errors"

	"github.com/oci-plumbing/oci-plumbing/lib/idmap"
)

const capabilityXattr = "security.capability"

// Layout of the attribute (linux/capability.h): a little-endian word with the
// revision in the top byte, two pairs of words, and in revision 3 the uid that
// is root in the namespace the capabilities count in.
const (
	capRevisionMask = 0xff000000
	capRevision2    = 0x02000000
	capRevision3    = 0x03000000
	capSize2        = 20
	capSize3        = 24
)

// imageCapability turns a capability of revision 3, which counts for the root
// of one namespace, into revision 2, when that root is the image's. The image
// knows nothing of the host's ids.
func imageCapability(value string, m idmap.Map) string {
	raw := []byte(value)
	if len(raw) != capSize3 || binary.LittleEndian.Uint32(raw)&capRevisionMask != capRevision3 {
		return value
	}
	root, err := m.ToContainer(binary.LittleEndian.Uint32(raw[capSize2:]))
	if err != nil || root != 0 {
		return value
	}
	magic := binary.LittleEndian.Uint32(raw)&^uint32(capRevisionMask) | capRevision2
	binary.LittleEndian.PutUint32(raw, magic)
	return string(raw[:capSize2])
}

// noID is what user.rootlesscontainers has for an id that is 0.
const noID = 1<<32 - 1

// rootlessOwner reads the two numbers of user.rootlesscontainers, a protobuf
// message with the varints 1 (uid) and 2 (gid); those that it lacks stay.
func rootlessOwner(value string, uid, gid uint32) (u, g uint32, err error) {
	malformed := errors.New("attribute " + rootlessXattr + " is malformed")
	for raw := []byte(value); len(raw) > 0; {
		tag, n := binary.Uvarint(raw)
		if n <= 0 {
			return 0, 0, malformed
		}
		raw = raw[n:]
		id, n := binary.Uvarint(raw)
		if n <= 0 || id > noID || tag != 1<<3 && tag != 2<<3 {
			return 0, 0, malformed
		}
		raw = raw[n:]
		switch {
		case id == noID:
		case tag == 1<<3:
			uid = uint32(id)
		default:
			gid = uint32(id)
		}
	}
	return uid, gid, nil
}
