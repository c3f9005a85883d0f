package config

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/opencontainers/go-digest"
)

// Image is an image config under edit.
type Image struct {
	members object
	config  object // the member "config"
}

// ParseImage reads an image config.
func ParseImage(raw []byte) (*Image, error) {
	members, err := parse(raw, "image config")
	if err != nil {
		return nil, err
	}
	config, err := parse(members["config"], "image config: member \"config\"")
	if err != nil {
		return nil, err
	}
	return &Image{members: members, config: config}, nil
}

// NewImage returns the config of an image without layers.
func NewImage(os, architecture, variant string) (*Image, error) {
	img := &Image{members: object{}, config: object{}}
	if err := img.SetPlatform(os, architecture, variant); err != nil {
		return nil, err
	}
	return img, img.members.set("rootfs", map[string]any{"type": "layers", "diff_ids": []string{}})
}

// Encode returns the document.
func (i *Image) Encode() ([]byte, error) {
	_, had := i.members["config"]
	if had || len(i.config) > 0 {
		if err := i.members.set("config", i.config); err != nil {
			return nil, err
		}
	}
	raw, err := encode(i.members)
	if err != nil {
		return nil, fmt.Errorf("encode image config: %w", err)
	}
	return raw, nil
}

// SetPlatform replaces os, architecture and variant.
func (i *Image) SetPlatform(os, architecture, variant string) error {
	delete(i.members, "variant")
	if variant != "" {
		if err := i.members.set("variant", variant); err != nil {
			return err
		}
	}
	if err := i.members.set("architecture", architecture); err != nil {
		return err
	}
	return i.members.set("os", os)
}

// SetCreated replaces the date of the image.
func (i *Image) SetCreated(t time.Time) error { return i.members.set("created", date(t)) }

// date is RFC 3339 in UTC; the image-spec's config.md asks for it.
func date(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

// History is an entry of the image's history (config.md).
type History struct {
	Created    time.Time
	CreatedBy  string
	Author     string
	Comment    string
	EmptyLayer bool
}

func (h History) object() map[string]any {
	o := map[string]any{"created": date(h.Created)}
	for name, value := range map[string]string{"created_by": h.CreatedBy, "author": h.Author, "comment": h.Comment} {
		if value != "" {
			o[name] = value
		}
	}
	if h.EmptyLayer {
		o["empty_layer"] = true
	}
	return o
}

// AddHistory appends an entry. A history that is absent or too short, which is
// legal, is not filled up.
func (i *Image) AddHistory(h History) error {
	entries, err := i.history()
	if err != nil {
		return err
	}
	entry, err := encode(h.object())
	if err != nil {
		return fmt.Errorf("history: %w", err)
	}
	return i.members.set("history", append(entries, entry))
}

func (i *Image) history() ([]json.RawMessage, error) {
	var entries []json.RawMessage
	return entries, i.members.get("history", &entries)
}

// AddLayer appends a diffID.
func (i *Image) AddLayer(diffID digest.Digest) error {
	return i.editLayers(func(ids []json.RawMessage) []json.RawMessage {
		return append(ids, json.RawMessage(`"`+diffID.String()+`"`))
	})
}

// DropLayers removes all diffIDs, and keeps the history as one of entries
// without a layer: what made the image is still told.
func (i *Image) DropLayers() error {
	err := i.editLayers(func([]json.RawMessage) []json.RawMessage { return []json.RawMessage{} })
	if err != nil {
		return err
	}
	entries, err := i.history()
	if err != nil || len(entries) == 0 {
		return err
	}
	for k, raw := range entries {
		entry, err := parse(raw, fmt.Sprintf("history entry %d", k))
		if err != nil {
			return err
		}
		entry["empty_layer"] = json.RawMessage("true")
		if entries[k], err = encode(entry); err != nil {
			return fmt.Errorf("history entry %d: %w", k, err)
		}
	}
	return i.members.set("history", entries)
}

func (i *Image) editLayers(edit func([]json.RawMessage) []json.RawMessage) error {
	rootfs, err := parse(i.members["rootfs"], "image config: member \"rootfs\"")
	if err != nil {
		return err
	}
	var ids []json.RawMessage
	if err := rootfs.get("diff_ids", &ids); err != nil {
		return err
	}
	if err := rootfs.set("diff_ids", edit(ids)); err != nil {
		return err
	}
	if _, ok := rootfs["type"]; !ok {
		rootfs["type"] = json.RawMessage(`"layers"`)
	}
	return i.members.set("rootfs", rootfs)
}
