package registry

import (
	"context"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// Blob opens a blob. Reading it to its end verifies size and digest: the wrong
// bytes end with a refusal in place of io.EOF. A connection that breaks is
// made anew, and the reader goes on where it stopped; no more than one byte
// beyond the descriptor's size is ever taken.
func (c *Client) Blob(ctx context.Context, repository string, desc ispec.Descriptor) (io.ReadCloser, error) {
	if err := desc.Digest.Validate(); err != nil {
		return nil, fault.Refused("%.150q is not a valid digest", string(desc.Digest))
	}
	if desc.Size < 0 {
		return nil, fault.Refused("descriptor of %s has the negative size %d", desc.Digest, desc.Size)
	}
	b := &blob{ctx: ctx, client: c, repository: repository, desc: desc, hash: desc.Digest.Algorithm().Hash()}
	if err := b.open(); err != nil {
		return nil, err
	}
	return b, nil
}

// blob reads one blob through as many connections as it takes.
type blob struct {
	ctx        context.Context //nolint:containedctx // one reader serves one transfer
	client     *Client
	repository string
	desc       ispec.Descriptor
	hash       hash.Hash
	offset     int64
	body       *answer
	end        error
	// tries counts the breaks since the last progress worth the name.
	tries    int
	resumeAt int64
}

// worthwhile is the progress after which breaks are counted anew.
const worthwhile = 1 << 20

// open asks for what is missing.
func (b *blob) open() error {
	r := &request{
		method: http.MethodGet,
		path:   "/v2/" + b.repository + "/blobs/" + b.desc.Digest.String(),
		scope:  pull(b.repository),
		header: http.Header{},
	}
	want := []int{http.StatusOK}
	if b.offset > 0 {
		r.header.Set("Range", fmt.Sprintf("bytes=%d-", b.offset))
		want = append(want, http.StatusPartialContent)
	}
	res, err := b.client.do(b.ctx, r, want...)
	if err != nil {
		return err
	}
	if err := b.accept(res); err != nil {
		return errors.Join(err, res.close())
	}
	b.body = res
	return nil
}

// accept compares the header with the descriptor before a byte is read.
func (b *blob) accept(res *answer) error {
	if res.StatusCode == http.StatusPartialContent {
		return b.acceptRange(res.Header.Get("Content-Range"))
	}
	if res.ContentLength >= 0 && res.ContentLength != b.desc.Size {
		return fault.Refused("blob %s: the registry offers %d bytes, the descriptor says %d", b.desc.Digest, res.ContentLength, b.desc.Size)
	}
	// A server without ranges begins anew; what is known is passed over.
	n, err := io.CopyN(io.Discard, &watchedReader{res}, b.offset)
	if err != nil {
		return fmt.Errorf("blob %s: broken after %d bytes: %w", b.desc.Digest, n, notEnd(err))
	}
	return nil
}

// acceptRange demands "bytes FIRST-LAST/SIZE" (RFC 9110, section 14.4) with
// our FIRST and SIZE.
func (b *blob) acceptRange(header string) error {
	span, total, _ := strings.Cut(strings.TrimPrefix(header, "bytes "), "/")
	first, _, _ := strings.Cut(span, "-")
	at, err := strconv.ParseInt(first, 10, 64)
	if err != nil || at != b.offset || total != "*" && total != strconv.FormatInt(b.desc.Size, 10) {
		return fault.Refused("blob %s: asked for the bytes from %d of %d, the registry offers %.60q", b.desc.Digest, b.offset, b.desc.Size, header)
	}
	return nil
}

func (b *blob) Read(p []byte) (int, error) {
	for b.end == nil {
		if err := context.Cause(b.ctx); err != nil {
			return 0, err
		}
		// One byte beyond the end shows a blob that is too long.
		if left := b.desc.Size - b.offset; int64(len(p)) > left+1 {
			p = p[:left+1]
		}
		n, err := (&watchedReader{b.body}).Read(p)
		if int64(n) > b.desc.Size-b.offset {
			b.end = fault.Refused("blob %s is longer than the %d bytes of its descriptor", b.desc.Digest, b.desc.Size)
			return 0, b.end
		}
		b.hash.Write(p[:n])
		b.offset += int64(n)
		switch {
		case err == nil && n > 0:
			return n, nil
		case errors.Is(err, io.EOF) && b.offset == b.desc.Size:
			b.end = b.verdict()
		case err != nil:
			b.end = b.resume(notEnd(err))
		}
		if n > 0 {
			return n, nil
		}
	}
	return 0, b.end
}

// verdict is io.EOF for the right bytes.
func (b *blob) verdict() error {
	if got := digest.NewDigest(b.desc.Digest.Algorithm(), b.hash); got != b.desc.Digest {
		return fault.Refused("blob %s arrives with the digest %s", b.desc.Digest, got)
	}
	return io.EOF
}

// resume opens the rest after a break, as often as is allowed; nil means that
// reading goes on.
func (b *blob) resume(broken error) error {
	if err := b.Close(); err != nil {
		broken = errors.Join(broken, err)
	}
	if b.offset-b.resumeAt >= worthwhile {
		b.tries, b.resumeAt = 0, b.offset
	}
	for {
		err := fmt.Errorf("blob %s: broken after %d of %d bytes: %w", b.desc.Digest, b.offset, b.desc.Size, broken)
		if cause := context.Cause(b.ctx); cause != nil {
			return cause
		}
		if b.tries >= b.client.config.Retries || !passes(broken) {
			return b.client.kindOf(err)
		}
		pause := b.client.pause(b.tries, broken)
		b.tries++
		b.client.config.Log("%s; going on in %s (%d of %d)", err, pause.Round(time.Millisecond), b.tries, b.client.config.Retries)
		if err := Sleep(b.ctx, pause); err != nil {
			return err
		}
		if broken = b.open(); broken == nil {
			return nil
		}
	}
}

// Close ends the transfer. It is no verdict.
func (b *blob) Close() error {
	if b.body == nil {
		return nil
	}
	err := b.body.close()
	b.body = nil
	return err
}

// close ends an answer at once, whatever is still to come.
func (res *answer) close() error {
	res.watch.stop()
	return res.Body.Close()
}

// notEnd turns the end of a connection into the break that it is.
func notEnd(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// BlobSize asks for the size of a blob, where no descriptor tells it.
func (c *Client) BlobSize(ctx context.Context, repository string, d digest.Digest) (int64, error) {
	if err := d.Validate(); err != nil {
		return 0, fault.Refused("%.150q is not a valid digest", string(d))
	}
	res, err := c.do(ctx, &request{
		method: http.MethodHead,
		path:   "/v2/" + repository + "/blobs/" + d.String(),
		scope:  pull(repository),
	}, http.StatusOK)
	if err != nil {
		return 0, err
	}
	if res.ContentLength < 0 {
		return 0, errors.Join(fault.Refused("the registry does not tell the size of blob %s", d), discard(res))
	}
	return res.ContentLength, discard(res)
}

// HasBlob asks whether the repository has the blob, with its size.
func (c *Client) HasBlob(ctx context.Context, repository string, desc ispec.Descriptor) (bool, error) {
	res, err := c.do(ctx, &request{
		method: http.MethodHead,
		path:   "/v2/" + repository + "/blobs/" + desc.Digest.String(),
		scope:  push(repository),
	}, http.StatusOK, http.StatusNotFound)
	if err != nil {
		return false, err
	}
	had := res.StatusCode == http.StatusOK && (desc.Size < 0 || res.ContentLength < 0 || res.ContentLength == desc.Size)
	return had, discard(res)
}
