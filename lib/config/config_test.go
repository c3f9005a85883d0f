package config

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// rich has members that the image-spec's structs lack, and a number that a
// float cannot hold.
const rich = `{
 "architecture":"arm64","os":"linux","variant":"v8","os.features":["a"],"big":12345678901234567890,"exact":1.10,
 "config":{"Env":["A=1","B=2"],"Cmd":["sh"],"Healthcheck":{"Test":["CMD","<true>"],"Interval":30000000000},
  "Shell":["/bin/bash"],"OnBuild":["RUN x"],"Labels":{"a":"1","b":"2"},"ExposedPorts":{"80/tcp":{}}},
 "container_config":{"Image":"x"},
 "rootfs":{"type":"layers","diff_ids":["sha256:1111111111111111111111111111111111111111111111111111111111111111"]},
 "history":[{"created_by":"one","unknown":7}]}`

func parseRich(t *testing.T) *Image {
	t.Helper()
	img, err := ParseImage([]byte(rich))
	must(t, err)
	return img
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// decoded decodes what Encode gives, with numbers as text.
func decoded(t *testing.T, img *Image) map[string]json.RawMessage {
	t.Helper()
	raw, err := img.Encode()
	must(t, err)
	var all map[string]json.RawMessage
	must(t, json.Unmarshal(raw, &all))
	return all
}

// TestNothingUnknownIsLost: a commit keeps all that no one asked to change.
func TestNothingUnknownIsLost(t *testing.T) {
	img := parseRich(t)
	must(t, img.Apply(Edits{User: "me"}))
	must(t, img.AddLayer("sha256:2222222222222222222222222222222222222222222222222222222222222222"))
	must(t, img.AddHistory(History{Created: time.Unix(0, 0), CreatedBy: "test"}))
	got := decoded(t, img)
	var want map[string]json.RawMessage
	must(t, json.Unmarshal([]byte(rich), &want))
	for _, name := range []string{"architecture", "os", "variant", "os.features", "big", "exact", "container_config"} {
		if string(got[name]) != string(want[name]) {
			t.Errorf("%s = %s, want %s", name, got[name], want[name])
		}
	}
	if _, ok := got["created"]; ok {
		t.Error("an absent date has become one")
	}
	raw, err := img.Encode()
	must(t, err)
	const whole = `{"architecture":"arm64","big":12345678901234567890,"config":{"Cmd":["sh"],"Env":["A=1","B=2"],"ExposedPorts":{"80/tcp":{}},"Healthcheck":{"Test":["CMD","<true>"],"Interval":30000000000},"Labels":{"a":"1","b":"2"},"OnBuild":["RUN x"],"Shell":["/bin/bash"],"User":"me"},"container_config":{"Image":"x"},"exact":1.10,"history":[{"created_by":"one","unknown":7},{"created":"1970-01-01T00:00:00Z","created_by":"test"}],"os":"linux","os.features":["a"],"rootfs":{"diff_ids":["sha256:1111111111111111111111111111111111111111111111111111111111111111","sha256:2222222222222222222222222222222222222222222222222222222222222222"],"type":"layers"},"variant":"v8"}`
	if string(raw) != whole {
		t.Errorf("Encode =\n%s, want\n%s", raw, whole)
	}
}

func TestApply(t *testing.T) {
	for name, tc := range map[string]struct {
		edits  Edits
		member string
		want   string
	}{
		"env in place":     {Edits{Env: []string{"A=x", "C=3"}}, "Env", `["A=x","B=2","C=3"]`},
		"env set twice":    {Edits{Env: []string{"C=3", "C=4"}}, "Env", `["A=1","B=2","C=4"]`},
		"env cleared":      {Edits{Clear: []string{"env"}, Env: []string{"C=3"}}, "Env", `["C=3"]`},
		"env entry":        {Edits{Clear: []string{"env=A"}}, "Env", `["B=2"]`},
		"cmd":              {Edits{Cmd: []string{"a", "b c"}}, "Cmd", `["a","b c"]`},
		"cmd emptied":      {Edits{Cmd: []string{}}, "Cmd", `[]`},
		"entrypoint":       {Edits{Entrypoint: []string{"e"}}, "Entrypoint", `["e"]`},
		"entrypoint alone": {Edits{Entrypoint: []string{"e"}}, "Cmd", `["sh"]`},
		"label":            {Edits{Labels: []string{"b=<new>", "c"}}, "Labels", `{"a":"1","b":"<new>","c":""}`},
		"label cleared":    {Edits{Clear: []string{"label=a"}}, "Labels", `{"b":"2"}`},
		"ports":            {Edits{ExposedPorts: []string{"53/udp", "8080"}}, "ExposedPorts", `{"53/udp":{},"80/tcp":{},"8080/tcp":{}}`},
		"volumes":          {Edits{Volumes: []string{"/v"}}, "Volumes", `{"/v":{}}`},
		"workdir":          {Edits{WorkingDir: "/w"}, "WorkingDir", `"/w"`},
		"signal":           {Edits{StopSignal: "SIGINT"}, "StopSignal", `"SIGINT"`},
		"healthcheck":      {Edits{Clear: []string{"Healthcheck"}}, "Healthcheck", ``},
		"by option's name": {Edits{Clear: []string{"healthcheck"}}, "Healthcheck", ``},
		"patch":            {Edits{Patches: []json.RawMessage{[]byte(`{"config":{"Cmd":null,"Healthcheck":{"Retries":3}}}`)}}, "Healthcheck", `{"Interval":30000000000,"Retries":3,"Test":["CMD","<true>"]}`},
		"patch removes":    {Edits{Patches: []json.RawMessage{[]byte(`{"config":{"Cmd":null}}`)}}, "Cmd", ``},
	} {
		t.Run(name, func(t *testing.T) {
			img := parseRich(t)
			must(t, img.Apply(tc.edits))
			var config map[string]json.RawMessage
			must(t, json.Unmarshal(decoded(t, img)["config"], &config))
			if got := string(config[tc.member]); got != tc.want {
				t.Errorf("Apply(%+v): %s = %s, want %s", tc.edits, tc.member, got, tc.want)
			}
		})
	}
}

func TestApplyRefuses(t *testing.T) {
	for name, edits := range map[string]Edits{
		"env without value":   {Env: []string{"A"}},
		"env without name":    {Env: []string{"=x"}},
		"env with NUL":        {Env: []string{"A=\x00"}},
		"label without name":  {Labels: []string{"=x"}},
		"port":                {ExposedPorts: []string{"http"}},
		"port protocol":       {ExposedPorts: []string{"80/icmp"}},
		"volume":              {Volumes: []string{"v"}},
		"relative workdir":    {WorkingDir: "w"},
		"unknown field":       {Clear: []string{"nothing"}},
		"field of every kind": {Clear: []string{"rootfs"}},
		"patch of a list":     {Patches: []json.RawMessage{[]byte(`[]`)}},
	} {
		if err := parseRich(t).Apply(edits); !errors.Is(err, fault.ErrUsage) {
			t.Errorf("%s: Apply = %v, want a usage error", name, err)
		}
	}
}

// TestMergePatch is the table of RFC 7396, appendix A, as far as the target is
// an object.
func TestMergePatch(t *testing.T) {
	for _, tc := range []struct{ target, patch, want string }{
		{`{"a":"b"}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"b"}`, `{"b":"c"}`, `{"a":"b","b":"c"}`},
		{`{"a":"b"}`, `{"a":null}`, `{}`},
		{`{"a":"b","b":"c"}`, `{"a":null}`, `{"b":"c"}`},
		{`{"a":["b"]}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"c"}`, `{"a":["b"]}`, `{"a":["b"]}`},
		{`{"a":{"b":"c"}}`, `{"a":{"b":"d","c":null}}`, `{"a":{"b":"d"}}`},
		{`{"a":[{"b":"c"}]}`, `{"a":[1]}`, `{"a":[1]}`},
		{`{"e":null}`, `{"a":1}`, `{"a":1,"e":null}`},
		{`[1,2]`, `{"a":"b","c":null}`, `{"a":"b"}`},
		{`{}`, `{"a":{"bb":{"ccc":null}}}`, `{"a":{"bb":{}}}`},
	} {
		got, err := mergePatch([]byte(tc.target), []byte(tc.patch))
		if err != nil || string(got) != tc.want {
			t.Errorf("mergePatch(%s, %s) = %s, %v, want %s", tc.target, tc.patch, got, err, tc.want)
		}
	}
}

func TestDropLayers(t *testing.T) {
	img := parseRich(t)
	must(t, img.DropLayers())
	got := decoded(t, img)
	if want := `[{"created_by":"one","empty_layer":true,"unknown":7}]`; string(got["history"]) != want {
		t.Errorf("history = %s, want %s", got["history"], want)
	}
	if want := `{"diff_ids":[],"type":"layers"}`; string(got["rootfs"]) != want {
		t.Errorf("rootfs = %s, want %s", got["rootfs"], want)
	}
}

func TestNewImage(t *testing.T) {
	img, err := NewImage("linux", "arm", "v7")
	must(t, err)
	must(t, img.SetCreated(time.Date(2020, 1, 2, 3, 4, 5, 600, time.FixedZone("", 3600))))
	raw, err := img.Encode()
	must(t, err)
	want := `{"architecture":"arm","created":"2020-01-02T02:04:05.0000006Z","os":"linux","rootfs":{"diff_ids":[],"type":"layers"},"variant":"v7"}`
	if string(raw) != want {
		t.Errorf("Encode = %s, want %s", raw, want)
	}
}

func TestManifest(t *testing.T) {
	const parent = `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json",
	"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:1111111111111111111111111111111111111111111111111111111111111111","size":1,"annotations":{"kept":"yes"},"data":"e30="},
	"layers":[{"mediaType":"x","digest":"sha256:3333333333333333333333333333333333333333333333333333333333333333","size":3,"annotations":{"of":"layer"},"unknown":1}],
	"annotations":{"a":"1"},"subject":{"unknown":true}}`
	m, err := ParseManifest([]byte(parent))
	must(t, err)
	must(t, m.SetConfig(ispec.Descriptor{MediaType: "c", Digest: "sha256:2222", Size: 9}))
	must(t, m.AddLayer(ispec.Descriptor{MediaType: "l", Digest: "sha256:4444", Size: 4}))
	must(t, m.Annotate(map[string]string{"b": "2"}))
	raw, err := m.Encode()
	must(t, err)
	const want = `{"annotations":{"a":"1","b":"2"},"config":{"annotations":{"kept":"yes"},"digest":"sha256:2222","mediaType":"c","size":9},"layers":[{"mediaType":"x","digest":"sha256:3333333333333333333333333333333333333333333333333333333333333333","size":3,"annotations":{"of":"layer"},"unknown":1},{"mediaType":"l","digest":"sha256:4444","size":4}],"mediaType":"application/vnd.oci.image.manifest.v1+json","schemaVersion":2,"subject":{"unknown":true}}`
	if diff := cmp.Diff(want, string(raw)); diff != "" {
		t.Errorf("Encode (-want +got):\n%s", diff)
	}
	must(t, m.ClearAnnotation("a"))
	must(t, m.ClearAnnotation("b"))
	m.DropLayers()
	if raw, err = m.Encode(); err != nil || len(raw) == 0 || json.Valid(raw) == false {
		t.Errorf("Encode = %s, %v", raw, err)
	}
	if _, ok := m.members["annotations"]; ok {
		t.Error("no annotation is left, but the member is")
	}
}

func TestMalformed(t *testing.T) {
	for _, raw := range []string{`[]`, `{"a":1,"a":2}`, `{} {}`, `{"config":3}`, `{"config":[]}`} {
		if _, err := ParseImage([]byte(raw)); !errors.Is(err, fault.ErrRefused) {
			t.Errorf("ParseImage(%s) = %v, want a refusal", raw, err)
		}
	}
}
