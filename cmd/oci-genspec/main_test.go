package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"oci-genspec": main})
}

const imageConfig = `{"architecture": %q, "os": "linux", "rootfs": {"type": "layers", "diff_ids": []},
"config": {"Cmd": ["-c", "id"], "Entrypoint": ["/bin/sh"], "Env": ["FOO=<bar>", "PATH=/bin"], "User": "alice", "Volumes": {"/data": {}},
"Labels": {"run.oci.handler": "evil", "a": "b"}, "Healthcheck": {"Test": ["NONE"]}}}`

// setup puts into the directory of each script a layout "store" with the tag
// "img", and bundles: "b" as oci-unpack leaves it, "plain" without a record.
func setup(env *testscript.Env) error {
	config := fmt.Appendf(nil, imageConfig, runtime.GOARCH)
	files := map[string]string{"image.json": string(config), "store/oci-layout": `{"imageLayoutVersion": "1.0.0"}`, "no-features": "#!/bin/false\n"}
	blob := func(data []byte) string {
		sum := sha256.Sum256(data)
		files["store/blobs/sha256/"+hex.EncodeToString(sum[:])] = string(data)
		return "sha256:" + hex.EncodeToString(sum[:])
	}
	descriptor := func(kind string, data []byte) string {
		return fmt.Sprintf(`{"mediaType": "application/vnd.oci.image.%s.v1+json", "digest": %q, "size": %d`, kind, blob(data), len(data))
	}
	configDescriptor := descriptor("config", config) + "}"
	manifest := fmt.Appendf(nil, `{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": %s, "layers": []}`, configDescriptor)
	manifestDescriptor := descriptor("manifest", manifest)
	files["store/index.json"] = fmt.Sprintf(`{"schemaVersion": 2, "manifests": [%s, "annotations": {"org.opencontainers.image.ref.name": "img"}}]}`, manifestDescriptor)
	files["b/oci-bundle.json"] = fmt.Sprintf(`{"schemaVersion": 1, "tool": "test", "reference": "oci:%s/store:img", "manifest": %s}, "config": %s, "layers": [], "imageConfig": %s}`,
		env.WorkDir, manifestDescriptor, configDescriptor, config)
	for _, b := range []string{"b", "plain"} {
		files[b+"/rootfs/etc/passwd"] = "root:x:0:0::/:\nalice:x:1000:1000::/:\n"
		files[b+"/rootfs/etc/group"] = "wheel:x:10:alice\n"
		files[b+"/rootfs/bin/sh"] = "#!/bin/true\n"
		files[b+"/rootfs/data/seed"] = "seed\n"
	}
	for name, content := range files {
		path := filepath.Join(env.WorkDir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(content), 0o755); err != nil {
			return err
		}
	}
	// The runtime of the machine is no part of the tests.
	env.Setenv("OCI_RUNTIME", filepath.Join(env.WorkDir, "no-features"))
	return nil
}

func TestScript(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script", Setup: setup,
		Condition: func(cond string) (bool, error) { return cond == "root" && os.Geteuid() == 0, nil },
		Cmds:      map[string]func(*testscript.TestScript, bool, []string){"json": jsonValue},
	})
}

// jsonValue compares the value at a path of keys in a JSON file: json FILE
// WANT KEY..., where WANT is JSON, or "none".
func jsonValue(ts *testscript.TestScript, neg bool, args []string) {
	var v any
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &v))
	got := "none"
	for i, key := range args[2:] {
		object, ok := v.(map[string]any)
		if v, ok = object[key], ok && object[key] != nil; !ok {
			break
		}
		if i == len(args)-3 {
			text, err := json.Marshal(v)
			ts.Check(err)
			got = string(text)
		}
	}
	if (got == args[1]) == neg {
		ts.Fatalf("%s %v = %s, want %s (negated: %v)", args[0], args[2:], got, args[1], neg)
	}
}
