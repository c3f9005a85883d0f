package main

import (
	"testing"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/oci-plumbing/oci-plumbing/internal/testimage"
)

// stamp is the time of entries that set none.
var stamp = testimage.Time.Unix()

// writeImage makes the image "base" in the layout in dir, with a config that
// says as little as one may. edit may change it before it is written.
func writeImage(t testing.TB, dir string, edit func(*ispec.Image), layers ...[]testimage.Entry) {
	t.Helper()
	testimage.Write(t, dir, "base", testimage.Image{Layers: layers, Config: func(c *ispec.Image) {
		c.Created, c.Config, c.History = nil, ispec.ImageConfig{}, nil
		if edit != nil {
			edit(c)
		}
	}})
}
