package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	imagespec "github.com/opencontainers/image-spec/specs-go"
	runtimespec "github.com/opencontainers/runtime-spec/specs-go"
)

// version is set by the linker: -X …/lib/cli.version=0.1.0.
var version string

// Version is the version of the toolkit: the linker's, or the module's.
func Version() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "devel"
}

// commit is the revision that the go tool recorded, shortened.
func commit() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 7 {
			return s.Value[:7]
		}
	}
	return ""
}

func printVersion(name string, out io.Writer, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(out).Encode(map[string]string{
			"name": name, "version": Version(), "commit": commit(), "go": runtime.Version(),
			"imageSpec": imagespec.Version, "runtimeSpec": runtimespec.Version,
		})
	}
	built := runtime.Version()
	if c := commit(); c != "" {
		built = "commit " + c + ", " + built
	}
	_, err := fmt.Fprintf(out, "%s %s (%s, image-spec %s, runtime-spec %s)\n", name, Version(), built, imagespec.Version, runtimespec.Version)
	return err
}
