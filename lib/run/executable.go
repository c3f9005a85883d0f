package run

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"strings"
)

// binfmtMisc is where the kernel lists the formats that were registered.
const binfmtMisc = "/proc/sys/fs/binfmt_misc"

// interpreterOf finds the interpreter of the program from its name and head:
// that of the first line, of the ELF program header, or of a format registered
// in the directory. It is "" for a static program. An error says why the kernel
// would not execute the file.
func interpreterOf(name string, head []byte, registered string) (interpreter string, isRegistered bool, err error) {
	interpreter, err = nativeInterpreter(head)
	if err == nil {
		return interpreter, false, nil
	}
	if interpreter, ok := registeredInterpreter(registered, name, head); ok {
		return interpreter, true, nil
	}
	return "", false, err
}

func nativeInterpreter(head []byte) (string, error) {
	if line, ok := bytes.CutPrefix(head, []byte("#!")); ok {
		line, _, _ = bytes.Cut(line, []byte("\n"))
		fields := strings.Fields(string(line))
		if len(fields) == 0 {
			return "", errors.New("has an empty #! line")
		}
		return fields[0], nil
	}
	if bytes.HasPrefix(head, []byte("\x7fELF")) {
		return elfInterpreter(head)
	}
	return "", errors.New("is neither an ELF program nor begins with #! (exec format error)")
}

// elfForm are the places of what is needed of an ELF file, for its class:
// the header's e_phoff, e_phentsize, and in an entry p_offset and p_filesz.
type elfForm struct {
	phoff, phentsize, phnum, offset, filesz, entry int
	word                                           func(order binary.ByteOrder, b []byte) uint64
}

var elfForms = map[byte]elfForm{
	1: {28, 42, 44, 4, 16, 32, func(o binary.ByteOrder, b []byte) uint64 { return uint64(o.Uint32(b)) }},
	2: {32, 54, 56, 8, 32, 56, func(o binary.ByteOrder, b []byte) uint64 { return o.Uint64(b) }},
}

const (
	elfHeader = 64
	ptInterp  = 3
)

// elfInterpreter finds PT_INTERP, as far as it lies in the head, which is where
// linkers put it. debug/elf does not do: it wants the end of the file, too.
func elfInterpreter(head []byte) (string, error) {
	if len(head) < elfHeader {
		return "", errors.New("is a truncated ELF file")
	}
	var order binary.ByteOrder = binary.LittleEndian
	if head[5] == 2 {
		order = binary.BigEndian
	}
	if machine := order.Uint16(head[18:]); !runsHere(machine) {
		return "", fmt.Errorf("is a program for another processor (%s, this is %s), and no emulator is registered for it (exec format error)",
			machineName(machine), runtime.GOARCH)
	}
	form, ok := elfForms[head[4]]
	if !ok {
		return "", errors.New("is an ELF file of unknown class")
	}
	at := form.word(order, head[form.phoff:])
	size := uint64(order.Uint16(head[form.phentsize:]))
	for range order.Uint16(head[form.phnum:]) {
		if at > uint64(len(head)) || size < uint64(form.entry) || at+size > uint64(len(head)) {
			break
		}
		header := head[at : at+size]
		at += size
		if order.Uint32(header) != ptInterp {
			continue
		}
		from, length := form.word(order, header[form.offset:]), form.word(order, header[form.filesz:])
		if from > uint64(len(head)) || length > uint64(len(head)) || from+length > uint64(len(head)) {
			break
		}
		return strings.TrimRight(string(head[from:from+length]), "\x00"), nil
	}
	return "", nil
}

// machines are the ELF machines (e_machine) of Go's architectures.
var machines = map[string]uint16{
	"386": 3, "ppc64le": 21, "s390x": 22, "arm": 40, "amd64": 62, "arm64": 183, "riscv64": 243, "loong64": 258,
}

// runsHere reports whether the kernel may execute programs of the machine by
// itself: its own, and those of the 32-bit sibling.
func runsHere(machine uint16) bool {
	own, known := machines[runtime.GOARCH]
	sibling := map[string]string{"amd64": "386", "arm64": "arm"}[runtime.GOARCH]
	return !known || machine == own || sibling != "" && machine == machines[sibling]
}

func machineName(machine uint16) string {
	for name, number := range machines {
		if number == machine {
			return name
		}
	}
	return fmt.Sprintf("ELF machine %d", machine)
}
