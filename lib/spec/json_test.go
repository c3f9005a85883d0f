package spec

import (
	"bytes"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

func TestParseKeepsWhatItDoesNotKnow(t *testing.T) {
	const text = `{
  "zeta": 18446744073709551615,
  "alpha": 1e2,
  "minus": -0.10,
  "false": false,
  "null": null,
  "markup": "Gs <gs@x> & \u003c \/ \ud83d\ude00",
  "empty": [],
  "none": {},
  "nested": [
    [
      1,
      {
        "b": 1,
        "a": 2
      }
    ]
  ]
}
`
	if got := string(parse(t, text).Bytes()); got != text {
		t.Errorf("round trip:\n%s", cmp.Diff(text, got))
	}
}

func TestParseRefuses(t *testing.T) {
	for _, text := range []string{
		``, ` `, `{`, `{}{}`, `{} x`, `{"a":1,}`, `{"a":1,"a":2}`, `{"a":1,"\u0061":2}`, `{a:1}`, `{"a"}`, `{"a":01}`, `{"a":1.}`, `{"a":.5}`, `{"a":+1}`,
		`{"a":1e}`, `{"a":"` + "\x01" + `"}`, `{"a":"\x"}`, `{"a":"\u12"}`, `{"a":"` + "\xff" + `"}`, `{"a":tru}`, `{"a":nan}`, `[1]`, `"a"`, `null`, "\ufeff{}",
		`{"a":` + strings.Repeat("[", maxDepth+1) + strings.Repeat("]", maxDepth+1) + `}`,
		`{"a":"` + strings.Repeat("x", MaxSize) + `"}`,
	} {
		if _, err := Parse([]byte(text)); !errors.Is(err, fault.ErrRefused) {
			t.Errorf("Parse(%.40q) = %v, want a refusal", text, err)
		}
	}
}

// randomJSON makes a value of any kind.
func randomJSON(r *rand.Rand, depth int) any {
	texts := []string{"", "a", "options", "x<y>&z", "\u2028", "é😀", "tab\tnew\nline\"quote\\", "\x7f", "\x01", "process", "linux"}
	numbers := []string{"0", "-1", "18446744073709551615", "-9223372036854775808", "1e2", "0.1", "123456789012345678901234567890"}
	switch kind := r.IntN(8); {
	case kind < 2 && depth > 0:
		list := make([]any, r.IntN(5))
		for i := range list {
			list[i] = randomJSON(r, depth-1)
		}
		return list
	case kind < 5 && depth > 0:
		object := make(map[string]any)
		for range r.IntN(20 / (5 - min(depth, 4))) {
			object[texts[r.IntN(len(texts))]+itoa(r.IntN(30))] = randomJSON(r, depth-1)
		}
		return object
	case kind == 5:
		return r.IntN(2) == 0
	case kind == 6:
		return json.Number(numbers[r.IntN(len(numbers))])
	case kind == 7:
		return nil
	default:
		return texts[r.IntN(len(texts))]
	}
}

// A round trip of any document, by way of a filter that is asked for nothing,
// loses nothing.
func TestRoundTripOfRandomDocuments(t *testing.T) {
	for seed := range uint64(150) {
		r := rand.New(rand.NewPCG(seed, 1))
		value := map[string]any{"ociVersion": "1.0.2", "x": randomJSON(r, 4), "y": randomJSON(r, 2)}
		data, err := json.Marshal(value)
		must(t, err)
		res, err := Filter(parse(t, string(data)), Input{Host: fixedHost()}, Options{})
		if err != nil {
			t.Fatalf("seed %d: Filter = %v", seed, err)
		}
		out := res.Document.Bytes()
		if got := decodeNumbers(t, out); !cmp.Equal(got, decodeNumbers(t, data)) {
			t.Fatalf("seed %d: %s", seed, cmp.Diff(decodeNumbers(t, data), got))
		}
		if again := parse(t, string(out)).Bytes(); !bytes.Equal(again, out) {
			t.Fatalf("seed %d: writing twice differs", seed)
		}
	}
}

func decodeNumbers(t testing.TB, data []byte) any {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var v any
	must(t, dec.Decode(&v))
	return v
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"a":[1,2.5e-3,"x\u00e9",null,true,{"b":{}}]}`))
	f.Add([]byte(`{"a":1,"a":2}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		doc, err := Parse(data)
		valid := json.Valid(data) && utf8.Valid(data)
		if err == nil && !valid {
			t.Fatalf("Parse(%q) takes what is not JSON", data)
		}
		if err != nil {
			return
		}
		out := doc.Bytes()
		if !json.Valid(out) {
			t.Fatalf("Bytes of %q is not JSON: %q", data, out)
		}
		if again := parse(t, string(out)).Bytes(); !bytes.Equal(out, again) {
			t.Fatalf("%q: writing twice differs", data)
		}
		if !cmp.Equal(decodeNumbers(t, data), decodeNumbers(t, out)) {
			t.Fatalf("%q: became %q", data, out)
		}
	})
}
