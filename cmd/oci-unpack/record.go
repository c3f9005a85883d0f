package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/oci-plumbing/oci-plumbing/lib/bundle"
	"github.com/oci-plumbing/oci-plumbing/lib/changeset"
)

// recordFiles notes the identity and ctime of each file of the bundle's rootfs,
// so that oci-commit need not read those that nobody has touched.
func recordFiles(ctx context.Context, b *bundle.Bundle, manifest string) error {
	f, err := os.Open(filepath.Join(b.Dir, manifest))
	if err != nil {
		return fmt.Errorf("record files: %w", err)
	}
	sum := sha256.New()
	_, err = io.Copy(sum, f)
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("record files: %w", err)
	}
	var record bytes.Buffer
	if err := changeset.RecordSnapshot(ctx, b.Rootfs(), hex.EncodeToString(sum.Sum(nil)), &record); err != nil {
		return fmt.Errorf("record files: %w", err)
	}
	if err := os.WriteFile(filepath.Join(b.Dir, changeset.SnapshotFile), record.Bytes(), 0o600); err != nil {
		return fmt.Errorf("record files: %w", err)
	}
	return nil
}
