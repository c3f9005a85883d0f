package config

import (
	"encoding/json"
	"fmt"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// Manifest is an image manifest under edit.
type Manifest struct{ members object }

// ParseManifest reads an image manifest.
func ParseManifest(raw []byte) (*Manifest, error) {
	members, err := parse(raw, "manifest")
	if err != nil {
		return nil, err
	}
	return &Manifest{members: members}, nil
}

// NewManifest returns a manifest of the image-spec without layers.
func NewManifest() *Manifest {
	return &Manifest{members: object{
		"schemaVersion": json.RawMessage("2"),
		"mediaType":     json.RawMessage(`"` + ispec.MediaTypeImageManifest + `"`),
		"layers":        json.RawMessage("[]"),
	}}
}

// Encode returns the document.
func (m *Manifest) Encode() ([]byte, error) {
	raw, err := encode(m.members)
	if err != nil {
		return nil, fmt.Errorf("encode manifest: %w", err)
	}
	return raw, nil
}

// SetConfig makes the descriptor name another config. Its annotations stay;
// embedded data and foreign addresses, which were of the old one, do not.
func (m *Manifest) SetConfig(desc ispec.Descriptor) error {
	config, err := parse(m.members["config"], "manifest: member \"config\"")
	if err != nil {
		return err
	}
	delete(config, "data")
	delete(config, "urls")
	for name, value := range map[string]any{"mediaType": desc.MediaType, "digest": desc.Digest, "size": desc.Size} {
		if err := config.set(name, value); err != nil {
			return err
		}
	}
	return m.members.set("config", config)
}

// AddLayer appends the descriptor of a layer.
func (m *Manifest) AddLayer(desc ispec.Descriptor) error {
	var layers []json.RawMessage
	if err := m.members.get("layers", &layers); err != nil {
		return err
	}
	layer, err := encode(desc)
	if err != nil {
		return fmt.Errorf("layer: %w", err)
	}
	return m.members.set("layers", append(layers, layer))
}

// DropLayers removes all layers.
func (m *Manifest) DropLayers() { m.members["layers"] = json.RawMessage("[]") }

// Annotate adds annotations, and replaces those of the same name.
func (m *Manifest) Annotate(annotations map[string]string) error {
	add := make(map[string]any, len(annotations))
	for name, value := range annotations {
		if name == "" {
			return fault.Usage("an annotation has no name")
		}
		add[name] = value
	}
	return addTo(m.members, "annotations", add)
}

// ClearAnnotation removes one annotation, or all when name is empty.
func (m *Manifest) ClearAnnotation(name string) error {
	if name == "" {
		delete(m.members, "annotations")
		return nil
	}
	all, err := parse(m.members["annotations"], "manifest: member \"annotations\"")
	if err != nil {
		return err
	}
	delete(all, name)
	if len(all) == 0 {
		delete(m.members, "annotations")
		return nil
	}
	return m.members.set("annotations", all)
}
