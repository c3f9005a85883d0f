package run

import rspec "github.com/opencontainers/runtime-spec/specs-go"

// Excerpt is what this package looks at of a config.json; the names are those
// of runtime-spec. encoding/json makes ready for each type that it could meet,
// and for the whole of rspec.Spec, with its parts for Windows, Solaris and
// z/OS, that takes longer than the decoding.
type Excerpt struct {
	Process     *Process          `json:"process"`
	Root        *rspec.Root       `json:"root"`
	Mounts      []rspec.Mount     `json:"mounts"`
	Hooks       *rspec.Hooks      `json:"hooks"`
	Annotations map[string]string `json:"annotations"`
	Linux       *Linux            `json:"linux"`
}

// Process is the excerpt of process.
type Process struct {
	Terminal bool       `json:"terminal"`
	User     rspec.User `json:"user"`
	Args     []string   `json:"args"`
	Env      []string   `json:"env"`
	Cwd      string     `json:"cwd"`
}

// Linux is the excerpt of linux.
type Linux struct {
	UIDMappings []rspec.LinuxIDMapping `json:"uidMappings"`
	GIDMappings []rspec.LinuxIDMapping `json:"gidMappings"`
	Namespaces  []rspec.LinuxNamespace `json:"namespaces"`
	CgroupsPath string                 `json:"cgroupsPath"`
	IntelRdt    *struct{}              `json:"intelRdt"`
}
