package run

import (
	"encoding/hex"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
)

// registeredInterpreter finds the format of the program among those that are
// registered with the kernel's binfmt_misc, such as an emulator's, in the
// directory where it lists them. The interpreter is "" where it need not be in
// the container: the kernel has opened it when it was registered (flag F).
func registeredInterpreter(dir, name string, head []byte) (interpreter string, ok bool) {
	if status, err := os.ReadFile(filepath.Join(dir, "status")); err == nil && strings.TrimSpace(string(status)) != "enabled" {
		return "", false
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", false
	}
	for _, e := range entries {
		if e.Name() == "register" || e.Name() == "status" {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return "", true // one that cannot be known may be the one
		}
		f := parseFormat(string(text))
		if !f.matches(name, head) {
			continue
		}
		if strings.Contains(f.flags, "F") {
			return "", true
		}
		return f.interpreter, true
	}
	return "", false
}

// format is a registered format (Documentation/admin-guide/binfmt-misc.rst).
type format struct {
	enabled                       bool
	interpreter, flags, extension string
	offset                        int
	magic, mask                   []byte
}

// parseFormat reads what the kernel prints of a format, a line for each field.
// What it does not know is left out.
func parseFormat(text string) format {
	var f format
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		value = strings.TrimSpace(value)
		switch key {
		case "enabled":
			f.enabled = true
		case "interpreter":
			f.interpreter = value
		case "flags:":
			f.flags = value
		case "extension":
			f.extension = value
		case "offset":
			f.offset, _ = strconv.Atoi(value)
		case "magic":
			f.magic, _ = hex.DecodeString(value)
		case "mask":
			f.mask, _ = hex.DecodeString(value)
		}
	}
	return f
}

// headSeen is BINPRM_BUF_SIZE, how much of a file the kernel compares.
const headSeen = 256

func (f *format) matches(name string, head []byte) bool {
	switch {
	case !f.enabled:
		return false
	case f.extension != "":
		return path.Ext(name) == f.extension
	case len(f.magic) == 0 || f.offset < 0 || f.offset+len(f.magic) > headSeen:
		return false
	}
	part := make([]byte, headSeen) // the kernel's has zeros behind a short file
	copy(part, head)
	for i, want := range f.magic {
		mask := byte(0xff)
		if i < len(f.mask) {
			mask = f.mask[i]
		}
		if (part[f.offset+i]^want)&mask != 0 {
			return false
		}
	}
	return true
}
