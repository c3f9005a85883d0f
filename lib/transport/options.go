package transport

import (
	"context"
	"io"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/oci-plumbing/oci-plumbing/lib/layout"
)

// Endpoint says how one side of a copy is reached.
type Endpoint struct {
	// AuthFile holds credentials; "" means the usual files.
	AuthFile string
	// Credentials are USER[:PASSWORD]; "" means those of the auth files.
	Credentials string
	// Anonymous sends no credentials, whatever the auth files hold.
	Anonymous bool
	// Token is a bearer token that is used as it is.
	Token string
	// CertDir holds *.crt, *.cert and *.key.
	CertDir string
	// TLSVerify false allows plain HTTP and unverified certificates; nil
	// leaves the question to registries.conf, which says yes by default.
	TLSVerify *bool
	// DaemonHost is the address of a Docker daemon, unix:///… or tcp://….
	DaemonHost string
	// SharedBlobs is a directory of blobs that several layouts share.
	SharedBlobs string
}

// The choices of Options.MultiArch.
const (
	// MultiArchSystem copies the image of an index that suits the platform.
	MultiArchSystem = "system"
	// MultiArchAll copies an index with all its images.
	MultiArchAll = "all"
	// MultiArchIndexOnly copies an index without any image.
	MultiArchIndexOnly = "index-only"
)

// Options are those of every copy that a Copier makes. The zero value is
// usable.
type Options struct {
	Source, Destination Endpoint

	// Platforms choose images of an index. One: that image alone. More: an
	// index of these. None: the host's.
	Platforms []layout.Platform
	// MultiArch is one of the MultiArch constants; "" is MultiArchSystem.
	MultiArch string

	// Format is the manifest format at the destination: "oci", "v2s2",
	// "v2s1", or "" for the source's where the destination takes it.
	Format string
	// Compression is gzip, zstd or zstd:chunked for layers that are
	// compressed on the way; "" keeps what is there.
	Compression string
	// CompressionLevel is the algorithm's own; nil is its default.
	CompressionLevel *int
	// ForceCompression recompresses layers of another format.
	ForceCompression bool
	// Compress and Decompress (un)compress all layers of a dir: destination.
	Compress, Decompress bool
	// KeepUncompressed stores uncompressed layers as they are in an OCI
	// layout or archive, which by default get compressed.
	KeepUncompressed bool
	// PreserveDigests fails rather than change a manifest.
	PreserveDigests bool
	// AdditionalTags are further names for an image in a docker-archive.
	AdditionalTags []string
	// LinkBlobs hard-links blobs between layouts on one file system. The
	// layouts then share them: changing one in place damages both.
	LinkBlobs bool

	// TokenServers are HOST[:PORT] that may see the credentials for a
	// registry on another host or domain, when it names them.
	TokenServers []string

	// Policy is a signature policy file; "" means the usual ones.
	Policy string
	// InsecurePolicy accepts everything, whatever the policy files say.
	InsecurePolicy bool
	// RequireSigned refuses images that no signature was checked for.
	RequireSigned bool
	// RegistriesDir configures signature storage; "" means the usual one.
	RegistriesDir string
	// RemoveSignatures does not copy the source's signatures.
	RemoveSignatures bool
	// Sign adds signatures.
	Sign Signing
	// Encryption encrypts or decrypts layers.
	Encryption Encryption

	// TempDir is for what must be kept for a moment: spooled streams.
	TempDir string
	// Parallel is the number of blobs in flight at once; 0 means 6.
	Parallel int
	// Retries is how often a request is repeated after a failure that may
	// pass; negative means never, 0 means 4.
	Retries int
	// StallTimeout ends a transfer that has brought no byte for so long;
	// 0 means 30 s.
	StallTimeout time.Duration
	// UserAgent is sent to registries.
	UserAgent string

	// Stdin and Stdout are what "-" stands for as an archive.
	Stdin  io.Reader
	Stdout io.Writer
	// Progress is told what happens to each blob; it may be called from
	// several goroutines at once, and may be nil.
	Progress func(Event)
	// Note is told what a person should know; it may be nil.
	Note func(format string, args ...any)
}

// Signing asks for signatures on the copy.
type Signing struct {
	// SigstoreKey is the file of a sigstore private key.
	SigstoreKey string
	// PassphraseFile holds the passphrase of the key in its first line.
	PassphraseFile string
	// Identity is the reference written into the signature; "" is the
	// destination's.
	Identity string
}

// wanted reports whether to sign at all.
func (s *Signing) wanted() bool { return s.SigstoreKey != "" }

// Encryption names keys as containers-image does: jwe:FILE, pgp:USER,
// pkcs7:FILE to encrypt for, FILE[:PASSPHRASE] to decrypt with.
type Encryption struct {
	EncryptFor  []string
	DecryptWith []string
	// Layers are the indexes of layers to encrypt, negative ones counting
	// from the end; none means all.
	Layers []int
}

// Action is what an Event tells of a blob.
type Action string

// The actions. A blob is begun, moves, and is done or reused.
const (
	Begun  Action = "begun"
	Moved  Action = "moved"
	Done   Action = "done"
	Reused Action = "reused"
)

// Event tells of one blob.
type Event struct {
	Action Action        `json:"action"`
	Digest digest.Digest `json:"digest"`
	// Size is the blob's in bytes, -1 when it is not known.
	Size int64 `json:"size"`
	// Offset is how many bytes have been moved.
	Offset int64 `json:"offset"`
}

// Result is what a copy made.
type Result struct {
	// Reference is the destination, in the form that can be typed again;
	// empty when it was a stream.
	Reference string
	// Digest, MediaType and Size describe the top manifest that was written.
	Digest    digest.Digest
	MediaType string
	Size      int64
	// Platforms are what the images copied are for, as far as is known.
	Platforms []layout.Platform
	// Blobs are the blobs concerned, in the order they were finished.
	Blobs []Blob
	// Duration is the wall time.
	Duration time.Duration

	undo     func(context.Context) error
	settle   func() error
	takeBack func()
}

// Blob is one blob of a Result.
type Blob struct {
	Digest digest.Digest `json:"digest"`
	Size   int64         `json:"size"`
	// Reused says that it was at the destination already.
	Reused bool `json:"reused"`
}

// Bytes is the sum of the sizes of the blobs that were moved.
func (r *Result) Bytes() int64 {
	var sum int64
	for _, b := range r.Blobs {
		if !b.Reused && b.Size > 0 {
			sum += b.Size
		}
	}
	return sum
}

// Undo takes back what the copy made, when nobody has learned of it: the tag of
// a layout gets back what it named before, a layout that was made for the copy
// goes, and so does an image in a directory or an archive in a file, which give
// way to what was there. What has been pushed or written elsewhere stays.
func (r *Result) Undo(ctx context.Context) error {
	if r.undo == nil {
		return nil
	}
	if err := r.undo(ctx); err != nil {
		return err
	}
	r.takeBack()
	return nil
}

// Settle drops what is kept for Undo, which must not be called afterwards.
func (r *Result) Settle() error {
	if r.settle == nil {
		return nil
	}
	return r.settle()
}
