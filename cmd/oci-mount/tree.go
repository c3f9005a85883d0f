package main

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/oci-plumbing/oci-plumbing/lib/bundle"
	"github.com/oci-plumbing/oci-plumbing/lib/layer"
	"github.com/oci-plumbing/oci-plumbing/lib/store"
)

// drawImages draws, for people, each image of the list once: its layers as
// they are stacked, the topmost first, with the size of their files and the
// number of entries.
func drawImages(out io.Writer, rows []listed) error {
	var text strings.Builder
	seen := make(map[string]bool)
	for _, row := range rows {
		digest := row.state.Manifest.Digest.String()
		if digest == "" || seen[digest] {
			continue
		}
		seen[digest] = true
		fmt.Fprintf(&text, "\n%s  %s\n", row.state.Reference, shortDigest(row.state))
		if err := drawLayers(&text, row.layers()); err != nil {
			return err
		}
	}
	_, err := io.WriteString(out, text.String())
	return err
}

// drawn is a layer in the picture.
type drawn struct {
	name string
	side layer.Sidecar
}

// layers are those of the store that the mount is made of, the topmost first.
// The bundle's own ones are no part of the image.
func (l *listed) layers() []drawn {
	var layers []drawn
	for _, m := range l.state.Mounts {
		if m.Target != bundle.RootfsDir {
			continue
		}
		for _, path := range m.Lower {
			if filepath.Dir(path) == l.bundle.Dir {
				continue
			}
			entry := store.EntryAt(path)
			d := drawn{name: string(entry.Digest)}
			// A layer whose notes cannot be read is drawn empty: this is a
			// picture, and what is mounted is in the table.
			_ = entry.Sidecar(&d.side)
			layers = append(layers, d)
		}
	}
	return layers
}

func drawLayers(out io.Writer, layers []drawn) error {
	const width, digits = 24, len("sha256:") + 12
	most := int64(1)
	for _, l := range layers {
		most = max(most, l.side.Bytes)
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	for i, l := range layers {
		branch := "├─"
		if i == len(layers)-1 {
			branch = "└─"
		}
		// What is not nothing has a mark.
		marks := int((l.side.Bytes*width + most - 1) / most)
		_, _ = fmt.Fprintf(table, "%s %s\t%s\t%d entries\t  %s\n",
			branch, l.name[:min(digits, len(l.name))], shortSize(l.side.Bytes), l.side.Entries,
			strings.Repeat("█", marks)+strings.Repeat("░", width-marks))
	}
	return table.Flush()
}
