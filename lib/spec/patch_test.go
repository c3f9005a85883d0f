package spec

import (
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"

	jsonpatch "github.com/evanphx/json-patch/v5"
	"github.com/google/go-cmp/cmp"
)

func patched(text, patch string) (string, error) {
	root, err := parseJSON([]byte(text))
	if err != nil {
		return "", err
	}
	b := &builder{doc: &Document{root: root}}
	operations, err := parseJSON([]byte(patch))
	if err != nil {
		return "", err
	}
	if err := b.applyPatch(operations); err != nil {
		return "", err
	}
	return b.doc.root.compact(), nil
}

// The examples of RFC 6902, appendix A.
func TestPatchExamples(t *testing.T) {
	for _, tt := range []struct{ doc, patch, want string }{
		{`{"foo":"bar"}`, `[{"op":"add","path":"/baz","value":"qux"}]`, `{"foo":"bar","baz":"qux"}`},
		{`{"foo":["bar","baz"]}`, `[{"op":"add","path":"/foo/1","value":"qux"}]`, `{"foo":["bar","qux","baz"]}`},
		{`{"baz":"qux","foo":"bar"}`, `[{"op":"remove","path":"/baz"}]`, `{"foo":"bar"}`},
		{`{"foo":["bar","qux","baz"]}`, `[{"op":"remove","path":"/foo/1"}]`, `{"foo":["bar","baz"]}`},
		{`{"baz":"qux","foo":"bar"}`, `[{"op":"replace","path":"/baz","value":"boo"}]`, `{"baz":"boo","foo":"bar"}`},
		{`{"foo":{"bar":"baz","waldo":"fred"},"qux":{"corge":"grault"}}`, `[{"op":"move","from":"/foo/waldo","path":"/qux/thud"}]`, `{"foo":{"bar":"baz"},"qux":{"corge":"grault","thud":"fred"}}`},
		{`{"foo":["all","grass","cows","eat"]}`, `[{"op":"move","from":"/foo/1","path":"/foo/3"}]`, `{"foo":["all","cows","eat","grass"]}`},
		{`{"baz":"qux","foo":["a",2,"c"]}`, `[{"op":"test","path":"/baz","value":"qux"},{"op":"test","path":"/foo/1","value":2}]`, `{"baz":"qux","foo":["a",2,"c"]}`},
		{`{"baz":"qux"}`, `[{"op":"test","path":"/baz","value":"bar"}]`, "error"},
		{`{"foo":"bar"}`, `[{"op":"add","path":"/child","value":{"grandchild":{}}}]`, `{"foo":"bar","child":{"grandchild":{}}}`},
		{`{"foo":"bar"}`, `[{"op":"add","path":"/baz","value":"qux","xyz":123}]`, `{"foo":"bar","baz":"qux"}`},
		{`{"foo":"bar"}`, `[{"op":"add","path":"/baz/bat","value":"qux"}]`, "error"},
		{`{"/":9,"~1":10}`, `[{"op":"test","path":"/~01","value":10}]`, `{"/":9,"~1":10}`},
		{`{"/":9,"~1":10}`, `[{"op":"test","path":"/~01","value":"10"}]`, "error"},
		{`{"foo":["bar"]}`, `[{"op":"add","path":"/foo/-","value":["abc","def"]}]`, `{"foo":["bar",["abc","def"]]}`},
		{`{"a":1e2}`, `[{"op":"test","path":"/a","value":100}]`, `{"a":1e2}`},
		{`{"a":18446744073709551615}`, `[{"op":"test","path":"/a","value":18446744073709551614}]`, "error"},
		{`{"a":[1]}`, `[{"op":"add","path":"/a/01","value":2}]`, "error"},
		{`{"a":[1]}`, `[{"op":"add","path":"/a/2","value":2}]`, "error"},
		{`{"a":{"b":1}}`, `[{"op":"move","from":"/a","path":"/a/b"}]`, "error"},
		{`{"a":1}`, `[{"op":"copy","from":"/a","path":"/b"},{"op":"replace","path":"/a","value":2}]`, `{"a":2,"b":1}`},
		{`{"a":1}`, `[{"op":"frob","path":"/a"}]`, "error"},
		{`{"a":1}`, `[{"op":"add","path":"a","value":1}]`, "error"},
		{`{"a":1}`, `[{"op":"add","path":"/a"}]`, "error"},
	} {
		got, err := patched(tt.doc, tt.patch)
		if err != nil {
			got = "error"
		}
		if got != tt.want {
			t.Errorf("patch %s of %s = %s (%v), want %s", tt.patch, tt.doc, got, err, tt.want)
		}
	}
}

// The examples of RFC 7386, appendix A.
func TestMergeExamples(t *testing.T) {
	for _, tt := range []struct{ target, patch, want string }{
		{`{"a":"b"}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"b"}`, `{"b":"c"}`, `{"a":"b","b":"c"}`},
		{`{"a":"b"}`, `{"a":null}`, `{}`},
		{`{"a":"b","b":"c"}`, `{"a":null}`, `{"b":"c"}`},
		{`{"a":["b"]}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"c"}`, `{"a":["b"]}`, `{"a":["b"]}`},
		{`{"a":{"b":"c"}}`, `{"a":{"b":"d","c":null}}`, `{"a":{"b":"d"}}`},
		{`{"a":[{"b":"c"}]}`, `{"a":[1]}`, `{"a":[1]}`},
		{`["a","b"]`, `["c","d"]`, `["c","d"]`},
		{`{"a":"b"}`, `["c"]`, `["c"]`},
		{`{"a":"foo"}`, `null`, `null`},
		{`{"e":null}`, `{"a":1}`, `{"e":null,"a":1}`},
		{`[1,2]`, `{"a":"b","c":null}`, `{"a":"b"}`},
		{`{}`, `{"a":{"bb":{"ccc":null}}}`, `{"a":{"bb":{}}}`},
	} {
		target, err := parseJSON([]byte(tt.target))
		must(t, err)
		change, err := parseJSON([]byte(tt.patch))
		must(t, err)
		if got := mergePatch(target, change).compact(); got != tt.want {
			t.Errorf("merge %s into %s = %s, want %s", tt.patch, tt.target, got, tt.want)
		}
	}
}

// Random operations do what another implementation does.
func TestPatchAgainstAnother(t *testing.T) {
	const doc = `{"a":[1,{"b":"x"},[2,3]],"c":{"d":{"e":1.5},"f":null},"g":"h"}`
	pointers := []string{"/a", "/a/0", "/a/1", "/a/1/b", "/a/2", "/a/2/1", "/a/-", "/c", "/c/d", "/c/d/e", "/g", "/new", "/c/new", "/a/9", "/no/where"}
	values := []any{1, "s", []int{1}, map[string]int{"k": 1}, true}
	for seed := range uint64(2000) {
		r := rand.New(rand.NewPCG(seed, 2))
		var ops []map[string]any
		for range 1 + r.IntN(3) {
			op := map[string]any{"op": []string{"add", "remove", "replace", "move", "copy"}[r.IntN(5)], "path": pointers[r.IntN(len(pointers))]}
			switch op["op"] {
			case "add", "replace":
				op["value"] = values[r.IntN(len(values))]
			case "move", "copy":
				op["from"] = pointers[r.IntN(len(pointers))]
			}
			ops = append(ops, op)
		}
		patch, err := json.Marshal(ops)
		must(t, err)
		got, gotErr := patched(doc, string(patch))
		other, err := jsonpatch.DecodePatch(patch)
		must(t, err)
		options := jsonpatch.NewApplyOptions()
		options.SupportNegativeIndices = false
		want, wantErr := other.ApplyWithOptions([]byte(doc), options)
		if strings.Contains(string(patch), `"move"`) && (gotErr != nil) != (wantErr != nil) {
			// The other one moves a value into itself.
			continue
		}
		if (gotErr != nil) != (wantErr != nil) {
			t.Errorf("patch %s: %v, another says %v", patch, gotErr, wantErr)
			continue
		}
		if gotErr == nil && !cmp.Equal(decodeNumbers(t, []byte(got)), decodeNumbers(t, want)) {
			t.Errorf("patch %s = %s, another says %s", patch, got, want)
		}
	}
}
