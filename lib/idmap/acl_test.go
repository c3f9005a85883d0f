package idmap

import (
	"encoding/binary"
	"testing"
)

// acl makes the value of tag and id pairs.
func acl(pairs ...uint32) string {
	raw := binary.LittleEndian.AppendUint32(nil, 2)
	for i := 0; i < len(pairs); i += 2 {
		raw = binary.LittleEndian.AppendUint16(raw, uint16(pairs[i]))
		raw = binary.LittleEndian.AppendUint16(raw, 6)
		raw = binary.LittleEndian.AppendUint32(raw, pairs[i+1])
	}
	return string(raw)
}

func TestMapACL(t *testing.T) {
	const owner, user, group, mask, other, none = 1, 2, 8, 16, 32, 1<<32 - 1
	uids, gids := Map{{0, 1000, 10}}, Map{{0, 2000, 10}}
	image := acl(owner, none, user, 3, group, 4, mask, none, other, none)
	host := acl(owner, none, user, 1003, group, 2004, mask, none, other, none)
	got, err := MapACL(image, uids.ToHost, gids.ToHost)
	if err != nil || got != host {
		t.Errorf("to the host: %x, %v, want %x", got, err, host)
	}
	back, err := MapACL(got, uids.ToContainer, gids.ToContainer)
	if err != nil || back != image {
		t.Errorf("to the image: %x, %v, want %x", back, err, image)
	}
	for _, bad := range []string{"", "\x02\x00\x00", acl(user, 3)[:9], "\x03" + acl(user, 3)[1:], acl(user, 10), acl(group, 10)} {
		if got, err := MapACL(bad, uids.ToHost, gids.ToHost); err == nil {
			t.Errorf("MapACL(%x) = %x, want an error", bad, got)
		}
	}
	if !NamesIDs(image) || NamesIDs(acl(owner, none, mask, none)) || NamesIDs("x") {
		t.Error("NamesIDs does not tell the lists with names from others")
	}
}
