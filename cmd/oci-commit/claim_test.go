package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/oci-plumbing/oci-plumbing/lib/cli"
)

// A commit into a new layout claims it until the image has its tag, so that a
// copy which made the layout, and fails, does not take it away.
func TestClaim(t *testing.T) {
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	must(t, w.WriteHeader(&tar.Header{Name: "file", Mode: 0o644, Size: 5, Format: tar.FormatUSTAR}))
	_, err := w.Write([]byte("hello"))
	must(t, err)
	must(t, w.Close())

	stdin, feed, err := os.Pipe()
	must(t, err)
	store := filepath.Join(t.TempDir(), "store")
	var stderr bytes.Buffer
	ended := make(chan int)
	go func() {
		args := []string{"--from", "scratch", "-", "oci:" + store + ":x"}
		ended <- cli.Main(command(), args, cli.Stdio{In: stdin, Out: io.Discard, Err: &stderr})
		_ = stdin.Close()
	}()
	_, err = feed.Write(archive.Bytes()[:512])
	must(t, err)
	marker := waitFor(t, filepath.Join(store, "oci-layout"))
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		err := unix.Flock(int(marker.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if errors.Is(err, unix.EWOULDBLOCK) {
			break
		}
		must(t, err)
		must(t, unix.Flock(int(marker.Fd()), unix.LOCK_UN))
		if time.Now().After(deadline) {
			t.Fatal("oci-commit writes into the layout and does not claim it")
		}
	}
	_, err = feed.Write(archive.Bytes()[512:])
	must(t, err)
	must(t, feed.Close())
	if status := <-ended; status != 0 {
		t.Errorf("oci-commit ended with %d\n%s", status, stderr.String())
	}
}

// waitFor opens a file that another process is about to make.
func waitFor(t *testing.T, path string) *os.File {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		f, err := os.Open(path)
		if err == nil {
			t.Cleanup(func() { _ = f.Close() })
			return f
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}
