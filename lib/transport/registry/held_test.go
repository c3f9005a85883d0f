package registry

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestHeldBack(t *testing.T) {
	wrong := errors.New("wrong bytes")
	for name, c := range map[string]struct {
		in   io.Reader
		size int64
		want string
		err  error
	}{
		"right":       {strings.NewReader("abcd"), 4, "abcd", nil},
		"in pieces":   {iotest.OneByteReader(strings.NewReader("abcd")), 4, "abcd", nil},
		"end at once": {iotest.DataErrReader(strings.NewReader("abcd")), 4, "abcd", nil},
		"one":         {strings.NewReader("a"), 1, "a", nil},
		"none":        {strings.NewReader(""), 0, "", nil},
		"wrong":       {io.MultiReader(strings.NewReader("abcd"), iotest.ErrReader(wrong)), 4, "abc", wrong},
		"wrong one":   {io.MultiReader(strings.NewReader("a"), iotest.ErrReader(wrong)), 1, "", wrong},
		"short":       {strings.NewReader("ab"), 4, "ab", io.ErrUnexpectedEOF},
		"just short":  {strings.NewReader("abc"), 4, "abc", io.ErrUnexpectedEOF},
	} {
		got, err := io.ReadAll(&heldBack{io.NopCloser(c.in), c.size})
		if string(got) != c.want || !errors.Is(err, c.err) {
			t.Errorf("%s: %q, %v, want %q, %v", name, got, err, c.want, c.err)
		}
	}
	if got, err := io.ReadAll(&heldBack{io.NopCloser(strings.NewReader("abcde")), 4}); string(got) != "abc" || err == nil {
		t.Errorf("long: %q, %v, want a refusal", got, err)
	}
}
