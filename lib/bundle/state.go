package bundle

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"

	"github.com/oci-plumbing/oci-plumbing/lib/durable"
	"github.com/oci-plumbing/oci-plumbing/lib/fault"
	"github.com/oci-plumbing/oci-plumbing/lib/idmap"
	"github.com/oci-plumbing/oci-plumbing/lib/strictjson"
)

// SchemaVersion is the version of the State that this package writes.
const SchemaVersion = 1

// maxState bounds oci-bundle.json: it holds an image config (4 MiB) and a list
// of layers.
const maxState = 16 << 20

// State is the content of oci-bundle.json. It holds no time and no name of the
// host, so that equal work gives equal bytes.
type State struct {
	SchemaVersion int `json:"schemaVersion"`
	// Tool and its version made the bundle: "oci-unpack 0.1.0".
	Tool string `json:"tool"`
	// Reference is the image as it was asked for, oci:/abs/dir:tag.
	Reference string `json:"reference"`
	// Manifest and Config are the descriptors of the image.
	Manifest ispec.Descriptor `json:"manifest"`
	Config   ispec.Descriptor `json:"config"`
	// Platform is what the image is for.
	Platform *ispec.Platform `json:"platform,omitempty"`
	// Layers are those of the image, lowest first.
	Layers []Layer `json:"layers"`
	// UIDMap and GIDMap are the id maps the rootfs was made with.
	UIDMap idmap.Map `json:"uidMap,omitempty"`
	GIDMap idmap.Map `json:"gidMap,omitempty"`
	// Rootless tells that owners are kept in user.rootlesscontainers.
	Rootless bool `json:"rootless,omitempty"`
	// Manifest of the tree, a file name in the bundle; empty without one.
	Mtree string `json:"mtree,omitempty"`
	// Placeholders are the devices of the image that are empty files in the
	// rootfs, since only root can make devices; sorted by path.
	Placeholders []Placeholder `json:"placeholders,omitempty"`
	// Mounts are those that were made in the bundle, and are to be undone.
	Mounts []Mount `json:"mounts,omitempty"`
	// Committed is the image that the last commit made of the upper directory;
	// the mounts, and Manifest, are still those of the image before.
	Committed *ispec.Descriptor `json:"committed,omitempty"`
	// ImageConfig is the image's config as stored, so that config.json can be
	// made when the layout is gone.
	ImageConfig json.RawMessage `json:"imageConfig,omitempty"`
}

// Layer is a layer of the image.
type Layer struct {
	Descriptor ispec.Descriptor `json:"descriptor"`
	DiffID     digest.Digest    `json:"diffID"`
}

// Placeholder is a device that could not be made.
type Placeholder struct {
	// Path is relative to the rootfs, and need not be UTF-8.
	Path string `json:"path"`
	// Type is char or block.
	Type  string `json:"type"`
	Mode  uint32 `json:"mode"`
	Major uint32 `json:"major"`
	Minor uint32 `json:"minor"`
}

// MarshalJSON implements [json.Marshaler].
func (p Placeholder) MarshalJSON() ([]byte, error) {
	type plain Placeholder
	p.Path = strictjson.Quote(p.Path)
	return json.Marshal(plain(p))
}

// UnmarshalJSON implements [json.Unmarshaler].
func (p *Placeholder) UnmarshalJSON(data []byte) error {
	type plain Placeholder
	if err := json.Unmarshal(data, (*plain)(p)); err != nil {
		return err
	}
	p.Path = strictjson.Unquote(p.Path)
	return nil
}

// Mount is a mount that was made in the bundle.
type Mount struct {
	// Target is relative to the bundle.
	Target string `json:"target"`
	// Type is the file system type: overlay, bind, tmpfs, fuse.
	Type string `json:"type"`
	// Lower are the absolute paths of the layers, the topmost first.
	Lower []string `json:"lower,omitempty"`
	// Upper and Work are relative to the bundle.
	Upper string `json:"upper,omitempty"`
	Work  string `json:"work,omitempty"`
	// Options are those passed to the kernel beside the directories.
	Options []string `json:"options,omitempty"`
	// ReadOnly tells that there is no upper directory.
	ReadOnly bool `json:"readOnly,omitempty"`
}

// State reads oci-bundle.json. A bundle that another tool made has none:
// fault.ErrNotFound.
func (b *Bundle) State() (*State, error) {
	path := filepath.Join(b.Dir, StateFile)
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fault.NotFound("bundle %s has no %s: it was not made by oci-unpack or oci-mount", b.Dir, StateFile)
	}
	if err != nil {
		return nil, fmt.Errorf("read bundle state: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxState+1))
	if err != nil {
		return nil, fmt.Errorf("read bundle state: %w", err)
	}
	if len(data) > maxState {
		return nil, fault.Refused("%s is larger than %d bytes", path, maxState)
	}
	var s State
	if err := json.Unmarshal(data, &s); err != nil {
		return nil, fault.Refused("%s: %w", path, err)
	}
	if s.SchemaVersion < 1 || s.SchemaVersion > SchemaVersion {
		return nil, fault.Refused("%s has schemaVersion %d, this tool knows up to %d", path, s.SchemaVersion, SchemaVersion)
	}
	return &s, nil
}

// stateMode keeps what a bundle is made of to its owner.
const stateMode = 0o600

// WriteState replaces oci-bundle.json, and returns when it is durable.
func (b *Bundle) WriteState(s *State) error {
	data, err := s.encode()
	if err != nil {
		return err
	}
	return b.WriteFile(StateFile, data, stateMode)
}

func (s *State) encode() ([]byte, error) {
	out := *s
	out.SchemaVersion = SchemaVersion
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(&out); err != nil {
		return nil, fmt.Errorf("encode %s: %w", StateFile, err)
	}
	return buf.Bytes(), nil
}

// WriteFile replaces the file name in the bundle, and returns when it is
// durable.
func (b *Bundle) WriteFile(name string, data []byte, mode fs.FileMode) error {
	return durable.ReplaceFile(filepath.Join(b.Dir, name), data, mode)
}
