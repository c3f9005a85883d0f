package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/oci-plumbing/oci-plumbing/lib/cli"
	"github.com/oci-plumbing/oci-plumbing/lib/transport"
)

// digestFile is --digestfile: the digest, or with several images a line of
// digest and reference for each. It is opened before anything is copied.
type digestFile struct {
	file *os.File
	many bool
	// made says that it was not there, and done that it holds a digest.
	made, done bool
}

// openDigestFile returns nil where none is asked for.
func openDigestFile(inv *cli.Invocation) (*digestFile, error) {
	path := inv.String("digestfile")
	if path == "" {
		return nil, nil //nolint:nilnil // none, and no error
	}
	d := &digestFile{many: inv.Bool("batch") || inv.Bool("tags")}
	// The digest of an earlier copy is not to be taken for this one's.
	how := os.O_TRUNC
	if d.many {
		how = os.O_APPEND
	}
	_, err := os.Lstat(path)
	d.made = errors.Is(err, fs.ErrNotExist)
	if d.file, err = os.OpenFile(path, os.O_WRONLY|os.O_CREATE|how, 0o644); err != nil { //nolint:gosec // a digest is no secret
		return nil, fmt.Errorf("digest file: %w", err)
	}
	return d, nil
}

// write adds what was copied, and returns what takes it back.
func (d *digestFile) write(result *transport.Result) (takeBack func(), err error) {
	if d == nil {
		return func() {}, nil
	}
	text := result.Digest.String()
	if d.many {
		text += " " + result.Reference + "\n"
	}
	info, err := d.file.Stat()
	if err != nil {
		return nil, fmt.Errorf("digest file: %w", err)
	}
	before := d.done
	takeBack = func() {
		d.done = before
		if info.Mode().IsRegular() {
			_ = d.file.Truncate(info.Size())
		}
	}
	if _, err := d.file.WriteString(text); err != nil {
		takeBack()
		return nil, fmt.Errorf("digest file: %w", err)
	}
	d.done = true
	return takeBack, nil
}

// close ends the use of the file, and removes one that was made for nothing.
func (d *digestFile) close() error {
	if d == nil {
		return nil
	}
	err := d.file.Close()
	if d.made && !d.done {
		err = errors.Join(err, os.Remove(d.file.Name()))
	}
	if err != nil {
		return fmt.Errorf("digest file: %w", err)
	}
	return nil
}
