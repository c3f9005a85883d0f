package pipe

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

var errEnough = errors.New("enough")

// ended is a context that ends soon.
func ended() context.Context {
	ctx, cancel := context.WithCancelCause(context.Background())
	go cancel(errEnough)
	return ctx
}

func TestTheContextEndsWhatBlocks(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	if _, err := io.ReadAll(Input(ended(), r)); !errors.Is(err, errEnough) {
		t.Errorf("a read that blocks: %v", err)
	}
	if _, err := Output(ended(), w).Write(make([]byte, 1<<20)); !errors.Is(err, errEnough) {
		t.Errorf("a write that blocks: %v", err)
	}
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(ended(), fifo, os.O_RDONLY); !errors.Is(err, errEnough) {
		t.Errorf("an open that blocks: %v", err)
	}
}

func TestStreamsPassAsTheyAre(t *testing.T) {
	want := bytes.Repeat([]byte("what passes\n"), 1<<15)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		_, _ = io.Copy(Output(context.Background(), w), bytes.NewReader(want))
		_ = w.Close()
	}()
	got, err := io.ReadAll(Input(context.Background(), r))
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes arrived of %d, %v", len(got), len(want), err)
	}
}
