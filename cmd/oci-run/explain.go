package main

import (
	"path/filepath"
	"strconv"

	"github.com/oci-plumbing/oci-plumbing/lib/explain"
)

// trace prints, with -x, what is about to be done with the runtime.
func (s *starter) trace() error {
	steps := s.Steps()
	if !steps.Enabled() {
		return nil
	}
	all, err := s.steps()
	if err != nil {
		return err
	}
	for _, step := range all {
		if err := steps.Step(step); err != nil {
			return err
		}
	}
	return nil
}

func (s *starter) steps() ([]explain.Step, error) {
	rec := s.plan.Record
	var steps []explain.Step
	if s.Bool("replace") {
		steps = append(steps, s.replaceStep())
	}
	create := []string{"create", "--bundle", s.store.BundleDir(&s.plan)}
	if rec.PidFile != "" {
		create = append(create, "--pid-file", rec.PidFile)
	}
	if rec.Terminal {
		create = append(create, "--console-socket", filepath.Join(s.store.Dir(rec.ID), "console.sock"))
	}
	create = append(create, s.preserveWords()...)
	steps = append(steps, explain.Step{
		Action: "create the container", Command: explain.Quote(rec.Runtime.Command(append(create, rec.ID)...)...),
		Why: "its first process is set up and waits; a failure up to here is not the program's", Ref: "runtime-spec runtime.md, create",
	}, explain.Step{
		Action: "start the program", Command: explain.Quote(rec.Runtime.Command("start", rec.ID)...),
		Why: "from here on the exit status is the program's own", Ref: "runtime-spec runtime.md, start",
	})
	if !rec.Detached || rec.Remove {
		steps = append(steps, explain.Step{
			Action: "delete the container when it has ended", Command: explain.Quote(rec.Runtime.Command("delete", rec.ID)...),
			Why: "the runtime forgets it, and removes its cgroups", Ref: "runtime-spec runtime.md, delete",
		})
	}
	undo, err := s.undoCommands()
	if err == nil && undo != "" {
		steps = append(steps, explain.Step{Action: "undo the bundle", Command: undo, Why: undoWhy})
	}
	return steps, err
}

func (s *starter) replaceStep() explain.Step {
	runtime := s.plan.Record.Runtime
	if c, err := s.store.Load(s.id); err == nil {
		runtime = c.Runtime
	}
	return explain.Step{
		Action: "make room for the container", Command: explain.Quote(runtime.Path) + " " + explain.Quote(append(runtime.Args, "delete", "--force", s.id)...),
		Why: "the one that has the ID is killed; that there is none is no error",
	}
}

// preserveWords tell the runtime of the descriptors that the program gets.
func (s *starter) preserveWords() []string {
	if s.plan.PreserveFDs == 0 {
		return nil
	}
	return []string{"--preserve-fds", strconv.Itoa(s.plan.PreserveFDs)}
}
