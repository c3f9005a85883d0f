package spec

import (
	"fmt"
	"slices"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// Input is what a document is made for.
type Input struct {
	// Image is the image config; nil for Filter.
	Image *Image
	// Root is the value of root.path, as a runtime will see it: "rootfs" for
	// a bundle.
	Root string
	// Name is that of the bundle, if there is one: of its cgroup, where a flag
	// says what that is below.
	Name string
	// Rootfs is the tree in which names are resolved; nil when there is none.
	Rootfs *Rootfs
	// Host are the facts of this machine; nil for those of ThisHost.
	Host *Host
	// UIDMap and GIDMap are those that the rootfs was unpacked with.
	UIDMap, GIDMap []IDRange
	// Rootless says that the bundle belongs to a user without privileges.
	Rootless bool
	// Force lets an image of another architecture pass.
	Force bool
}

// Result is a document and what there is to say about it.
type Result struct {
	Document *Document
	// Warnings concern what was asked for and cannot be had, or may fail.
	Warnings []string
	// Ignored are the members of the image config without a place in it.
	Ignored []Ignored
	// CopyUps are directories to fill before the first run.
	CopyUps []CopyUp
}

// CopyUp asks for the content of a directory of the rootfs in a directory of
// the host, which the document mounts over it.
type CopyUp struct {
	// From is a path in the rootfs, To an absolute one on the host.
	From, To string
}

// builder applies the sources to the document, one after the other.
type builder struct {
	*Result
	doc  *Document
	in   Input
	opt  *Options
	host *Host
	// profile is nil in a filter.
	profile *Profile
	// boundingBefore is the bounding set that linux.seccomp was made for.
	boundingBefore []string
	rootless       bool
}

// Generate makes the config.json of an image.
func Generate(in Input, opt Options) (*Result, error) {
	profile, err := LookupProfile(opt.Defaults)
	if err != nil {
		return nil, err
	}
	b := newBuilder(&Document{root: newObject()}, in, opt)
	b.profile = profile
	b.rootless = in.Rootless
	if opt.Rootless != nil {
		b.rootless = *opt.Rootless
	}
	return b.run(b.platform, b.skeleton, b.defaults, b.imageAnnotations, b.imageVolumes, b.flags, b.rootlessTransform, b.mountsBelowUserNamespace, b.finish, b.edits)
}

// Filter applies the options to a copy of the document, and nothing else. To
// apply the same options again changes nothing.
func Filter(doc *Document, in Input, opt Options) (*Result, error) {
	b := newBuilder(doc.Clone(), in, opt)
	b.boundingBefore = b.doc.strings("process", "capabilities", "bounding")
	b.rootless = opt.Rootless != nil && *opt.Rootless
	if opt.Defaults != "" {
		return nil, fault.Usage("--defaults is for making a config.json, not for changing one")
	}
	return b.run(b.flags, b.rootlessTransform, b.mountsBelowUserNamespace, b.finish, b.edits)
}

func newBuilder(doc *Document, in Input, opt Options) *builder {
	if in.Host == nil {
		in.Host = ThisHost()
	}
	return &builder{Result: &Result{Document: doc}, doc: doc, in: in, opt: &opt, host: in.Host}
}

func (b *builder) run(steps ...func() error) (*Result, error) {
	for _, step := range steps {
		if err := step(); err != nil {
			return nil, err
		}
	}
	if err := b.doc.checkStrings(); err != nil {
		return nil, err
	}
	return b.Result, nil
}

// flags applies the options in an order in which the broad ones come first
// and the narrow ones refine them, whatever the order of the command line.
// What --privileged and --device write depends on the user namespace, which
// therefore comes before all else.
func (b *builder) flags() error {
	for _, step := range []func() error{
		b.userNamespace, b.privileged, b.namespaces, b.hostnames, b.sysctls,
		b.user, b.groups, b.capabilities, b.securityOptions,
		b.arguments, b.workDir, b.terminal, b.processLimits,
		b.readOnly, b.flagMounts, b.devices, b.environment, b.systemd, b.initProgram,
		b.resources, b.annotations, b.hooks,
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func (b *builder) warn(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if !slices.Contains(b.Warnings, text) {
		b.Warnings = append(b.Warnings, text)
	}
}

func (b *builder) ignore(pointer, why string) {
	b.Ignored = append(b.Ignored, Ignored{pointer, why})
}

// The origins.

func byFlag(name, why string) *Origin { return &Origin{Source: "flag:" + name, Why: why} }

func fromImage(member, why string) *Origin { return &Origin{Source: "image:" + member, Why: why} }

func derived(what, why string) *Origin { return &Origin{Source: "derived:" + what, Why: why} }

func (b *builder) byDefault(why string) *Origin {
	return &Origin{Source: "default:" + b.profile.Name, Why: why}
}

// checkStrings refuses strings that no system call can carry, and keys like
// them. What came in with the document and was not touched stays as it is.
func (d *Document) checkStrings() error {
	var err error
	d.root.walk(func(path []string, n *node, from *Origin) {
		if err == nil && (from == nil || from.Source != "input") {
			err = checkMember(path, n)
		}
	})
	return err
}

func checkMember(path []string, n *node) error {
	for i, key := range path {
		if checkText("", key) == nil {
			continue // nearly always, and a pointer is not made for nothing
		}
		if err := checkText("key in "+pointer(path[:i]...)+"/", key); err != nil {
			return err
		}
	}
	if n.kind != kindString || checkText("", n.text()) == nil {
		return nil
	}
	return checkText(pointer(path...), n.text())
}

// walk visits each scalar, and each empty array and object, with the origin
// of it or of the nearest node above it.
func (n *node) walk(visit func(path []string, n *node, from *Origin)) {
	n.walkFrom(nil, nil, visit)
}

func (n *node) walkFrom(path []string, from *Origin, visit func([]string, *node, *Origin)) {
	if n.from != nil {
		from = n.from
	}
	if len(n.items)+len(n.members) == 0 {
		visit(path, n, from)
		return
	}
	for i, item := range n.items {
		item.walkFrom(append(path, itoa(i)), from, visit)
	}
	for _, m := range n.members {
		m.value.walkFrom(append(path, m.key), from, visit)
	}
}
