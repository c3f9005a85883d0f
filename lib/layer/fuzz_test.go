package layer

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// chunks cuts an archive into chunks of a few blocks, so that every boundary
// is met.
func chunks(data []byte, blocks int) chunkSource {
	home := newHome(1)
	return func(context.Context) (*chunk, error) {
		if len(data) == 0 {
			return nil, io.EOF
		}
		c := &chunk{home: home, buf: make([]byte, blocks*blockSize)}
		c.n = copy(c.buf, data)
		data = data[c.n:]
		c.refs.Store(2) // never given back: the test keeps what it reads
		return c, nil
	}
}

// mend gives every block that may be a header the right checksum, without
// which no mutation would get any further.
func mend(data []byte) []byte {
	data = bytes.Clone(data)
	for b := data; len(b) >= blockSize; b = b[blockSize:] {
		if string(b[257:262]) != "ustar" {
			continue
		}
		copy(b[148:156], "        ")
		sum := 0
		for _, c := range b[:blockSize] {
			sum += int(c)
		}
		copy(b[148:156], fmt.Sprintf("%06o\x00 ", sum))
	}
	return data
}

func seeds(f *testing.F) {
	t := &testing.T{}
	for _, text := range []string{
		"", "a=1", "d/ d/f=2 s->d s/g=3 h=>d/f .wh.x d/OPQ p|", strings.Repeat("n", 200) + "=long a->" + strings.Repeat("t", 300),
		"a->b b->a a/x=1", "x=1 x/y=2 .wh..wh.plnk/ .wh.",
	} {
		m, layers := stack(t, parse(t, text))
		for _, l := range layers {
			plain, err := decompress(bytes.NewReader(m[l.Descriptor.Digest]), Gzip, false)
			if err != nil {
				f.Fatal(err)
			}
			data, err := io.ReadAll(plain)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range []*tar.Header{
		{Typeflag: tar.TypeXGlobalHeader, PAXRecords: map[string]string{"path": "no"}},
		{Typeflag: tar.TypeReg, Name: "big", Uid: 1 << 30, PAXRecords: map[string]string{"SCHILY.xattr.user.k": "v"}},
		{Typeflag: tar.TypeChar, Name: "c", Devmajor: 1, Devminor: 3},
	} {
		if err := w.WriteHeader(h); err != nil {
			f.Fatal(err)
		}
	}
	f.Add(b.Bytes())
}

// FuzzApply applies whatever it is given to a tree in memory. Whatever the
// archive says, a name in the tree is a single component, and every refusal
// has its kind.
func FuzzApply(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		data = mend(data)
		opt := Options{MaxLayerBytes: 1 << 30}.withDefaults()
		for _, overlay := range []bool{false, true} {
			a := newApplier(context.Background(), opt, nowhere{})
			a.overlay = overlay
			for i := range 2 { // the second time over what the first has made
				r := newTarReader(context.Background(), chunks(data, 1+i))
				err := a.layerFrom(i, r)
				if errors.Is(err, fault.ErrRefused) {
					break // nobody goes on after that
				}
				if !errors.Is(err, io.EOF) {
					t.Fatalf("layerFrom = %v, want io.EOF or a refusal", err)
				}
			}
			checkTree(t, a.root)
		}
	})
}

func checkTree(t *testing.T, root *node) {
	links := map[*inode]int32{}
	_ = root.walk(func(n *node) error {
		if n.parent != nil && (n.name == "" || n.name == "." || n.name == ".." || strings.ContainsAny(n.name, "/\x00") || len(n.name) > maxComponent) {
			t.Fatalf("the tree has the name %q", n.name)
		}
		if (n.dir != nil) != (n.ino.kind == flagDir) {
			t.Fatalf("%q has kind %q, but is a directory: %v", n.path(), n.ino.kind, n.dir != nil)
		}
		if n.dir == nil && n.ino.kind != flagWhiteout {
			links[n.ino]++
		}
		return nil
	}, nil)
	for ino, n := range links {
		if ino.nlink != n {
			t.Fatalf("an inode counts %d names and has %d", ino.nlink, n)
		}
	}
}

// FuzzTar compares what the parser accepts with the standard library's: where
// both accept an entry they agree on its name, kind, size and contents.
func FuzzTar(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		data = mend(data)
		ours := newTarReader(context.Background(), chunks(data, 2))
		theirs := tar.NewReader(bytes.NewReader(data))
		for {
			e, err := ours.Next()
			if err != nil {
				return
			}
			h, theirErr := theirs.Next()
			for theirErr == nil && h.Typeflag == tar.TypeXGlobalHeader {
				h, theirErr = theirs.Next()
			}
			if theirErr != nil || e.sparse || h.Typeflag == tar.TypeGNUSparse {
				return // it knows less: strange numbers, formats, sparse maps
			}
			if e.name != h.Name || e.kind == flagRegular && e.size != h.Size {
				t.Fatalf("entry %q of %d bytes, the standard library has %q of %d", e.name, e.size, h.Name, h.Size)
			}
			if e.kind != flagRegular {
				continue
			}
			var body []byte
			for {
				p, err := ours.body()
				if err != nil {
					return
				}
				if p == nil {
					break
				}
				body = append(body, p...)
			}
			want, err := io.ReadAll(theirs)
			if err == nil && !bytes.Equal(body, want) {
				t.Fatalf("%q has %d bytes, the standard library reads %d", e.name, len(body), len(want))
			}
		}
	})
}
