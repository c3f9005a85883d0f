package spec

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

func validUTF8(s string) bool { return utf8.ValidString(s) }

// pointer writes a JSON pointer (RFC 6901).
func pointer(tokens ...string) string {
	var b strings.Builder
	for _, t := range tokens {
		b.WriteByte('/')
		b.WriteString(strings.ReplaceAll(strings.ReplaceAll(t, "~", "~0"), "/", "~1"))
	}
	return b.String()
}

// parsePointer reads a JSON pointer.
func parsePointer(s string) ([]string, error) {
	if s == "" {
		return nil, nil
	}
	if s[0] != '/' {
		return nil, fault.Usage("JSON pointer %q does not begin with a slash", s)
	}
	tokens := strings.Split(s[1:], "/")
	for i, t := range tokens {
		if strings.Count(t, "~") != strings.Count(t, "~0")+strings.Count(t, "~1") {
			return nil, fault.Usage("JSON pointer %q: ~ must be followed by 0 or 1", s)
		}
		tokens[i] = strings.ReplaceAll(strings.ReplaceAll(t, "~1", "/"), "~0", "~")
	}
	return tokens, nil
}

// arrayIndex reads an array index of a pointer; "-" is the place behind the
// last element.
func arrayIndex(token string, length int) (int, bool) {
	if token == "-" {
		return length, true
	}
	if token == "" || len(token) > 1 && token[0] == '0' {
		return 0, false
	}
	i, err := strconv.ParseUint(token, 10, 31)
	return int(i), err == nil
}

func itoa(i int) string { return strconv.Itoa(i) }
