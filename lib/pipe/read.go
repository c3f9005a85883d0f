package pipe

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// MaxRecord bounds one record: 1 MiB. A path is at most 4 KiB, and the JSON
// form of a record with its extra members stays far below.
const MaxRecord = 1 << 20

// ErrNothing is the end of input without a single record: the stage before
// failed, and so must this one, even without the shell's pipefail.
var ErrNothing = errors.New("nothing arrived on standard input")

// Reader reads records, one per line, or one per NUL-terminated string.
type Reader struct {
	in   *bufio.Reader
	end  byte
	read int
}

// NewReader reads records from in. With null they end with NUL, not newline.
func NewReader(in io.Reader, null bool) *Reader {
	r := &Reader{in: bufio.NewReader(in), end: '\n'}
	if null {
		r.end = 0
	}
	return r
}

// Next returns the next record, io.EOF after the last, and ErrNothing when
// there was none at all. A last record without its terminator was cut off by
// the death of its writer: that is an error, and the record is not returned.
func (r *Reader) Next() (Record, error) {
	line, err := r.line()
	switch {
	case errors.Is(err, io.EOF) && len(line) > 0:
		return Record{}, fmt.Errorf("record %d on standard input is cut off: %q has no line end", r.read+1, clip(line))
	case errors.Is(err, io.EOF) && r.read == 0:
		return Record{}, fault.Hint(ErrNothing, "the previous command in the pipeline failed or printed no record")
	case errors.Is(err, io.EOF):
		return Record{}, io.EOF
	case err != nil:
		return Record{}, fmt.Errorf("read record %d from standard input: %w", r.read+1, err)
	}
	r.read++
	rec, err := Parse(line)
	if err != nil {
		return Record{}, fmt.Errorf("record %d on standard input: %w", r.read, err)
	}
	return rec, nil
}

// line reads to the terminator, which it drops, and bounds what it holds.
func (r *Reader) line() ([]byte, error) {
	var line []byte
	for {
		part, err := r.in.ReadSlice(r.end)
		if len(line)+len(part) > MaxRecord {
			return nil, fmt.Errorf("longer than %d bytes", MaxRecord)
		}
		line = append(line, part...)
		switch {
		case err == nil:
			return line[:len(line)-1], nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return line, err
		}
	}
}

// Parse reads one record in either form, without its terminator: JSON when
// the first byte is '{', else a plain name.
func Parse(line []byte) (Record, error) {
	switch {
	case len(line) == 0:
		return Record{}, errors.New("the line is empty")
	case bytes.IndexByte(line, 0) >= 0:
		return Record{}, fmt.Errorf("%q contains a NUL byte (records that end with NUL need -0)", clip(line))
	case line[0] != '{':
		return plain(string(line)), nil
	}
	var rec Record
	if err := json.Unmarshal(line, &rec); err != nil {
		return Record{}, fmt.Errorf("malformed JSON record %q: %w", clip(line), err)
	}
	if rec.SchemaVersion > SchemaVersion {
		return Record{}, fmt.Errorf("record has schemaVersion %d, this tool knows up to %d", rec.SchemaVersion, SchemaVersion)
	}
	if rec.Name() == "" {
		return Record{}, fmt.Errorf("JSON record %q has neither path nor image nor id", clip(line))
	}
	return rec, nil
}

// plain guesses the kind of a bare name: an absolute path is a bundle (its
// rootfs is accepted for it), anything else an image.
func plain(name string) Record {
	if name[0] == '/' {
		return Record{Kind: KindBundle, Path: name}
	}
	return Record{Kind: KindImage, Image: name}
}

// clip shortens what is quoted in a message.
func clip(b []byte) []byte {
	const most = 80
	if len(b) > most {
		return append(bytes.Clone(b[:most]), "..."...)
	}
	return b
}
