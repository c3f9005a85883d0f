package run

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	rspec "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// maxConfig bounds config.json.
const maxConfig = 4 << 20

// Config is a config.json (runtime-spec config.md). Members that this package
// does not know are kept when it is changed.
type Config struct {
	// Spec is the decoded form, for reading. Change it by the methods.
	Spec Excerpt
	// raw is the whole document; changed tells whether it is another than was
	// read.
	raw     []byte
	changed bool
}

// ReadConfig reads the config.json at path.
func ReadConfig(path string) (*Config, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fault.Hint(fault.NotFound("%s does not exist", path), "make it with: oci-genspec %s -- CMD", filepath.Dir(path))
	}
	if err != nil {
		return nil, fmt.Errorf("read the config: %w", err)
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, fault.Refused("%s is not a regular file", path)
	}
	c, err := ParseConfig(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

// ParseConfig reads a config.json of at most 4 MiB from in, to its end.
func ParseConfig(in io.Reader) (*Config, error) {
	raw, err := io.ReadAll(io.LimitReader(in, maxConfig+1))
	if err != nil {
		return nil, fmt.Errorf("read the config: %w", err)
	}
	if len(raw) > maxConfig {
		return nil, fault.Refused("the config is larger than %d bytes", maxConfig)
	}
	if len(bytes.TrimSpace(raw)) == 0 {
		return nil, fault.Hint(fault.Refused("the config is empty"), "the command that should have printed it failed")
	}
	c := &Config{raw: raw}
	var syntax *json.SyntaxError
	switch err := json.Unmarshal(raw, &c.Spec); {
	case errors.As(err, &syntax):
		return nil, fault.Refused("the config is not valid JSON: %w, at byte %d", err, syntax.Offset)
	case err != nil:
		return nil, fault.Refused("the config is not a runtime-spec config: %w", err)
	}
	return c, c.check()
}

// NewConfig reads a document that was made from another, and so counts as
// changed.
func NewConfig(raw []byte) (*Config, error) {
	c, err := ParseConfig(bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	c.changed = true
	return c, nil
}

// check refuses what no runtime could run, so that the message is ours.
func (c *Config) check() error {
	s := &c.Spec
	switch {
	case s.Process == nil:
		return fault.Hint(fault.Refused("the config has no process"), "make a whole one with oci-genspec")
	case len(s.Process.Args) == 0 || s.Process.Args[0] == "":
		return fault.Hint(fault.Refused("the config has no process.args"), "give a command: oci-run ... -- CMD")
	case s.Root == nil || s.Root.Path == "":
		return fault.Refused("the config has no root.path")
	case !strings.HasPrefix(s.Process.Cwd, "/"):
		return fault.Refused("process.cwd %q is not an absolute path", s.Process.Cwd)
	}
	words := slices.Concat(s.Process.Args, s.Process.Env, []string{s.Process.Cwd, s.Root.Path})
	for _, m := range s.Mounts {
		words = append(words, m.Destination, m.Source)
	}
	for _, w := range words {
		if strings.ContainsRune(w, 0) {
			return fault.Refused("the config has a NUL character in %q", w)
		}
	}
	return nil
}

// Raw is the document as it was read or last set.
func (c *Config) Raw() []byte { return c.raw }

// Changed returns the document when a method changed it, else nil.
func (c *Config) Changed() ([]byte, error) {
	if !c.changed {
		return nil, nil
	}
	return c.raw, nil
}

// edit changes the document and decodes it again. Numbers stay as they are.
func (c *Config) edit(change func(doc map[string]any)) error {
	var doc map[string]any
	dec := json.NewDecoder(bytes.NewReader(c.raw))
	dec.UseNumber()
	if err := dec.Decode(&doc); err != nil {
		return fmt.Errorf("change the config: %w", err)
	}
	change(doc)
	raw, err := json.Marshal(doc)
	if err != nil {
		return fmt.Errorf("encode the config: %w", err)
	}
	var spec Excerpt
	if err := json.Unmarshal(raw, &spec); err != nil {
		return fmt.Errorf("change the config: %w", err)
	}
	c.raw, c.Spec, c.changed = raw, spec, true
	return nil
}

// object returns the member of doc as an object, which it makes if need be.
func object(doc map[string]any, name string) map[string]any {
	m, ok := doc[name].(map[string]any)
	if !ok {
		m = make(map[string]any)
		doc[name] = m
	}
	return m
}

// Rebase makes the paths absolute that are relative to the bundle: the
// document is going to stand in another directory. Where the bundle's own path
// leads through a link, its real one is taken: runc refuses an absolute root
// with a link in it.
func (c *Config) Rebase(bundle string) error {
	if target, err := filepath.EvalSymlinks(bundle); err == nil {
		bundle = target
	}
	return c.edit(func(doc map[string]any) {
		if root := c.Spec.Root.Path; !filepath.IsAbs(root) {
			object(doc, "root")["path"] = filepath.Join(bundle, root)
		}
		mounts, _ := doc["mounts"].([]any)
		for i, m := range c.Spec.Mounts {
			if isBind(m) && m.Source != "" && !filepath.IsAbs(m.Source) {
				if entry, ok := mounts[i].(map[string]any); ok {
					entry["source"] = filepath.Join(bundle, m.Source)
				}
			}
		}
	})
}

// SetTerminal sets process.terminal.
func (c *Config) SetTerminal(on bool) error {
	if c.Spec.Process.Terminal == on {
		return nil
	}
	return c.edit(func(doc map[string]any) {
		process := object(doc, "process")
		process["terminal"] = on
		if !on {
			delete(process, "consoleSize")
		}
	})
}

// SetArgs sets process.args.
func (c *Config) SetArgs(args []string) error {
	return c.edit(func(doc map[string]any) { object(doc, "process")["args"] = args })
}

// SetEnv sets variables of process.env, NAME=VALUE each, in place of those
// with the same name.
func (c *Config) SetEnv(vars ...string) error {
	env := slices.Clone(c.Spec.Process.Env)
	for _, v := range vars {
		name, _, _ := strings.Cut(v, "=")
		env = slices.DeleteFunc(env, func(old string) bool { return strings.HasPrefix(old, name+"=") })
		env = append(env, v)
	}
	return c.edit(func(doc map[string]any) { object(doc, "process")["env"] = env })
}

// AddMount appends a mount.
func (c *Config) AddMount(m rspec.Mount) error {
	return c.edit(func(doc map[string]any) {
		mounts, _ := doc["mounts"].([]any)
		doc["mounts"] = append(mounts, m)
	})
}

// Rootfs is the absolute path of the root file system, for a config that
// stands in bundle.
func (c *Config) Rootfs(bundle string) string {
	if filepath.IsAbs(c.Spec.Root.Path) {
		return filepath.Clean(c.Spec.Root.Path)
	}
	return filepath.Join(bundle, c.Spec.Root.Path)
}

// hasNamespace reports whether the container gets a namespace of the type, its
// own or that of a path.
func (c *Config) hasNamespace(t rspec.LinuxNamespaceType) bool {
	return c.Spec.Linux != nil && slices.ContainsFunc(c.Spec.Linux.Namespaces, func(n rspec.LinuxNamespace) bool { return n.Type == t })
}

// SharesPIDs reports whether the processes outlive the first one: there is no
// new pid namespace whose end would kill them.
func (c *Config) SharesPIDs() bool {
	return c.Spec.Linux == nil || !slices.ContainsFunc(c.Spec.Linux.Namespaces, func(n rspec.LinuxNamespace) bool {
		return n.Type == rspec.PIDNamespace && n.Path == ""
	})
}

// hookPath is the PATH of a hook that the config gives no environment.
const hookPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// FixHooks gives an environment to hooks that have none: runtimes let those
// inherit one that the image has a say in, LD_PRELOAD and all (CVE-2025-23266).
func (c *Config) FixHooks() error {
	if c.Spec.Hooks == nil {
		return nil
	}
	return c.edit(func(doc map[string]any) {
		for _, stage := range object(doc, "hooks") {
			hooks, _ := stage.([]any)
			for _, hook := range hooks {
				if h, ok := hook.(map[string]any); ok && h["env"] == nil {
					h["env"] = []string{hookPath}
				}
			}
		}
	})
}

// Plain reports whether the runtime has no more to do than for other containers
// when it starts and deletes it: no hooks to run, no group of resctrl to remove.
func (c *Config) Plain() bool {
	return c.Spec.Hooks == nil && (c.Spec.Linux == nil || c.Spec.Linux.IntelRdt == nil)
}

// systemdCgroup reports whether cgroupsPath has systemd's form,
// slice:prefix:name.
func (c *Config) systemdCgroup() bool {
	return c.Spec.Linux != nil && strings.Count(c.Spec.Linux.CgroupsPath, ":") == 2
}

// HostIDs are the ids on the host of the user that the program runs as.
func (c *Config) HostIDs() (uid, gid int) {
	user := c.Spec.Process.User
	if c.Spec.Linux == nil || !c.hasNamespace(rspec.UserNamespace) {
		return int(user.UID), int(user.GID)
	}
	return hostID(user.UID, c.Spec.Linux.UIDMappings), hostID(user.GID, c.Spec.Linux.GIDMappings)
}

// hostID is -1, which chown(2) leaves alone, for an id outside the map.
func hostID(id uint32, maps []rspec.LinuxIDMapping) int {
	for _, m := range maps {
		if id >= m.ContainerID && id-m.ContainerID < m.Size {
			return int(m.HostID) + int(id-m.ContainerID)
		}
	}
	return -1
}

func isBind(m rspec.Mount) bool {
	return m.Type == "bind" || slices.Contains(m.Options, "bind") || slices.Contains(m.Options, "rbind")
}

// stopSignalAnnotation holds the STOPSIGNAL of the image (image-spec
// conversion.md).
const stopSignalAnnotation = "org.opencontainers.image.stopSignal"

// StopSignal is the word for the signal that asks the program to end; "" when
// the config has none.
func (c *Config) StopSignal() string { return c.Spec.Annotations[stopSignalAnnotation] }
