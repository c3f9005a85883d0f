package idmap

import (
	"bufio"
	"os"
	"strconv"
	"strings"
)

// Subordinate returns the first range of ids that file, /etc/subuid or
// /etc/subgid, gives the user with the uid, by number or name (subuid(5)). It
// is to be mapped behind the user's own id, which is root.
func Subordinate(file string, uid int) (Range, bool) {
	f, err := os.Open(file)
	if err != nil {
		return Range{}, false
	}
	defer f.Close()
	name := userName(uid)
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		fields := strings.Split(strings.TrimSpace(lines.Text()), ":")
		if len(fields) != 3 || fields[0] != strconv.Itoa(uid) && (name == "" || fields[0] != name) {
			continue
		}
		first, errFirst := strconv.ParseUint(fields[1], 10, 32)
		size, errSize := strconv.ParseUint(fields[2], 10, 32)
		if errFirst == nil && errSize == nil && size > 0 && first+size < MaxID {
			return Range{Container: 1, Host: uint32(first), Size: uint32(size)}, true
		}
	}
	return Range{}, false
}

// userName finds the name of a user without any library of the host.
func userName(uid int) string {
	data, err := os.ReadFile("/etc/passwd")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(data)) {
		fields := strings.Split(line, ":")
		if len(fields) > 2 && fields[2] == strconv.Itoa(uid) {
			return fields[0]
		}
	}
	return ""
}
