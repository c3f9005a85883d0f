package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
)

// addService puts into the config what the service manager gives, and the
// init. It comes after the program was looked for, which init would hide.
func (s *starter) addService(context.Context) error {
	if err := s.addListen(); err != nil {
		return err
	}
	// (The run of the runtime, in a script, knows the socket itself.)
	if address := os.Getenv("NOTIFY_SOCKET"); address != "" && !s.DryRun() {
		s.plan.NotifySocket = address
		if err := s.config.AddNotify(s.store, s.id); err != nil {
			return err
		}
	}
	if s.Bool("init") {
		exe, err := os.Executable()
		if err != nil {
			return fmt.Errorf("find the init: %w", err)
		}
		if err := s.config.AddInit(exe); err != nil {
			return err
		}
	}
	changed, err := s.config.Changed()
	if err != nil || changed == nil {
		return err
	}
	// The changed config stands in another directory.
	return s.config.Rebase(s.input.bundle)
}

// findListen counts the sockets of the service manager, if they are for this
// process (sd_listen_fds(3)).
func (s *starter) findListen(context.Context) error {
	if os.Getenv("LISTEN_PID") != strconv.Itoa(os.Getpid()) {
		return nil
	}
	n, err := strconv.Atoi(os.Getenv("LISTEN_FDS"))
	if err != nil || n < 0 {
		return s.Usage("LISTEN_FDS is %q, not a number of sockets", os.Getenv("LISTEN_FDS"))
	}
	if n > 0 && s.Bool("init") {
		return s.Usage("--init and sockets from the service manager exclude each other: they are for pid 1")
	}
	s.listen = n
	return nil
}

// addListen hands them on.
func (s *starter) addListen() error {
	if s.listen == 0 {
		return nil
	}
	return s.config.AddListen(s.listen, os.Getenv("LISTEN_FDNAMES"))
}
