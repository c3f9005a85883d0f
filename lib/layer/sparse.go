package layer

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
)

// sparseRecords are the PAX records of the three formats that GNU tar has
// used for sparse files (GNU tar manual, "Sparse Formats").
type sparseRecords struct {
	major, minor string
	size         int64 // of the file, holes included
	sized        bool
	pairs        []int64 // offsets and lengths, as formats 0.0 and 0.1 give them
}

func (s *sparseRecords) used() bool { return s.major != "" || s.pairs != nil }

// set takes one record. The name replaces that of the entry, which is made up
// so that a tar without sparse support does not overwrite the file.
func (s *sparseRecords) set(key, value string, e *entry) error {
	switch key {
	case "major":
		s.major = value
	case "minor":
		s.minor = value
	case "name":
		name, err := paxText(paxRecord{key, value})
		if name != "" {
			e.name = name
		}
		return err
	case "size", "realsize":
		n, err := paxNumber(paxRecord{"sparse size", value}, math.MaxInt64)
		s.size, s.sized = n, true
		return err
	case "numblocks":
		if s.pairs == nil {
			s.pairs = []int64{} // a map without regions is a map
		}
		_, err := paxNumber(paxRecord{"sparse " + key, value}, maxRegions)
		return err
	case "offset", "numbytes":
		return s.add(value, key == "offset")
	case "map":
		s.pairs = []int64{}
		if value == "" {
			return nil
		}
		for i := 0; value != ""; i++ {
			var word string
			word, value, _ = strings.Cut(value, ",")
			if err := s.add(word, i%2 == 0); err != nil {
				return err
			}
		}
	}
	return nil
}

// add appends a number whose place must be an offset's or a length's.
func (s *sparseRecords) add(word string, offset bool) error {
	if (len(s.pairs)%2 == 0) != offset || len(s.pairs) >= 2*maxRegions {
		return fmt.Errorf("the sparse map is out of order, or has more than %d regions", maxRegions)
	}
	n, err := paxNumber(paxRecord{"sparse map", word}, math.MaxInt64)
	s.pairs = append(s.pairs, n)
	return err
}

// paxSparse turns the records, or for format 1.0 the head of the body, into
// regions.
func (r *tarReader) paxSparse(s sparseRecords) error {
	e := &r.entry
	if !s.sized {
		return errors.New("a sparse file without its size")
	}
	e.size = s.size
	switch {
	case s.major == "1" && s.minor == "0":
		pairs, err := r.sparseHead()
		if err != nil {
			return err
		}
		return e.setRegions(pairs)
	case s.major == "" || s.major == "0":
		return e.setRegions(s.pairs)
	default:
		return fmt.Errorf("unknown sparse format %.10q.%.10q", s.major, s.minor)
	}
}

// sparseHead reads the map of format 1.0: decimal lines, the count first,
// padded to a block.
func (r *tarReader) sparseHead() ([]int64, error) {
	var numbers []int64
	want := 1
	var line []byte
	for len(numbers) < want {
		if r.entry.stored < blockSize {
			return nil, errors.New("the sparse map exceeds the entry")
		}
		b, err := r.block()
		if errors.Is(err, io.EOF) {
			return nil, errors.New("the archive is cut inside a sparse map")
		}
		if err != nil {
			return nil, err
		}
		r.entry.stored -= blockSize
		for len(numbers) < want {
			head, rest, ok := bytes.Cut(b, []byte("\n"))
			if line = append(line, head...); len(line) > 20 {
				return nil, errors.New("a line of the sparse map is too long")
			}
			if !ok {
				break
			}
			n, err := strconv.ParseInt(string(line), 10, 64)
			if err != nil || n < 0 {
				return nil, fmt.Errorf("the sparse map has %q for a number", line)
			}
			if len(numbers) == 0 {
				if n > maxRegions {
					return nil, fmt.Errorf("the sparse map has %d regions, more than %d", n, maxRegions)
				}
				want += 2 * int(n)
			}
			numbers, line, b = append(numbers, n), line[:0], rest
		}
	}
	return numbers[1:], nil
}

// gnuSparse reads the map of the old GNU format: four regions in the header,
// twenty-one in each block behind it.
func (r *tarReader) gnuSparse(h *header) error {
	if h.format != formatGNU {
		return errors.New("a GNU sparse file in another format's header")
	}
	size, err := number(h.block[483:495])
	if err != nil || size < 0 {
		return errors.New("the real size of a sparse file is not a number")
	}
	r.entry.size = size
	pairs, more, err := sparsePairs(h.block[386:482], h.block[482], nil)
	for err == nil && more {
		var b []byte
		if b, err = r.block(); errors.Is(err, io.EOF) {
			return errors.New("the archive is cut inside a sparse map")
		} else if err == nil {
			pairs, more, err = sparsePairs(b[:504], b[504], pairs)
		}
	}
	if err != nil {
		return err
	}
	return r.entry.setRegions(pairs)
}

func sparsePairs(field []byte, extended byte, pairs []int64) ([]int64, bool, error) {
	for ; len(field) >= 24; field = field[24:] {
		if field[0] == 0 || field[12] == 0 {
			break
		}
		offset, err := number(field[:12])
		if err != nil {
			return nil, false, fmt.Errorf("sparse map: %w", err)
		}
		length, err := number(field[12:24])
		if err != nil {
			return nil, false, fmt.Errorf("sparse map: %w", err)
		}
		pairs = append(pairs, offset, length)
	}
	if len(pairs) > 2*maxRegions {
		return nil, false, fmt.Errorf("the sparse map has more than %d regions", maxRegions)
	}
	return pairs, extended != 0, nil
}

// setRegions checks that the regions ascend, lie inside the file, and hold
// exactly the bytes that follow.
func (e *entry) setRegions(pairs []int64) error {
	if len(pairs)%2 != 0 {
		return errors.New("the sparse map lacks a length")
	}
	e.sparse = true
	var end, data int64
	for i := 0; i < len(pairs); i += 2 {
		g := region{pairs[i], pairs[i+1]}
		if g.length < 0 || g.offset < end || g.length > e.size || g.offset > e.size-g.length {
			return fmt.Errorf("the sparse region of %d bytes at %d overlaps another or exceeds the file of %d", g.length, g.offset, e.size)
		}
		end = g.offset + g.length
		data += g.length
		if g.length > 0 {
			e.regions = append(e.regions, g)
		}
	}
	if data != e.stored {
		return fmt.Errorf("the sparse map wants %d bytes, the archive stores %d", data, e.stored)
	}
	return nil
}
