package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// start runs the registry and returns its address, and what ends it.
func start(t *testing.T, args ...string) (addr string, end func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	out, in := io.Pipe()
	done := make(chan error, 1)
	go func() {
		err := run(ctx, args, in, io.Discard)
		in.CloseWithError(io.EOF)
		done <- err
	}()
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		cancel()
		t.Fatalf("run(%q) printed no address: %v", args, <-done)
	}
	return strings.TrimSpace(line), func() error { cancel(); return <-done }
}

func TestBlobIsKeptInDirectoryAndServed(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "blobs")
	addr, end := start(t, "-dir", dir)
	if !strings.HasPrefix(addr, "127.0.0.1:") {
		t.Errorf("address = %q, want loopback", addr)
	}

	blob := []byte("a layer")
	hex := fmt.Sprintf("%x", sha256.Sum256(blob))
	url := fmt.Sprintf("http://%s/v2/x/blobs/uploads/?digest=sha256:%s", addr, hex)
	resp, err := http.Post(url, "application/octet-stream", bytes.NewReader(blob))
	if err != nil || resp.StatusCode != http.StatusCreated {
		t.Fatalf("POST = %v, %v, want 201", resp, err)
	}
	resp.Body.Close()

	resp, err = http.Get(fmt.Sprintf("http://%s/v2/x/blobs/sha256:%s", addr, hex))
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil || !bytes.Equal(got, blob) {
		t.Errorf("GET = %q, %v, want %q", got, err, blob)
	}
	if err := end(); err != nil {
		t.Errorf("run after a signal = %v, want nil", err)
	}
	if onDisk, err := os.ReadFile(filepath.Join(dir, "sha256", hex)); err != nil || !bytes.Equal(onDisk, blob) {
		t.Errorf("blob on disk = %q, %v, want %q", onDisk, err, blob)
	}
}

func TestTemporaryDirectoryIsRemoved(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	_, end := start(t)
	if left, _ := filepath.Glob(filepath.Join(os.TempDir(), "*")); len(left) != 1 {
		t.Errorf("while running: %q, want one directory", left)
	}
	if err := end(); err != nil {
		t.Error(err)
	}
	if left, _ := filepath.Glob(filepath.Join(os.TempDir(), "*")); len(left) != 0 {
		t.Errorf("left behind: %q", left)
	}
}

func TestErrors(t *testing.T) {
	addr, end := start(t)
	defer func() { _ = end() }()
	_, port, _ := strings.Cut(addr, ":")
	for _, test := range []struct {
		name  string
		args  []string
		usage bool
	}{
		{"port in use", []string{"-port", port}, false},
		{"unknown flag", []string{"-tls"}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := run(t.Context(), test.args, io.Discard, io.Discard)
			if err == nil || errors.As(err, new(usageError)) != test.usage {
				t.Errorf("run(%q) = %v, want an error, usage error: %t", test.args, err, test.usage)
			}
		})
	}
}
