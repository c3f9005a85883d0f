package spec

import (
	"strings"
	"testing"
)

func TestKeptByJQ(t *testing.T) {
	for text, want := range map[string]bool{
		`{}`: true, `{"a":[0,-5,9007199254740992,true,null,"é\n"]}`: true,
		`{"a":1e2}`: false, `{"a":1.0}`: false, `{"a":-0}`: false, `{"a":9007199254740993}`: false, `{"a":-9223372036854775808}`: false,
		`{"a":"\u00e9"}`: false, `{"a":"\/"}`: false, `{"a":"\ud800"}`: false,
		`{"a":` + strings.Repeat("[", 301) + strings.Repeat("]", 301) + `}`: false,
	} {
		if got := parse(t, text).KeptByJQ(); got != want {
			t.Errorf("%.60s: %v", text, got)
		}
	}
}
