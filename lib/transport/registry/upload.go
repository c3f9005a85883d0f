package registry

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// Upload stores a blob. open gives its bytes anew for each try, since an
// upload that broke is given up, and another one begun: what the registry has
// of the first is unknown.
func (c *Client) Upload(ctx context.Context, repository string, desc ispec.Descriptor, open func() (io.ReadCloser, error)) error {
	return c.tries(ctx, func() error {
		location, err := c.beginUpload(ctx, repository)
		if err != nil {
			return givenUp{err}
		}
		return c.finishUpload(ctx, repository, desc, location, open)
	})
}

// beginUpload asks where to send the bytes. Nothing is stored yet, so that the
// request may be repeated.
func (c *Client) beginUpload(ctx context.Context, repository string) (*url.URL, error) {
	res, err := c.do(ctx, &request{
		method: http.MethodPost,
		path:   "/v2/" + repository + "/blobs/uploads/",
		scope:  push(repository),
	}, http.StatusAccepted)
	if err != nil {
		return nil, err
	}
	location := res.Header.Get("Location")
	if err := discard(res); err != nil {
		return nil, err
	}
	what := "upload to " + c.config.Host + "/" + repository
	target, err := follow(what, location, c.origin)
	if err != nil {
		return nil, err
	}
	// Elsewhere no credential goes, and nothing unencrypted.
	if !sameOrigin(target, c.origin) && target.Scheme != "https" {
		return nil, fault.Refused("%s: the registry wants the bytes sent to another host, %.100q, by plain HTTP", what, target.Host)
	}
	return target, nil
}

// finishUpload sends the whole blob in one PUT.
func (c *Client) finishUpload(ctx context.Context, repository string, desc ispec.Descriptor, location *url.URL, open func() (io.ReadCloser, error)) error {
	target := *location
	query := target.Query()
	query.Set("digest", desc.Digest.String())
	target.RawQuery = query.Encode()
	res, err := c.do(ctx, &request{
		method:   http.MethodPut,
		location: &target,
		scope:    push(repository),
		header:   http.Header{"Content-Type": {"application/octet-stream"}},
		body: func() (io.ReadCloser, error) {
			blob, err := open()
			if err != nil {
				return nil, err
			}
			return &heldBack{blob, desc.Size}, nil
		},
		size: desc.Size,
		once: true,
	}, http.StatusCreated, http.StatusOK, http.StatusNoContent)
	if err != nil {
		return fmt.Errorf("blob %s: %w", desc.Digest, err)
	}
	return discard(res)
}

// Mount has the registry take the blob from another of its repositories, and
// reports whether it did.
func (c *Client) Mount(ctx context.Context, repository string, desc ispec.Descriptor, from string) (bool, error) {
	query := url.Values{"mount": {desc.Digest.String()}, "from": {from}}
	res, err := c.do(ctx, &request{
		method: http.MethodPost,
		path:   "/v2/" + repository + "/blobs/uploads/?" + query.Encode(),
		scope:  push(repository) + " " + pull(from),
	}, http.StatusCreated, http.StatusAccepted)
	if err != nil {
		return false, err
	}
	return res.StatusCode == http.StatusCreated, discard(res)
}
