// Package pipe holds the record contract: what one stage prints for the next.
//
// A record is one line, the name of a durable thing, printed last: a line
// means done. The plain form is the name alone; the JSON form is one object
// that carries the name and more. Every stage accepts either.
package pipe

import (
	"encoding/json"
	"maps"
	"slices"
)

// The kinds of records.
const (
	// KindImage names an image in an OCI layout, "oci:/abs/dir:tag".
	KindImage = "image"
	// KindBundle names a bundle directory by its absolute path.
	KindBundle = "bundle"
	// KindMount names a mounted rootfs by its absolute path, BUNDLE/rootfs.
	KindMount = "mount"
	// KindContainer names a container by its ID.
	KindContainer = "container"
)

// SchemaVersion is the version of the JSON form of records.
const SchemaVersion = 1

// Record is the name of one thing a stage made. The zero fields are left out
// of the JSON form.
type Record struct {
	SchemaVersion int    `json:"schemaVersion"`
	Kind          string `json:"kind"`
	// Path is the absolute path of a bundle or mount.
	Path string `json:"path,omitempty"`
	// Image is the reference of an image, oci:/abs/dir:tag.
	Image string `json:"image,omitempty"`
	// ID is the ID of a container.
	ID string `json:"id,omitempty"`
	// Digest is the manifest digest of the image concerned.
	Digest string `json:"digest,omitempty"`
	// Extra are members that this version does not know, or that only one
	// stage prints. Those read are written again.
	Extra map[string]any `json:"-"`
}

// Name is the plain form: the path, else the image, else the ID. For an
// image record the image comes first.
func (r Record) Name() string {
	if r.Kind == KindImage && r.Image != "" {
		return r.Image
	}
	for _, name := range []string{r.Path, r.Image, r.ID} {
		if name != "" {
			return name
		}
	}
	return ""
}

// MarshalJSON writes the known members first and the extra ones after them,
// sorted, so that equal records are equal bytes.
func (r Record) MarshalJSON() ([]byte, error) {
	type plain Record
	if r.SchemaVersion == 0 {
		r.SchemaVersion = SchemaVersion
	}
	out, err := json.Marshal(plain(r))
	if err != nil || len(r.Extra) == 0 {
		return out, err
	}
	out = out[:len(out)-1]
	for _, key := range slices.Sorted(maps.Keys(r.Extra)) {
		name, err := json.Marshal(key)
		if err != nil {
			return nil, err
		}
		value, err := json.Marshal(r.Extra[key])
		if err != nil {
			return nil, err
		}
		out = append(append(append(append(out, ','), name...), ':'), value...)
	}
	return append(out, '}'), nil
}

// UnmarshalJSON keeps the members that this version does not know in Extra.
func (r *Record) UnmarshalJSON(data []byte) error {
	type plain Record
	if err := json.Unmarshal(data, (*plain)(r)); err != nil {
		return err
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(data, &all); err != nil {
		return err
	}
	for _, known := range []string{"schemaVersion", "kind", "path", "image", "id", "digest"} {
		delete(all, known)
	}
	r.Extra = nil
	for key, value := range all {
		if r.Extra == nil {
			r.Extra = make(map[string]any, len(all))
		}
		r.Extra[key] = value
	}
	return nil
}
