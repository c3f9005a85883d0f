package layer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// block makes a ustar header by hand, so that it can hold what no writer
// writes.
func block(name string, flag byte, change func(b []byte)) []byte {
	b := make([]byte, blockSize)
	copy(b, name)
	copy(b[100:], "0000644\x00")
	copy(b[108:], "0000000\x00")
	copy(b[116:], "0000000\x00")
	copy(b[124:], "00000000000\x00")
	copy(b[136:], "00000000005\x00")
	b[156] = flag
	copy(b[257:], "ustar\x0000")
	copy(b[329:], "0000000\x00")
	copy(b[337:], "0000000\x00")
	if change != nil {
		change(b)
	}
	return mend(b)
}

// field sets a field of the header.
func field(at int, value string) func([]byte) {
	return func(b []byte) { copy(b[at:], value) }
}

// pax makes an extended header with ready records.
func pax(records string) []byte {
	b := block("pax", 'x', field(124, fmt.Sprintf("%011o\x00", len(records))))
	return append(append(b, records...), make([]byte, padded(int64(len(records)))-int64(len(records)))...)
}

// record makes one record.
func record(key, value string) string {
	for n := len(key) + len(value) + 3; ; n++ {
		if r := fmt.Sprintf("%d %s=%s\n", n, key, value); len(r) == n {
			return r
		}
	}
}

func join(parts ...[]byte) []byte {
	var all []byte
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

// readAll reads the entries of an archive.
func readAll(data []byte) ([]entry, error) {
	r := newTarReader(context.Background(), chunks(data, 1))
	var all []entry
	for {
		e, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		all = append(all, *e)
	}
}

func TestHeaders(t *testing.T) {
	for _, c := range []struct {
		name string
		data []byte
		want entry
	}{
		{"old regular", block("f", 0, nil), entry{name: "f", kind: '0'}},
		{"old directory", block("d/", 0, nil), entry{name: "d/", kind: '5'}},
		{"contiguous", block("f", '7', nil), entry{name: "f", kind: '0'}},
		{"prefix", block("f", '0', field(345, "dir")), entry{name: "dir/f", kind: '0'}},
		{"base-256 owner", block("f", '0', field(108, "\x80\x00\x00\x00\x80\x00\x00\x00")), entry{name: "f", kind: '0', uid: 1 << 31}},
		{"base-256 time before 1970", block("f", '0', field(136, strings.Repeat("\xff", 12))), entry{name: "f", kind: '0', mtime: timespec{-1, 0}}},
		{"spaces around numbers", block("f", '0', field(108, "   17 \x00\x00")), entry{name: "f", kind: '0', uid: 0o17}},
		{"type bits in the mode", block("f", '0', field(100, "0120777\x00")), entry{name: "f", kind: '0', mode: 0o777}},
		{"pax", join(pax(record("path", "long")+record("uid", "4294967294")+record("mtime", "-1.25")), block("f", '0', nil)), entry{name: "long", kind: '0', uid: maxID, mtime: timespec{-2, 750_000_000}}},
		{"pax deletes", join(pax(record("uid", "")+record("path", "")), block("f", '0', nil)), entry{name: "f", kind: '0'}},
		{"far future", join(pax(record("mtime", "99999999999.5")), block("f", '0', nil)), entry{name: "f", kind: '0', mtime: timespec{99999999999, 500_000_000}}},
		{"global", join(block("g", 'g', field(124, "00000000015\x00")), make([]byte, 512), block("f", '0', nil)), entry{name: "f", kind: '0'}},
		{"gnu long name", join(block("L", 'L', field(124, "00000000005\x00")), append([]byte("long\x00"), make([]byte, 507)...), block("f", '0', nil)), entry{name: "long", kind: '0'}},
		{
			"xattrs", join(pax(record("SCHILY.xattr.user.b", "2")+record("LIBARCHIVE.xattr.user.a%20", "MQ")+record("LIBARCHIVE.xattr.user.b", "OQ==")), block("f", '0', nil)),
			entry{name: "f", kind: '0', xattrs: []xattr{{"user.a ", "1"}, {"user.b", "2"}}},
		},
		{"size of a link", block("h", '1', func(b []byte) { copy(b[124:], "00000001000\x00"); copy(b[157:], "f") }), entry{name: "h", kind: '1', link: "f"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := readAll(append(c.data, make([]byte, 1024)...))
			if err != nil || len(got) != 1 {
				t.Fatalf("readAll = %v, %v", got, err)
			}
			if c.want.mode == 0 {
				c.want.mode = 0o644
			}
			if c.want.mtime == (timespec{}) {
				c.want.mtime = timespec{5, 0}
			}
			if diff := cmp.Diff(c.want, got[0], cmp.AllowUnexported(entry{}, timespec{}, xattr{}, region{})); diff != "" {
				t.Errorf("entry (-want +got):\n%s", diff)
			}
		})
	}
}

func TestHeadersRefused(t *testing.T) {
	sparse := func(change func(b []byte)) []byte {
		return block("f", 'S', func(b []byte) {
			copy(b[257:], "ustar  \x00")
			copy(b[483:], "00000010000\x00")
			change(b)
		})
	}
	good := block("f", '0', nil)
	for name, data := range map[string][]byte{
		"checksum":                 append([]byte("X"), good[1:]...),
		"cut header":               good[:100],
		"uid -1":                   block("f", '0', field(108, strings.Repeat("\xff", 8))),
		"uid 2^32-1":               block("f", '0', field(108, "\x80\x00\x00\x00\xff\xff\xff\xff")),
		"gid 2^32":                 block("f", '0', field(116, "\x80\x00\x00\x01\x00\x00\x00\x00")),
		"uid garbage":              block("f", '0', field(108, "garbage\x00")),
		"uid plus":                 block("f", '0', field(108, "+000001\x00")),
		"size -1":                  block("f", '0', field(124, strings.Repeat("\xff", 12))),
		"size 2^62, short":         block("f", '0', field(124, "\x80\x00\x00\x00\x40\x00\x00\x00\x00\x00\x00\x00")),
		"size 2^80":                block("f", '0', field(124, "\x80\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00")),
		"type Z":                   block("f", 'Z', nil),
		"type V":                   block("f", 'V', nil),
		"major -1":                 block("c", '3', field(329, strings.Repeat("\xff", 8))),
		"major 2^31":               block("c", '3', field(329, "\x80\x00\x00\x00\x80\x00\x00\x00")),
		"minor 2^20":               block("c", '4', field(337, "4000000\x00")),
		"symlink without a target": block("s", '2', nil),
		"pax uid text":             join(pax(record("uid", "abc")), good),
		"pax uid 2^32-1":           join(pax(record("uid", "4294967295")), good),
		"pax uid plus":             join(pax(record("uid", "+1")), good),
		"pax size -1":              join(pax(record("size", "-1")), good),
		"pax mtime nan":            join(pax(record("mtime", "nan")), good),
		"pax mtime inf":            join(pax(record("mtime", "1e400")), good),
		"pax mtime huge":           join(pax(record("mtime", "99999999999999999999")), good),
		"pax path NUL":             join(pax(record("path", "a\x00b")), good),
		"pax link NUL":             join(pax(record("linkpath", "a\x00b")), good),
		"pax key NUL":              join(pax(record("SCHILY.xattr.a\x00b", "v")), good),
		"pax length lies":          join(pax("99 path=x\n"), good),
		"pax length zero":          join(pax("0 path=x\n"), good),
		"pax length huge":          join(pax("99999999999999999999 path=x\n"), good),
		"pax without newline":      join(pax("8 path=x"), good),
		"pax without value":        join(pax("7 path\n"), good),
		"pax at the end":           join(pax(record("path", "x")), make([]byte, 1024)),
		"pax and nothing":          pax(record("path", "x")),
		"pax too long":             block("x", 'x', field(124, "00004000001\x00")),
		"long name too long":       block("x", 'L', field(124, "00100000000\x00")),
		"xattr too long":           join(pax(record("SCHILY.xattr.user.x", strings.Repeat("v", maxXattr+1))), good),
		"xattr name too long":      join(pax(record("SCHILY.xattr.user."+strings.Repeat("n", 256), "v")), good),
		"xattr base64":             join(pax(record("LIBARCHIVE.xattr.user.x", "!")), good),
		"sparse region":            sparse(field(386, "00000010000\x0000000000001\x00")),
		"sparse overlap":           sparse(func(b []byte) { copy(b[386:], "00000000010\x0000000000010\x0000000000011\x0000000000010\x00") }),
		"sparse negative":          sparse(field(386, strings.Repeat("\xff", 24))),
		"sparse stored":            sparse(field(386, "00000000000\x0000000000010\x00")),
		"sparse pax map":           join(pax(record("GNU.sparse.size", "10")+record("GNU.sparse.map", "0,5,3")), good),
		"sparse pax order":         join(pax(record("GNU.sparse.size", "10")+record("GNU.sparse.numbytes", "0")), good),
		"sparse pax unsized":       join(pax(record("GNU.sparse.map", "0,5")), good),
		"sparse pax version":       join(pax(record("GNU.sparse.major", "9")+record("GNU.sparse.minor", "0")+record("GNU.sparse.realsize", "1")), good),
		"after the end":            join(make([]byte, 512), good),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := readAll(data)
			if !errors.Is(err, fault.ErrRefused) {
				t.Errorf("readAll = %v, want a refusal", err)
			}
		})
	}
}

func TestArchiveEnds(t *testing.T) {
	f := block("f", '0', nil)
	for name, data := range map[string][]byte{
		"nothing": nil, "no end mark": f, "half an end mark": join(f, make([]byte, 512)),
		"an end mark": join(f, make([]byte, 1024)), "a record of padding": join(f, make([]byte, 10240)),
		"bytes behind it":             join(f, make([]byte, 1024), []byte("anything")),
		"no padding of the last body": join(block("f", '0', field(124, "00000000003\x00")), []byte("abc")),
	} {
		t.Run(name, func(t *testing.T) {
			got, err := readAll(data)
			if err != nil || len(got) > 1 {
				t.Errorf("readAll = %v, %v", got, err)
			}
		})
	}
}
