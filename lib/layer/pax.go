package layer

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// paxRecord is one line of a PAX extended header.
type paxRecord struct{ key, value string }

// paxRecords keeps the order, which the oldest sparse format depends on.
type paxRecords []paxRecord

// parsePAX reads records of the form "LENGTH KEY=VALUE\n".
func parsePAX(data []byte, into paxRecords) (paxRecords, error) {
	for rest := string(data); rest != ""; {
		digits, _, ok := strings.Cut(rest, " ")
		length, err := strconv.Atoi(digits)
		if !ok || err != nil || len(digits) > 7 || length <= len(digits)+1 || length > len(rest) {
			return nil, fmt.Errorf("a record has the length %.10q, and %d bytes are left", digits, len(rest))
		}
		record := rest[len(digits)+1 : length]
		rest = rest[length:]
		if !strings.HasSuffix(record, "\n") {
			return nil, errors.New("a record does not end with a newline")
		}
		key, value, ok := strings.Cut(record[:len(record)-1], "=")
		if !ok || key == "" {
			return nil, fmt.Errorf("the record %.40q is not KEY=VALUE", record)
		}
		if strings.ContainsRune(key, 0) {
			return nil, fmt.Errorf("the key %q holds a NUL", key)
		}
		into = append(into, paxRecord{key, value})
	}
	return into, nil
}

const (
	paxXattr        = "SCHILY.xattr."
	paxXattrArchive = "LIBARCHIVE.xattr."
	paxSparsePrefix = "GNU.sparse."
)

// applyPAX overrides the fields of the block. An empty value deletes the
// record: the field of the block stays (POSIX pax, "pax Header Block").
func (e *entry) applyPAX(records paxRecords) (sparse sparseRecords, err error) {
	var archive []xattr
	for _, r := range records {
		if err := e.applyRecord(r, &sparse, &archive); err != nil {
			return sparse, err
		}
	}
	for _, x := range archive {
		if !slices.ContainsFunc(e.xattrs, func(have xattr) bool { return have.name == x.name }) {
			e.xattrs = append(e.xattrs, x)
		}
	}
	return sparse, e.checkXattrs()
}

func (e *entry) applyRecord(r paxRecord, sparse *sparseRecords, archive *[]xattr) (err error) {
	switch {
	case strings.HasPrefix(r.key, paxXattr):
		e.setXattr(r.key[len(paxXattr):], r.value)
		return nil
	case strings.HasPrefix(r.key, paxSparsePrefix):
		return sparse.set(r.key[len(paxSparsePrefix):], r.value, e)
	case r.value == "":
		return nil
	case strings.HasPrefix(r.key, paxXattrArchive):
		x, err := archiveXattr(r.key[len(paxXattrArchive):], r.value)
		*archive = append(*archive, x)
		return err
	}
	switch r.key {
	case "path":
		e.name, err = paxText(r)
	case "linkpath":
		e.link, err = paxText(r)
	case "size":
		e.size, err = paxNumber(r, math.MaxInt64)
	case "uid":
		var n int64
		n, err = paxNumber(r, maxID)
		e.uid = uint32(n)
	case "gid":
		var n int64
		n, err = paxNumber(r, maxID)
		e.gid = uint32(n)
	case "mtime":
		e.mtime, err = paxTime(r)
	}
	return err
}

func paxText(r paxRecord) (string, error) {
	if strings.ContainsRune(r.value, 0) {
		return "", fmt.Errorf("%s %q holds a NUL", r.key, r.value)
	}
	return r.value, nil
}

func paxNumber(r paxRecord, greatest int64) (int64, error) {
	n, err := strconv.ParseInt(r.value, 10, 64)
	if err != nil || n < 0 || n > greatest || strings.HasPrefix(r.value, "+") {
		return 0, fmt.Errorf("%s %.40q is not a number within 0 and %d", r.key, r.value, greatest)
	}
	return n, nil
}

// paxTime reads seconds with a fraction. The nanoseconds count forward from
// the second before: -1.5 is second -2 and 500 000 000 ns.
func paxTime(r paxRecord) (timespec, error) {
	whole, fraction, _ := strings.Cut(r.value, ".")
	sec, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || strings.HasPrefix(whole, "+") {
		return timespec{}, fmt.Errorf("%s %.40q is not a time in seconds", r.key, r.value)
	}
	if strings.Trim(fraction, "0123456789") != "" {
		return timespec{}, fmt.Errorf("%s %.40q is not a time in seconds", r.key, r.value)
	}
	nsec, _ := strconv.ParseInt((fraction + "000000000")[:9], 10, 32)
	if strings.HasPrefix(whole, "-") && nsec > 0 {
		if sec == math.MinInt64 {
			return timespec{}, fmt.Errorf("%s %.40q is out of range", r.key, r.value)
		}
		sec, nsec = sec-1, 1e9-nsec
	}
	return timespec{sec, int32(nsec)}, nil
}

// setXattr keeps the last of equal names.
func (e *entry) setXattr(name, value string) {
	for i := range e.xattrs {
		if e.xattrs[i].name == name {
			e.xattrs[i].value = value
			return
		}
	}
	e.xattrs = append(e.xattrs, xattr{name, value})
}

// archiveXattr decodes libarchive's form: a URL-encoded name, a value in
// base64 that may lack its padding.
func archiveXattr(name, value string) (xattr, error) {
	plain, err := url.PathUnescape(name)
	if err != nil {
		return xattr{}, fmt.Errorf("xattr name %.40q: %w", name, err)
	}
	data, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(value, "="))
	if err != nil {
		return xattr{}, fmt.Errorf("xattr %.40q: %w", plain, err)
	}
	return xattr{plain, string(data)}, nil
}

func (e *entry) checkXattrs() error {
	total := 0
	for _, x := range e.xattrs {
		total += len(x.name) + len(x.value)
		switch {
		case x.name == "" || len(x.name) > maxXattrName || strings.ContainsRune(x.name, 0):
			return fmt.Errorf("the xattr name %.40q is empty, holds a NUL or exceeds %d bytes", x.name, maxXattrName)
		case len(x.value) > maxXattr:
			return fmt.Errorf("xattr %s has %d bytes, more than %d", x.name, len(x.value), maxXattr)
		}
	}
	if total > maxXattrs {
		return fmt.Errorf("the xattrs have %d bytes, more than %d", total, maxXattrs)
	}
	slices.SortFunc(e.xattrs, func(a, b xattr) int { return strings.Compare(a.name, b.name) })
	return nil
}
