package strictjson_test

import (
	"testing"
	"unicode/utf8"

	"github.com/oci-plumbing/oci-plumbing/lib/strictjson"
)

func TestQuote(t *testing.T) {
	for _, path := range []string{"dev/null", "n\xff", `"n"`, `"`, "'n'", "`n`", `a"b`, "\u00e9", "\ufffd", ""} {
		text := strictjson.Quote(path)
		if got := strictjson.Unquote(text); got != path || !utf8.ValidString(text) {
			t.Errorf("%q came back as %q, by way of %q", path, got, text)
		}
	}
	if got := strictjson.Quote("a b"); got != "a b" {
		t.Errorf("an ordinary path became %q", got)
	}
	if got := strictjson.Unquote(`"old`); got != `"old` {
		t.Errorf("what nobody has quoted became %q", got)
	}
}
