package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// Bounds of a list of tags.
const (
	maxTagPages = 1000
	maxTags     = 100_000
)

// Tags lists the tags of a repository, at most limit when that is positive.
func (c *Client) Tags(ctx context.Context, repository string, limit int) ([]string, error) {
	path := "/v2/" + repository + "/tags/list"
	var tags []string
	for range maxTagPages {
		page, next, err := c.tagPage(ctx, repository, path)
		if err != nil {
			return nil, err
		}
		tags = append(tags, page...)
		switch {
		case limit > 0 && len(tags) >= limit:
			return tags[:limit], nil
		case len(tags) > maxTags:
			return nil, fault.Refused("%s/%s has more than %d tags", c.config.Host, repository, maxTags)
		case next == "":
			return tags, nil
		}
		path = next
	}
	return nil, fault.Refused("%s/%s lists its tags on more than %d pages", c.config.Host, repository, maxTagPages)
}

// tagPage reads one page, and the path of the next from its Link header.
func (c *Client) tagPage(ctx context.Context, repository, path string) (tags []string, next string, err error) {
	res, err := c.do(ctx, &request{method: http.MethodGet, path: path, scope: pull(repository)}, http.StatusOK)
	if err != nil {
		return nil, "", err
	}
	body, err := io.ReadAll(io.LimitReader(&watchedReader{res}, MaxManifest+1))
	if err = errors.Join(err, res.close()); err != nil {
		return nil, "", fmt.Errorf("read the tags of %s: %w", repository, c.kindOf(err))
	}
	if len(body) > MaxManifest {
		return nil, "", fault.Refused("a page of the tags of %s is larger than %d bytes", repository, MaxManifest)
	}
	var list struct {
		Tags []string `json:"tags"`
	}
	if err := json.Unmarshal(body, &list); err != nil {
		return nil, "", fault.Refused("malformed list of the tags of %s", repository)
	}
	return list.Tags, c.nextPage(res.Header.Get("Link")), nil
}

// nextPage takes the path out of <URL>; rel="next", when it is the registry's
// own.
func (c *Client) nextPage(link string) string {
	target, rest, ok := strings.Cut(strings.TrimPrefix(link, "<"), ">")
	if !ok || !strings.Contains(rest, "next") {
		return ""
	}
	u, err := url.Parse(target)
	if err != nil {
		return ""
	}
	if u = c.origin.ResolveReference(u); !sameOrigin(u, c.origin) {
		return ""
	}
	return u.RequestURI()
}
