package strictjson

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

type inner struct {
	Name string `json:"name"`
}

type document struct {
	inner
	Items  []inner           `json:"items"`
	Labels map[string]string `json:"labels"`
	Size   int64             `json:"size"`
	Plain  string
}

func TestDecode(t *testing.T) {
	good := map[string]document{
		`{}`: {},
		`{"items":null,"unknown":{"x":[1,{"x":2}]}}`: {},
		`{"size":9007199254740993}`:                  {Size: 9007199254740993},
		`{"labels":{"a":"1","A":"2"}} ` + "\n":       {Labels: map[string]string{"a": "1", "A": "2"}},
		`{"items":[{"name":"x"}],"Plain":"p"}`:       {Items: []inner{{Name: "x"}}, Plain: "p"},
		`{"unknown":1,"Unknown":2}`:                  {},
	}
	for text, want := range good {
		var got document
		if err := Decode([]byte(text), &got); err != nil {
			t.Errorf("Decode(%s) = %v", text, err)
		} else if diff := cmp.Diff(want, got, cmp.AllowUnexported(document{})); diff != "" {
			t.Errorf("Decode(%s) (-want +got):\n%s", text, diff)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	deep := strings.Repeat("[", 200_000)
	bad := map[string]string{
		"":                                    "end",
		`{"items":[]`:                         "end",
		`{"items":[],"items":[]}`:             "duplicate",
		`{"unknown":{"x":1,"x":2}}`:           "duplicate",
		`{"labels":{"a":"1","a":"2"}}`:        "duplicate",
		`{"Items":[]}`:                        "case",
		`{"items":[{"NAME":"x"}]}`:            "case",
		`{"plain":"p"}`:                       "case",
		`{} {}`:                               "after",
		`{}x`:                                 "after",
		`[]`:                                  "array",
		`{"size":"1"}`:                        "size",
		`{"size":1.5}`:                        "size",
		`{"size":1e400}`:                      "size",
		`{"size":99999999999999999999}`:       "size",
		"{\"Plain\":\"\xff\"}":                "UTF-8",
		deep:                                  "deeper",
		`{"unknown":` + deep[:MaxDepth] + `1`: "deeper",
	}
	for text, want := range bad {
		var got document
		err := Decode([]byte(text), &got)
		if !errors.Is(err, fault.ErrRefused) || !strings.Contains(err.Error(), want) {
			t.Errorf("Decode(%.60q) = %v, want a refusal with %q", text, err, want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"items":[{"name":"x"}],"labels":{"a":"b"},"size":3}`))
	f.Add([]byte(`{"a":{"b":[1,2,{"c":null}]}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var got document
		if err := Decode(data, &got); err != nil && !errors.Is(err, fault.ErrRefused) {
			t.Errorf("Decode(%q) = %v, which is no refusal", data, err)
		}
	})
}
