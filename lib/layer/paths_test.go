package layer

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPathsSurviveJSON(t *testing.T) {
	for _, want := range []Paths{
		{}, {"."}, {".", "a", "a/b", "a/b/c", "a/bc", "b"}, {"100%", "a", "a\xff", "a\xff\xfe/é", "a\xff\xfeé", "b%41"}, {"x", "x"},
	} {
		data, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		var got Paths
		if err := json.Unmarshal(data, &got); err != nil {
			t.Fatalf("Unmarshal(%s) = %v", data, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", data, diff)
		}
	}
}

func TestPathsOfADeepTreeAreSmall(t *testing.T) {
	var deep Paths
	for n := 1; n <= 3000; n++ {
		deep = append(deep, strings.TrimSuffix(strings.Repeat("d/", n), "/"))
	}
	data, err := json.Marshal(deep)
	if err != nil || len(data) > 60_000 {
		t.Errorf("%d bytes, %v", len(data), err)
	}
	var got Paths
	if err := json.Unmarshal(data, &got); err != nil || !cmp.Equal(deep, got) {
		t.Errorf("they came back otherwise: %v", err)
	}
}

func TestMalformedPathsAreErrors(t *testing.T) {
	for _, text := range []string{`["a"]`, `["1:a"]`, `["-1:a"]`, `["0:a","2:b"]`, `[":a"]`, `{}`} {
		var p Paths
		if err := json.Unmarshal([]byte(text), &p); err == nil {
			t.Errorf("Unmarshal(%s) = %q, want an error", text, p)
		}
	}
}
