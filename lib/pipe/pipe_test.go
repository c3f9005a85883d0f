package pipe

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

func readAll(in string, null bool) (names []string, err error) {
	r := NewReader(strings.NewReader(in), null)
	for {
		rec, err := r.Next()
		if errors.Is(err, io.EOF) {
			return names, nil
		}
		if err != nil {
			return names, err
		}
		names = append(names, rec.Name())
	}
}

func TestReader(t *testing.T) {
	for _, tc := range []struct {
		in   string
		null bool
		want []string
	}{
		{in: "/a\n", want: []string{"/a"}},
		{in: "/a\noci:/b:c\n", want: []string{"/a", "oci:/b:c"}},
		{in: `{"kind":"bundle","path":"/a"}` + "\n", want: []string{"/a"}},
		{in: `{"kind":"image","image":"oci:/a:b","path":"/x"}` + "\n", want: []string{"oci:/a:b"}},
		{in: "/a\nb\x00/c\x00", null: true, want: []string{"/a\nb", "/c"}},
		{in: "/" + strings.Repeat("x", 10_000) + "\n", want: []string{"/" + strings.Repeat("x", 10_000)}},
	} {
		got, err := readAll(tc.in, tc.null)
		if err != nil {
			t.Errorf("reading %.40q: %v", tc.in, err)
		}
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("reading %.40q (-want +got):\n%s", tc.in, diff)
		}
	}
}

func TestReaderFails(t *testing.T) {
	for _, tc := range []struct{ in, want string }{
		{"", "nothing arrived"},
		{"/a", "cut off"},
		{"/a\n/b", "cut off"},
		{"\n", "empty"},
		{"/a\n\n", "record 2"},
		{"/a\x00\n", "NUL"},
		{"{\n", "malformed"},
		{"{}\n", "neither"},
		{`{"schemaVersion":9,"path":"/a"}` + "\n", "schemaVersion"},
		{strings.Repeat("x", MaxRecord+10) + "\n", "longer"},
	} {
		_, err := readAll(tc.in, false)
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("reading %.40q = %v, want an error with %q", tc.in, err, tc.want)
		}
	}
	if _, err := readAll("", false); !errors.Is(err, ErrNothing) || len(fault.Hints(err)) == 0 {
		t.Errorf("the end of input is %v, want ErrNothing with a hint", err)
	}
}

func TestRecordKeepsUnknownMembers(t *testing.T) {
	in := `{"schemaVersion":1,"kind":"bundle","path":"/a","later":{"x":18446744073709551615},"zeta":[1]}`
	rec, err := Parse([]byte(in))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := NewWriter(&out, true, false).Write(rec); err != nil {
		t.Fatal(err)
	}
	if got := strings.TrimSpace(out.String()); got != in {
		t.Errorf("written again:\n got %s\nwant %s", got, in)
	}
}

func TestWriter(t *testing.T) {
	rec := Record{Kind: KindBundle, Path: "/a\nb"}
	var out bytes.Buffer
	if err := NewWriter(&out, false, false).Write(rec); !errors.Is(err, fault.ErrUsage) || out.Len() > 0 {
		t.Errorf("a newline without -0: %v, wrote %q", err, out.String())
	}
	if err := NewWriter(&out, false, true).Write(rec); err != nil || out.String() != "/a\nb\x00" {
		t.Errorf("with -0: %v, wrote %q", err, out.String())
	}
	out.Reset()
	if err := NewWriter(&out, true, false).Write(rec); err != nil {
		t.Fatal(err)
	}
	var back Record
	if err := json.Unmarshal(out.Bytes(), &back); err != nil || back.Path != rec.Path || strings.Count(out.String(), "\n") != 1 {
		t.Errorf("with --json: %v, wrote %q", err, out.String())
	}
}

func TestWriterReportsALostReader(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if err := NewWriter(w, false, false).Write(Record{Kind: KindBundle, Path: "/a"}); !errors.Is(err, unix.EPIPE) {
		t.Errorf("Write without a reader = %v, want EPIPE", err)
	}
}

func FuzzReader(f *testing.F) {
	f.Add([]byte("/a\noci:/b:c\n"), false)
	f.Add([]byte(`{"kind":"bundle","path":"/a","x":1}`+"\n"), false)
	f.Add([]byte("/a\x00b\x00"), true)
	f.Fuzz(func(t *testing.T, in []byte, null bool) {
		r := NewReader(bytes.NewReader(in), null)
		for {
			rec, err := r.Next()
			if err != nil {
				return
			}
			if rec.Name() == "" {
				t.Fatalf("a record of %q has no name", in)
			}
			var out bytes.Buffer
			err = NewWriter(&out, true, null).Write(rec)
			if errors.Is(err, fault.ErrUsage) && !utf8.ValidString(rec.Path+rec.Image+rec.ID) {
				continue // JSON cannot hold it
			}
			if err != nil {
				t.Fatalf("record of %q cannot be written: %v", in, err)
			}
			again, err := NewReader(&out, null).Next()
			if err != nil || again.Name() != rec.Name() {
				t.Fatalf("%q was written as %q and read as %q, %v", rec.Name(), out.String(), again.Name(), err)
			}
		}
	})
}

func TestChangesAreWholeOrNone(t *testing.T) {
	for _, tc := range []struct {
		json, null bool
		want       string
		refused    string
	}{
		{want: "A /a\nD /b\n", refused: "new\nline"},
		{null: true, want: "A /a\x00D /b\x00"},
		{json: true, want: `{"change":"A","path":"/a"}` + "\n" + `{"change":"D","path":"/b"}` + "\n", refused: "o\xffd"},
		{json: true, null: true, want: `{"change":"A","path":"/a"}` + "\x00" + `{"change":"D","path":"/b"}` + "\x00", refused: "o\xffd"},
	} {
		var out bytes.Buffer
		changes := NewWriter(&out, tc.json, tc.null).Changes()
		err := errors.Join(changes.Add("A", "/a"), changes.Add("D", "/b"))
		if tc.refused != "" && !errors.Is(changes.Add("A", tc.refused), fault.ErrUsage) {
			t.Errorf("%+v: %q is not refused", tc, tc.refused)
		}
		if out.Len() > 0 {
			t.Errorf("%+v: %q was printed before the end", tc, out.String())
		}
		if err = errors.Join(err, changes.Print()); err != nil || out.String() != tc.want {
			t.Errorf("%+v: %q, %v", tc, out.String(), err)
		}
	}
}
