package bundle

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
	"github.com/oci-plumbing/oci-plumbing/lib/idmap"
)

// UmociFile is umoci's record in its bundles, and in ours, so that umoci can
// go on from them.
const UmociFile = "umoci.json"

// Umoci is what that record tells.
type Umoci struct {
	From struct {
		Walk []ispec.Descriptor `json:"descriptor_walk"`
	} `json:"from_descriptor_path"`
	Map struct {
		UIDs     idmap.Map `json:"uid_mappings"`
		GIDs     idmap.Map `json:"gid_mappings"`
		Rootless bool      `json:"rootless"`
	} `json:"map_options"`
}

// Umoci reads umoci.json; nil when the bundle has none.
func (b *Bundle) Umoci() (*Umoci, error) {
	path := filepath.Join(b.Dir, UmociFile)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read umoci's record: %w", err)
	}
	var u Umoci
	if err := json.Unmarshal(data, &u); err != nil {
		return nil, fault.Refused("%s: %w", path, err)
	}
	if len(u.From.Walk) == 0 {
		return nil, fault.Refused("%s names no image", path)
	}
	if err := u.Manifest().Digest.Validate(); err != nil {
		return nil, fault.Refused("%s: %w", path, err)
	}
	return &u, nil
}

// Manifest is the image that umoci unpacked, or went on to with repack
// --refresh-bundle: the end of the way from the index.
func (u *Umoci) Manifest() ispec.Descriptor { return u.From.Walk[len(u.From.Walk)-1] }

// MtreeName is the name of the manifest of what an image unpacks to.
func MtreeName(image ispec.Descriptor) string {
	return image.Digest.Algorithm().String() + "_" + image.Digest.Encoded() + ".mtree"
}
