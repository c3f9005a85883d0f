package spec

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"syscall"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

const (
	// maxAccountLine bounds one line of passwd. Longer ones are skipped
	// without being stored; no entry a login program reads is as long.
	maxAccountLine = 64 << 10
	// maxGroupLine bounds one line of group: its member list may hold some
	// hundred thousand names.
	maxGroupLine = 1 << 20
	// maxAccountFile bounds what is read of passwd or group, skipped lines
	// included: a sparse file can be as long as it likes.
	maxAccountFile = 256 << 20
)

// scan calls visit with each line that holds the needle, and with some others,
// until it says stop, and reports whether it did. A needle may begin with the
// end of the line before. A file that is missing has no lines.
func scan(rootfs *Rootfs, name string, longest int, needle string, visit func(line []byte) (stop bool, err error)) (bool, error) {
	file, err := rootfs.openFile(name)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer file.Close()
	limited := &io.LimitedReader{R: file, N: maxAccountFile}
	lines := &lineReader{in: bufio.NewReaderSize(limited, 64<<10), longest: longest}
	for {
		lines.seek([]byte(needle))
		line, err := lines.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return false, fmt.Errorf("read %s in the rootfs: %w", name, err)
		}
		line = bytes.TrimSuffix(line, []byte{'\r'})
		if len(line) == 0 || line[0] == '#' || line[0] == '+' || line[0] == '-' {
			continue
		}
		if stop, err := visit(line); stop || err != nil {
			return stop, err
		}
	}
	if limited.N <= 0 {
		return false, fault.Refused("%s in the rootfs exceeds %d bytes", name, maxAccountFile)
	}
	return false, nil
}

// lineReader reads lines into one buffer, and skips those that are too long.
type lineReader struct {
	in      *bufio.Reader
	longest int
	line    []byte
}

// seek drops the lines before the next one with the needle, as far as the
// buffer reaches: a file of 5 MB has some hundred thousand lines, and to look
// at each takes ten times as long as to search the whole. The last line in the
// buffer, which may go on behind it, is kept.
func (l *lineReader) seek(needle []byte) {
	buffered, _ := l.in.Peek(l.in.Buffered()) // never more than there is
	if bytes.HasPrefix(needle, []byte{'\n'}) && bytes.HasPrefix(buffered, needle[1:]) {
		return // the buffer begins with a line
	}
	at := bytes.Index(buffered, needle)
	switch {
	case at < 0:
		at = len(buffered)
	case needle[0] == '\n':
		at++
	}
	_, _ = l.in.Discard(bytes.LastIndexByte(buffered[:at], '\n') + 1)
}

func (l *lineReader) next() ([]byte, error) {
	for {
		part, err := l.in.ReadSlice('\n')
		if err == nil {
			return part[:len(part)-1], nil
		}
		if errors.Is(err, io.EOF) && len(part) > 0 {
			return part, nil
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return nil, err
		}
		line, whole, err := l.long(part)
		if err != nil || whole {
			return line, err
		}
	}
}

// long collects a line that exceeds the buffer, unless it exceeds longest.
func (l *lineReader) long(part []byte) (line []byte, whole bool, err error) {
	l.line = append(l.line[:0], part...)
	for {
		part, err := l.in.ReadSlice('\n')
		if len(l.line)+len(part) > l.longest {
			return nil, false, l.skip(err)
		}
		l.line = append(l.line, part...)
		switch {
		case err == nil:
			return l.line[:len(l.line)-1], true, nil
		case errors.Is(err, io.EOF):
			return l.line, true, nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, false, err
		}
	}
}

// skip drops the rest of the line, whose last part was read with err.
func (l *lineReader) skip(err error) error {
	for errors.Is(err, bufio.ErrBufferFull) {
		_, err = l.in.ReadSlice('\n')
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
