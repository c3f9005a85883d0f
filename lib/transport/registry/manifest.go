package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// MaxManifest is the greatest manifest that is read: 4 MiB, which is what the
// distribution-spec has registries accept.
const MaxManifest = 4 << 20

// Manifest is a manifest or index as a registry has it, verified.
type Manifest struct {
	Raw       []byte
	MediaType string
	Digest    digest.Digest
}

// Manifest fetches the manifest that reference, a tag or digest, names in the
// repository. A digest in the reference or in the answer's header has to be
// that of the body.
func (c *Client) Manifest(ctx context.Context, repository, reference string, accept []string) (*Manifest, error) {
	var m *Manifest
	err := c.tries(ctx, func() error {
		res, err := c.do(ctx, &request{
			method: http.MethodGet,
			path:   "/v2/" + repository + "/manifests/" + reference,
			scope:  pull(repository),
			header: http.Header{"Accept": {strings.Join(accept, ", ")}},
		}, http.StatusOK)
		if err != nil {
			return givenUp{err}
		}
		m, err = readManifest(res)
		return err
	})
	if err != nil {
		return nil, err
	}
	if trimmed := bytes.TrimSpace(m.Raw); len(trimmed) == 0 || trimmed[0] != '{' {
		return nil, fault.Refused("manifest %s of %s/%s: what %s sends is no JSON object, but %.20q: it may be no registry", reference, c.config.Host, repository, c.config.Host, trimmed)
	}
	for _, want := range []digest.Digest{digest.Digest(reference), m.Digest} {
		if want.Validate() != nil {
			continue
		}
		if got := want.Algorithm().FromBytes(m.Raw); got != want {
			return nil, fault.Refused("manifest %s of %s/%s: its digest is %s, the registry says %s", reference, c.config.Host, repository, got, want)
		}
	}
	if m.Digest.Validate() != nil {
		m.Digest = digest.FromBytes(m.Raw)
	}
	return m, nil
}

func readManifest(res *answer) (*Manifest, error) {
	if res.ContentLength > MaxManifest {
		return nil, errors.Join(fault.Refused("the manifest has %d bytes, more than %d", res.ContentLength, MaxManifest), discard(res))
	}
	raw, err := io.ReadAll(io.LimitReader(&watchedReader{res}, MaxManifest+1))
	res.watch.stop()
	if err = errors.Join(err, res.Body.Close()); err != nil {
		return nil, fmt.Errorf("read the manifest: %w", err)
	}
	if len(raw) > MaxManifest {
		return nil, fault.Refused("the manifest is larger than %d bytes", MaxManifest)
	}
	mediaType, _, _ := strings.Cut(res.Header.Get("Content-Type"), ";")
	return &Manifest{Raw: raw, MediaType: strings.TrimSpace(mediaType), Digest: digest.Digest(res.Header.Get("Docker-Content-Digest"))}, nil
}

// watchedReader reads an answer's body, and names a standstill.
type watchedReader struct{ res *answer }

func (r *watchedReader) Read(p []byte) (int, error) {
	n, err := r.res.Body.Read(p)
	if n > 0 {
		r.res.watch.progress(n)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		err = r.res.watch.explain(err)
	}
	return n, err
}

// PutManifest stores a manifest under reference, a tag or its digest.
func (c *Client) PutManifest(ctx context.Context, repository, reference, mediaType string, raw []byte) error {
	res, err := c.do(ctx, &request{
		method: http.MethodPut,
		path:   "/v2/" + repository + "/manifests/" + reference,
		scope:  push(repository),
		header: http.Header{"Content-Type": {mediaType}},
		body:   func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(string(raw))), nil },
		size:   int64(len(raw)),
	}, http.StatusCreated, http.StatusOK, http.StatusAccepted)
	if err != nil {
		return err
	}
	return discard(res)
}

// pull and push are the scopes of tokens.
func pull(repository string) string { return "repository:" + repository + ":pull" }
func push(repository string) string { return "repository:" + repository + ":pull,push" }
