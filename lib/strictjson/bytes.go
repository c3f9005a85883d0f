package strictjson

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// Quote returns what stands in JSON for a path, which need not be UTF-8: itself
// where JSON can hold it, or else the path quoted as in Go. So is a path that
// looks like a quoted one.
func Quote(path string) string {
	if utf8.ValidString(path) && !strings.HasPrefix(path, `"`) {
		return path
	}
	return strconv.Quote(path)
}

// Unquote returns the path of what Quote has made.
func Unquote(text string) string {
	if !strings.HasPrefix(text, `"`) {
		return text
	}
	path, err := strconv.Unquote(text)
	if err != nil {
		return text
	}
	return path
}
