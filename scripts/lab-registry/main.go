// Lab-registry is a registry for the demo, the labs and the tests: on loopback
// only, over plain HTTP, without accounts. It prints its address as soon as it
// can be used, and ends on a signal.
//
// Blobs are kept in a directory; manifests and tags in memory, so that what
// was pushed is gone with the process. For anything that must last there are
// real registries.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
	"golang.org/x/sys/unix"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
	case errors.As(err, new(usageError)):
		os.Exit(2)
	case err != nil:
		fmt.Fprintf(os.Stderr, "lab-registry: error: %v\n", err)
		os.Exit(1)
	}
}

// usageError has been reported by the flag package.
type usageError struct{ error }

// run serves until ctx is done.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("lab-registry", flag.ContinueOnError)
	flags.SetOutput(stderr)
	port := flags.Int("port", 0, "listen on this `PORT` of 127.0.0.1; 0 for any free one")
	dir := flags.String("dir", "", "keep blobs in `DIR`; a temporary one, removed at the end, when not given")
	verbose := flags.Bool("verbose", false, "print each request on stderr")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return usageError{err}
	}

	blobs, discard, err := blobDir(*dir)
	if err != nil {
		return err
	}
	defer discard()

	var listen net.ListenConfig
	listener, err := listen.Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(*port)))
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	logTo := io.Discard
	if *verbose {
		logTo = stderr
	}
	server := &http.Server{
		Handler: registry.New(
			registry.Logger(log.New(logTo, "lab-registry: ", log.Ltime)),
			registry.WithBlobHandler(registry.NewDiskBlobHandler(blobs)),
			registry.WithReferrersSupport(true),
		),
		ReadHeaderTimeout: 10 * time.Second,
	}
	if _, err := fmt.Fprintln(stdout, listener.Addr()); err != nil {
		return fmt.Errorf("print the address: %w", err)
	}
	return serve(ctx, server, listener)
}

// blobDir makes the directory of the blobs, and returns what removes it when
// it was nobody's choice.
func blobDir(dir string) (string, func(), error) {
	if dir == "" {
		temporary, err := os.MkdirTemp("", "lab-registry-")
		if err != nil {
			return "", nil, fmt.Errorf("make a directory for blobs: %w", err)
		}
		return temporary, func() { _ = os.RemoveAll(temporary) }, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", nil, fmt.Errorf("make the directory for blobs: %w", err)
	}
	return dir, func() {}, nil
}

// serve answers until ctx is done, and gives transfers a moment to end.
func serve(ctx context.Context, server *http.Server, listener net.Listener) error {
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	select {
	case err := <-served:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if server.Shutdown(grace) == nil {
		return nil
	}
	if err := server.Close(); err != nil {
		return fmt.Errorf("end: %w", err)
	}
	return nil
}
