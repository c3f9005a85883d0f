package main

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/oci-plumbing/oci-plumbing/lib/changeset"
	"github.com/oci-plumbing/oci-plumbing/lib/layer"
)

// writeRecords writes, in the current directory, the manifest of the tree and
// the identity and ctime of each file, by which oci-commit knows what nobody
// has touched. Each is a long text: they are made side by side.
func writeRecords(result *layer.Result, manifest string) error {
	record, err := createNew(changeset.SnapshotFile, 0o600)
	if err != nil {
		return err
	}
	recorded := make(chan error, 1)
	go func() { recorded <- writeIdentities(result, record) }()
	sum, err := writeManifest(result, manifest)
	if err = errors.Join(err, <-recorded); err == nil {
		_, err = record.WriteAt([]byte(changeset.SnapshotHeader(sum)), 0)
	}
	return errors.Join(err, record.Close())
}

func createNew(path string, mode os.FileMode) (*os.File, error) {
	return os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
}

// writeManifest returns the sha256 of the manifest, in hex.
func writeManifest(result *layer.Result, path string) (string, error) {
	f, err := createNew(path, 0o644)
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	out := bufio.NewWriterSize(io.MultiWriter(f, sum), 256<<10)
	err = errors.Join(result.WriteManifest(out), out.Flush(), f.Close())
	return hex.EncodeToString(sum.Sum(nil)), err
}

// unknownManifest stands in a header until the manifest is written.
var unknownManifest = strings.Repeat("0", hex.EncodedLen(sha256.Size))

func writeIdentities(result *layer.Result, out io.Writer) error {
	encoder := changeset.NewSnapshotEncoder(out, unknownManifest)
	add := func(name string, id *layer.Identity) {
		if id != nil {
			encoder.Entry(name, statOf(id))
		}
	}
	err := result.Directories(func(d layer.Directory) error {
		encoder.Directory(d.Depth, d.Name)
		if d.Depth == 0 {
			add(".", d.Self())
		}
		d.Entries(add)
		return nil
	})
	if err = errors.Join(err, encoder.Close()); err != nil {
		return fmt.Errorf("record files: %w", err)
	}
	return nil
}

func statOf(id *layer.Identity) changeset.Stat {
	return changeset.Stat{
		Mode: uint32(id.Mode), Size: id.Size, Dev: unix.Mkdev(id.Major, id.Minor), Ino: id.Ino, Btime: id.Btime,
		Ctime: unix.StatxTimestamp{Sec: id.Ctime / int64(time.Second), Nsec: uint32(id.Ctime % int64(time.Second))},
	}
}
