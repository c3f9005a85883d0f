package main

import (
	"strings"

	"github.com/oci-plumbing/oci-plumbing/lib/explain"
)

// trace prints, with -x, the calls of the runtime that are about to be made.
func (s *starter) trace() error {
	steps := s.Steps()
	if !steps.Enabled() {
		return nil
	}
	for _, step := range s.steps() {
		if err := steps.Step(step); err != nil {
			return err
		}
	}
	return nil
}

func (s *starter) steps() []explain.Step {
	rec := s.plan.Record
	create := []string{"create", "--bundle", s.store.BundleDir(&s.plan)}
	if rec.PidFile != "" {
		create = append(create, "--pid-file", rec.PidFile)
	}
	steps := []explain.Step{
		{
			Action: "create the container", Command: explain.Quote(rec.Runtime.Command(append(create, rec.ID)...)...),
			Why: "its first process is set up and waits; a failure up to here is not the program's", Ref: "runtime-spec runtime.md, create",
		},
		{
			Action: "start the program", Command: explain.Quote(rec.Runtime.Command("start", rec.ID)...),
			Why: "from here on the exit status is the program's own", Ref: "runtime-spec runtime.md, start",
		},
	}
	if !rec.Detached || rec.Remove {
		steps = append(steps, explain.Step{
			Action: "delete the container when it has ended", Command: explain.Quote(rec.Runtime.Command("delete", rec.ID)...),
			Why: "the runtime forgets it, and removes its cgroups", Ref: "runtime-spec runtime.md, delete",
		})
	}
	return steps
}

// script prints, with -n, a script that does the same. A shell cannot become
// the parent of the container's process, so that it leaves create, start, wait
// and delete to the runtime's run.
func (s *starter) script() error {
	rec := s.plan.Record
	bundle := explain.Quote(s.plan.BundleDir)
	if s.plan.Config != nil {
		bundle = `"$bundle"`
		if err := s.Steps().Step(explain.Step{
			Action: "make a bundle for the changed config", Command: changedBundle(string(s.plan.Config)),
			Why: "flags, or the lack of a terminal, have changed it; its paths are absolute",
		}); err != nil {
			return err
		}
	}
	words := []string{"run"}
	if rec.Detached {
		words = append(words, "--detach")
	}
	if rec.PidFile != "" {
		words = append(words, "--pid-file", rec.PidFile)
	}
	command := explain.Quote(rec.Runtime.Path) + " " + explain.Quote(append(rec.Runtime.Args, words...)...) + " --bundle " + bundle + " " + explain.Quote(rec.ID)
	if rec.Detached {
		command += " </dev/null >>" + explain.Quote(rec.Log) + " 2>&1"
	}
	return s.Steps().Step(explain.Step{
		Action: "create, start, wait for and delete the container", Command: command,
		Why: "a shell cannot wait for the container's process, which is no child of its own; the runtime's run can", Ref: "runtime-spec runtime.md",
	})
}

// changedBundle writes the config by a here-document, whose end is a line that
// the config, being one line of JSON, does not have.
func changedBundle(config string) string {
	return "bundle=$(mktemp -d)\ntrap 'rm -rf \"$bundle\"' EXIT\ncat >\"$bundle/config.json\" <<'END'\n" + strings.TrimSuffix(config, "\n") + "\nEND"
}
