package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/oci-plumbing/oci-plumbing/lib/cli"
	"github.com/oci-plumbing/oci-plumbing/lib/fault"
	"github.com/oci-plumbing/oci-plumbing/lib/pipe"
	"github.com/oci-plumbing/oci-plumbing/lib/run"
)

const (
	defaultGrace    = 10 * time.Second
	defaultLogSize  = 10 << 20
	defaultLogFiles = 3
)

// starter collects what is needed to start one container.
type starter struct {
	*cli.Invocation
	id     string
	input  input
	config *run.Config
	plan   run.Plan
	store  *run.Store
	// term is what was decided about the terminal.
	term terminal
	// listen is how many descriptors the service manager handed over.
	listen int
	// extra are the descriptors from 3 on that the program gets.
	extra []*os.File
	// dismiss sends the janitor home; nil without one.
	dismiss func()
}

func start(ctx context.Context, inv *cli.Invocation) error {
	s := &starter{Invocation: inv}
	err := s.withText(s.withUndo(s.launch(ctx)))
	if s.dismiss != nil {
		s.dismiss()
	}
	return err
}

// launch finds out what is to be started, and starts it. The bundle comes
// first, and then who cares for it: from there on --rm undoes it.
func (s *starter) launch(ctx context.Context) error {
	steps := []func(context.Context) error{
		s.findBundle, s.identify, s.findListen, s.takeDescriptors, s.guardBundle, s.checkFlags, s.findConfig, s.hireJanitor,
		s.shapeConfig, s.checkRootfs, s.addService, s.findRuntime, s.planContainer,
	}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return err
		}
	}
	if s.DryRun() {
		return s.script()
	}
	if err := s.trace(); err != nil {
		return err
	}
	if err := s.store.Vacate(ctx, s.plan.Record.Runtime, s.plan.Record.ID, s.Bool("replace")); err != nil {
		return err
	}
	if s.Bool("detach") {
		return s.withFindings(s.detach(ctx))
	}
	return s.withFindings(s.foreground())
}

// withText prints the runtime's own words with -v; the error is ours.
func (s *starter) withText(err error) error {
	if text := run.RuntimeText(err); text != "" {
		s.Log.Detail("the runtime said: %s", text)
	}
	return err
}

func (s *starter) checkFlags(context.Context) error {
	if s.Bool("tty") && s.Bool("no-tty") {
		return s.Usage("--tty and --no-tty exclude each other")
	}
	if !s.Bool("detach") {
		for _, flag := range []string{"container-log", "container-log-format", "container-log-size", "container-log-files"} {
			if s.IsSet(flag) {
				return s.Usage("--%s goes with --detach", flag)
			}
		}
	}
	if s.Bool("follow") {
		return s.Usage("--follow goes with --logs")
	}
	if s.Int("preserve-fds") < 0 {
		return s.Usage("--preserve-fds %d is negative", s.Int("preserve-fds"))
	}
	return nil
}

// identify settles the ID, and opens the store.
func (s *starter) identify(context.Context) error {
	s.id = s.Operand(0)
	if s.id == "" {
		id, err := run.NewID()
		if err != nil {
			return err
		}
		s.id = id
	}
	if err := run.CheckID(s.id); err != nil {
		return err
	}
	s.plan.Record.ID, s.plan.Record.Created, s.plan.RunRoot = s.id, time.Now(), cli.RunRoot()
	var err error
	s.store, err = run.OpenStore(s.plan.RunRoot)
	return err
}

func (s *starter) checkRootfs(context.Context) error {
	if err := run.CheckTargets(s.config, s.input.bundle, s.store.Dir(s.id)); err != nil {
		return err
	}
	return run.CheckProgram(s.config, s.input.bundle)
}

// planContainer makes the plan out of all that was found.
func (s *starter) planContainer(context.Context) error {
	signal, err := s.stopSignal()
	if err != nil {
		return err
	}
	rec := &s.plan.Record
	rec.SchemaVersion, rec.Bundle, rec.Image = run.RecordVersion, s.input.recorded, s.input.image
	rec.Detached, rec.Terminal, rec.Remove = s.Bool("detach"), s.term.on, s.Bool("rm")
	rec.StopSignal, rec.Tool = int(signal), name+" "+cli.Version()
	rec.SharedPIDs = s.config.SharesPIDs()
	if file := s.String("pid-file"); file != "" {
		if rec.PidFile, err = filepath.Abs(file); err != nil {
			return fmt.Errorf("pid file: %w", err)
		}
	}
	rec.Plain, s.plan.Replace = s.config.Plain(), s.Bool("replace")
	s.plan.BundleDir = s.input.bundle
	s.plan.Timeout, s.plan.Grace = s.Duration("timeout"), s.Duration("time")
	if s.plan.Config, err = s.config.Changed(); err != nil {
		return err
	}
	return s.planLog()
}

func (s *starter) planLog() error {
	if !s.Bool("detach") {
		return nil
	}
	uid, gid := s.config.HostIDs()
	log := run.LogPlan{
		Target: s.String("container-log"), Format: s.String("container-log-format"),
		MaxSize: s.Int64("container-log-size"), MaxFiles: s.Int("container-log-files"),
		UID: uid, GID: gid,
	}
	switch log.Target {
	case "":
		log.Target = s.store.DefaultLog(s.plan.Record.ID)
	case run.LogNone, run.LogJournald:
	default:
		var err error
		if log.Target, err = filepath.Abs(log.Target); err != nil {
			return fmt.Errorf("container log: %w", err)
		}
	}
	if err := log.Check(); err != nil {
		return err
	}
	s.plan.Log, s.plan.Record.Log, s.plan.Record.LogFormat = log, log.Target, log.Format
	if log.Format != run.LogRaw {
		s.plan.Record.LogFiles = log.MaxFiles
	}
	return nil
}

func (s *starter) stopSignal() (unix.Signal, error) {
	word := s.String("stop-signal")
	if word == "" {
		word = s.config.StopSignal()
	}
	if word == "" {
		return unix.SIGTERM, nil
	}
	return run.ParseSignal(word)
}

func (s *starter) foreground() error {
	streams := s.term.streams
	streams.Extra = s.extra
	events := run.Events{Warn: s.Log.Warn, Undo: undo}
	outcome, err := run.Supervise(s.plan, run.Inherit(streams), events)
	if err != nil {
		return err
	}
	s.report(outcome)
	return fault.Exit(outcome.Status())
}

// report says what the exit status cannot.
func (s *starter) report(o run.Outcome) {
	switch {
	case o.OOM:
		s.Log.Warn("the kernel killed a process of container %s: out of memory", s.plan.Record.ID)
	case o.Unknown:
		s.Log.Warn("how the program of container %s ended is unknown", s.plan.Record.ID)
	}
}

func (s *starter) detach(ctx context.Context) error {
	pid, err := run.Detach(name, s.plan, s.extra)
	if err == nil {
		rec := pipe.Record{Kind: pipe.KindContainer, ID: s.plan.Record.ID}
		rec.Extra = map[string]any{"pid": pid, "bundle": s.plan.Record.Bundle}
		err = s.Records().Write(rec)
	}
	if err == nil {
		return nil
	}
	// Nobody has learnt the ID, or the monitor has died.
	if derr := s.destroy(ctx); derr != nil {
		s.Log.Warn("%v", derr)
	}
	return err
}

// destroy removes what is there of this container. The ID may be another's.
func (s *starter) destroy(ctx context.Context) error {
	c, err := s.store.Load(s.id)
	if errors.Is(err, fault.ErrNotFound) {
		return nil
	}
	if err != nil || !c.Created.Equal(s.plan.Record.Created) {
		return err
	}
	return c.Destroy(ctx)
}
