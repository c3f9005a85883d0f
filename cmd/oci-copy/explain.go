package main

import (
	"sync"

	"github.com/oci-plumbing/oci-plumbing/lib/cli"
	"github.com/oci-plumbing/oci-plumbing/lib/explain"
	"github.com/oci-plumbing/oci-plumbing/lib/fault"
	"github.com/oci-plumbing/oci-plumbing/lib/transport"
)

// lesson tells of copies as commands: while they are made (-x), or as a script
// in place of them (-n).
type lesson struct {
	inv    *cli.Invocation
	copier *transport.Copier

	mu sync.Mutex // of what follows, for jobs that copy at once
	// begun says that a script has its directory, and cleans it up.
	begun bool
}

// script prints the commands that do the same, and copies nothing. What
// depends on the network, the tags of --tags, is left to the commands.
func (r *runner) script() error {
	if err := scriptable(r.inv); err != nil {
		return err
	}
	switch {
	case r.inv.Bool("tags"):
		if _, err := r.filter(); err != nil {
			return err
		}
		return r.lesson.tags(r.inv.Operand(0), r.inv.Operand(1))
	case r.inv.Bool("batch"):
		return r.lines(func(p transport.Pair) error { return r.lessonOf(p.Source, p.Destination) })
	default:
		return r.one(r.lessonOf)
	}
}

func (r *runner) lessonOf(src, dst string) error {
	if err := r.check(src, dst); err != nil {
		return err
	}
	return r.lesson.copy(src, dst)
}

// copy tells of one copy: by hand where a person could, else as the skopeo
// command that makes it.
func (l *lesson) copy(src, dst string) error {
	steps := l.inv.Steps()
	if !steps.Enabled() {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	told, err := l.steps(src, dst)
	if err != nil {
		return err
	}
	for _, s := range told {
		if err := steps.Step(s); err != nil {
			return err
		}
	}
	return nil
}

func (l *lesson) steps(src, dst string) ([]explain.Step, error) {
	plain, err := l.copier.Plain(src, dst)
	if err != nil {
		return nil, err
	}
	if plain {
		if byHand, ok := l.byHand(src, dst); ok {
			l.begun = true
			return byHand, nil
		}
	}
	step := explain.Step{
		Action: "copy " + src + " to " + dst,
		Why:    "manifest first, then the blobs it names that are not there yet, each held to its digest; the name last",
		Ref:    "distribution-spec, Pulling manifests; image-spec, image-layout.md",
	}
	if scriptable(l.inv) == nil {
		step.Command = l.skopeo(src, dst)
	}
	return []explain.Step{step}, nil
}

// scriptable refuses flags of which no command is known that means the same.
func scriptable(inv *cli.Invocation) error {
	for _, f := range inv.Command.Flags {
		switch name := f.Names()[0]; {
		case !inv.IsSet(name):
		case secret[name]:
			return fault.Hint(inv.Usage("--%s is a secret, which a script would show", name), "name a file with it: --authfile FILE")
		case ownAlone[name]:
			return inv.Usage("what --%s asks for cannot be put into a script", name)
		}
	}
	switch many := inv.Bool("batch") || inv.Bool("tags") || inv.Operand(0) == "-"; {
	case many && inv.IsSet("digestfile"):
		return inv.Usage("--digestfile for several images cannot be put into a script")
	case len(inv.StringSlice("platform")) > 1:
		return inv.Usage("an index of several --platform cannot be put into a script")
	}
	return withoutPassphrases(inv)
}

// secret are the flags whose values stay out of what may end in a log.
var secret = map[string]bool{
	"creds": true, "src-creds": true, "dest-creds": true,
	"src-username": true, "dest-username": true, "src-password": true, "dest-password": true,
	"src-registry-token": true, "dest-registry-token": true,
}

// ownAlone are the flags that neither skopeo nor the programs of a script by
// hand have.
var ownAlone = map[string]bool{
	"require-signed": true, "allow-token-server": true, "link-blobs": true, "stall-timeout": true, "keep-going": true,
}
