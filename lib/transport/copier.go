package transport

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	imagecopy "go.podman.io/image/v5/copy"
	"go.podman.io/image/v5/manifest"
	"go.podman.io/image/v5/pkg/compression"
	"go.podman.io/image/v5/signature"
	"go.podman.io/image/v5/types"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
	"github.com/oci-plumbing/oci-plumbing/lib/layout"
	"github.com/oci-plumbing/oci-plumbing/lib/transport/registry"
)

// Copier copies images with one set of options. It may be used from several
// goroutines.
type Copier struct {
	options Options
	policy  *signature.Policy
	policed bool

	mu      sync.Mutex
	clients map[string]*registry.Client

	// indexes are the layouts', for copies of many tags.
	indexes layout.IndexCache
}

// New checks the options and reads the signature policy.
func New(options Options) (*Copier, error) {
	c := &Copier{options: options}
	if err := c.options.check(); err != nil {
		return nil, err
	}
	var err error
	c.policy, c.policed, err = loadPolicy(&c.options)
	return c, err
}

// check refuses what cannot be meant.
func (o *Options) check() error {
	switch o.Format {
	case "", formatOCI, formatDocker, formatSigned:
	default:
		return fault.Usage("format %q is neither oci nor v2s2 nor v2s1", o.Format)
	}
	switch o.MultiArch {
	case "", MultiArchSystem, MultiArchAll, MultiArchIndexOnly:
	default:
		return fault.Usage("multi-arch %q is neither system nor all nor index-only", o.MultiArch)
	}
	if o.MultiArch != "" && o.MultiArch != MultiArchSystem && len(o.Platforms) > 0 {
		return fault.Usage("platforms and multi-arch %s exclude each other", o.MultiArch)
	}
	if err := o.checkCompression(); err != nil {
		return err
	}
	if !o.Sign.wanted() && (o.Sign.Identity != "" || o.Sign.PassphraseFile != "") {
		return fault.Usage("an identity or passphrase to sign with was given, but no key")
	}
	if o.RequireSigned && o.InsecurePolicy {
		return fault.Usage("to require signatures and to accept everything exclude each other")
	}
	if _, err := o.system(o.Destination); err != nil {
		return err
	}
	unused := new(imagecopy.Options)
	if err := o.signing(unused); err != nil {
		return err
	}
	return o.encryption(unused)
}

// checkFormat refuses Docker's schema 1 for what its readers would not take,
// though the library writes there whatever it is told to.
func (o *Options) checkFormat(dst string) error {
	if transport, _ := cutTransport(dst); o.Format != formatSigned || transport == "docker" || transport == "dir" {
		return nil
	}
	return fault.Hint(fault.Usage("format v2s1 is for docker:// and dir: alone, not for %s", dst), "choose --format oci or v2s2")
}

// checkCompression refuses what the library would notice at the first layer, or
// would take for another level.
func (o *Options) checkCompression() error {
	most := 9
	switch o.Compression {
	case "", compression.Gzip.Name():
	case compression.Zstd.Name(), compression.ZstdChunked.Name():
		most = 20
	default:
		return fault.Usage("compression %q is neither gzip nor zstd nor zstd:chunked", o.Compression)
	}
	if level := o.CompressionLevel; level != nil && (*level < 1 || *level > most) {
		return fault.Usage("compression level %d is not one of 1 to %d", *level, most)
	}
	if o.Compress && o.Decompress {
		return fault.Usage("to compress all layers and to decompress them exclude each other")
	}
	return nil
}

// suits refuses options that mean nothing for a destination.
func (o *Options) suits(dst *target) error {
	switch {
	case o.Compress && dst.transport != "dir":
		return fault.Usage("to compress all layers is for dir: only, not for %s:", dst.transport)
	case len(o.AdditionalTags) > 0 && dst.transport != "docker-archive":
		return fault.Usage("an additional tag is for docker-archive: only, not for %s:", dst.transport)
	default:
		return nil
	}
}

func (o *Options) note(format string, args ...any) {
	if o.Note != nil {
		o.Note(format, args...)
	}
}

// parallel is how many blobs travel at once.
func (c *Copier) parallel() int {
	if c.options.Parallel > 0 {
		return c.options.Parallel
	}
	return 6
}

// localParallel is how many goroutines work on local data: the cores are the
// limit, and as many more wait for the disk.
func localParallel() int { return 2 * runtime.GOMAXPROCS(0) }

// job is one copy.
type job struct {
	copier      *Copier
	src, dst    *target
	source      types.ImageSource
	destination types.ImageDestination
	tracker     *tracker
}

// Copy copies the image src to dst, both TRANSPORT:NAME.
func (c *Copier) Copy(ctx context.Context, src, dst string) (*Result, error) {
	begin := time.Now()
	from, err := c.parse(src, source)
	if err != nil {
		return nil, err
	}
	if err := c.options.checkFormat(dst); err != nil {
		return nil, err
	}
	to, err := c.parse(dst, destination)
	if err != nil {
		return nil, err
	}
	defer to.release()
	if err := c.options.suits(to); err != nil {
		to.abandon()
		return nil, err
	}
	result, err := c.tries(ctx, from, to)
	if err != nil {
		to.abandon()
		return nil, fmt.Errorf("copy %s to %s: %w", src, dst, err)
	}
	result.Duration = time.Since(begin)
	result.takeBack = to.takeBack
	return result, nil
}

// tries copies until it succeeds, or has failed for good.
func (c *Copier) tries(ctx context.Context, src, dst *target) (*Result, error) {
	for try := 0; ; try++ {
		j := &job{copier: c, src: src, dst: dst, tracker: newTracker(c.options.Progress)}
		result, err := j.run(ctx)
		if err == nil {
			return result, nil
		}
		if cause := context.Cause(ctx); cause != nil {
			return nil, cause
		}
		err = classify(err)
		if try >= c.options.retries() || !j.retriable() || !errors.Is(err, fault.ErrTemporary) {
			return nil, err
		}
		c.options.note("copy %s to %s: %v; trying again (%d of %d)", src, dst, err, try+1, c.options.retries())
		if err := registry.Sleep(ctx, time.Second<<min(try, 5)); err != nil {
			return nil, err
		}
	}
}

// retriable reports whether a whole copy may be repeated: only where the
// library speaks to a registry, which repeats little by itself. What has
// arrived is found at the destination.
func (j *job) retriable() bool {
	_, ownSource := j.source.(*registrySource)
	_, ownDestination := j.destination.(*registryDestination)
	return j.src.transport == "docker" && j.source != nil && !ownSource ||
		j.dst.transport == "docker" && j.destination != nil && !ownDestination
}

// run opens both ends, moves what can be moved as it is, and leaves the rest
// to the library.
func (j *job) run(ctx context.Context) (_ *Result, err error) {
	o := &j.copier.options
	srcSys, err := o.system(o.Source)
	if err != nil {
		return nil, err
	}
	dstSys, err := o.system(o.Destination)
	if err != nil {
		return nil, err
	}
	if err := o.compression(dstSys); err != nil {
		return nil, err
	}
	if err := j.reachDaemons(ctx, srcSys, dstSys); err != nil {
		return nil, err
	}
	if j.source, err = j.src.ref.NewImageSource(ctx, srcSys); err != nil {
		return nil, err
	}
	owned := true
	defer func() {
		if owned {
			err = errors.Join(err, j.source.Close())
		}
	}()
	j.source = j.unsignedDir()
	chosen, err := j.copier.choose(ctx, j.source, srcSys)
	if err != nil {
		return nil, err
	}
	if len(chosen.images) == 1 && chosen.list == imagecopy.CopySystemImage {
		if raw, did, err := j.save(ctx, chosen.images[0], dstSys); did || err != nil {
			if err != nil {
				return nil, err
			}
			return j.result(raw, chosen)
		}
	}
	if chosen.list != imagecopy.CopySystemImage && slices.Contains(singleImage, j.dst.transport) {
		return nil, fault.Hint(fault.Usage("%s: holds one image and no index", j.dst.transport), "choose one with --platform, or write an oci-archive:")
	}
	if err := j.canSign(dstSys); err != nil {
		return nil, err
	}
	if j.destination, err = j.openDestination(ctx, dstSys); err != nil {
		return nil, err
	}
	defer func() {
		if owned {
			err = errors.Join(err, j.destination.Close())
		}
	}()
	if err := j.prefetch(ctx, chosen.images, srcSys, dstSys); err != nil {
		return nil, err
	}
	opts, err := j.copier.libraryOptions(chosen, srcSys, dstSys)
	if err != nil {
		return nil, err
	}
	pc, err := j.copier.policyContext()
	if err != nil {
		return nil, err
	}
	owned = false // the library closes both
	raw, err := j.library(ctx, pc, opts)
	if err != nil {
		return nil, err
	}
	if dir, ok := j.dst.ref.(*dirRef); ok {
		if err := dir.place(ctx, dstSys); err != nil {
			return nil, err
		}
	}
	return j.result(raw, chosen)
}

// singleImage are the destinations that take no index.
var singleImage = []string{"docker-archive", "docker-daemon", "containers-storage"}

// openDestination opens the destination. Where signatures may have to be
// written into a registry, the library does it.
func (j *job) openDestination(ctx context.Context, sys *types.SystemContext) (types.ImageDestination, error) {
	r, ok := j.dst.ref.(*registryRef)
	if !ok {
		return j.dst.ref.NewImageDestination(ctx, sys)
	}
	if j.copier.options.Sign.wanted() || !j.copier.options.RemoveSignatures && j.mayBeSigned() {
		return r.ImageReference.NewImageDestination(ctx, sys)
	}
	return r.NewImageDestination(ctx, sys)
}

// mayBeSigned reports whether the source can have signatures.
func (j *job) mayBeSigned() bool {
	switch j.source.(type) {
	case *layoutSource, *registrySource, *ociArchiveSource, *dockerArchiveSource, *dirSource:
		return false
	}
	if j.src.transport == "dir" {
		entries, err := os.ReadDir(j.src.name)
		return err != nil || slices.ContainsFunc(entries, func(e os.DirEntry) bool { return isSignature(e.Name()) })
	}
	return j.src.transport == "docker"
}

// library has the image library copy what is left.
func (j *job) library(ctx context.Context, pc *signature.PolicyContext, opts *imagecopy.Options) ([]byte, error) {
	progress, wait := j.listen()
	defer wait()
	opts.Progress, opts.ProgressInterval = progress, 100*time.Millisecond
	watched, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	src := opened{ImageReference: j.src.ref, source: j.watchSource(stop)}
	dst := opened{ImageReference: j.dst.ref, destination: j.watchDestination(stop)}
	raw, err := imagecopy.Image(watched, pc, dst, src, opts)
	if first := context.Cause(watched); err != nil && first != nil && errors.Is(err, context.Canceled) {
		// A layer that was stopped is not the one that failed.
		err = first
	}
	if err != nil && strings.Contains(err.Error(), "Source image rejected") {
		err = rejected(err)
	}
	return raw, errors.Join(err, pc.Destroy())
}

// libraryOptions translates the options for the library.
func (c *Copier) libraryOptions(chosen *selection, srcSys, dstSys *types.SystemContext) (*imagecopy.Options, error) {
	o := &c.options
	opts := &imagecopy.Options{
		RemoveSignatures:         o.RemoveSignatures,
		SourceCtx:                srcSys,
		DestinationCtx:           dstSys,
		PreserveDigests:          o.PreserveDigests,
		ForceManifestMIMEType:    o.manifestType(),
		ImageListSelection:       chosen.list,
		Instances:                chosen.instances,
		MaxParallelDownloads:     uint(c.parallel()), //nolint:gosec // a small positive number
		ForceCompressionFormat:   o.ForceCompression,
		SparseManifestListAction: imagecopy.KeepSparseManifestList,
	}
	if chosen.strip {
		opts.SparseManifestListAction = imagecopy.StripSparseManifestList
	}
	if err := o.signing(opts); err != nil {
		return nil, err
	}
	return opts, o.encryption(opts)
}

// listen turns the library's progress into events until wait is called.
func (j *job) listen() (progress chan types.ProgressProperties, wait func()) {
	progress = make(chan types.ProgressProperties, 64)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for p := range progress {
			e := Event{Digest: p.Artifact.Digest, Size: p.Artifact.Size, Offset: int64(p.Offset)} //nolint:gosec // sizes fit
			switch p.Event {
			case types.ProgressEventNewArtifact:
				e.Action = Begun
			case types.ProgressEventRead:
				e.Action = Moved
			case types.ProgressEventDone:
				e.Action = Done
			case types.ProgressEventSkipped:
				e.Action = Reused
			default:
				continue
			}
			j.tracker.event(e)
		}
	}()
	return progress, func() {
		close(progress)
		<-done
	}
}

// result describes what was written.
func (j *job) result(raw []byte, chosen *selection) (*Result, error) {
	d, err := manifest.Digest(raw)
	if err != nil {
		return nil, fmt.Errorf("digest of the manifest: %w", err)
	}
	result := &Result{
		Reference: j.dst.String(),
		Digest:    d,
		MediaType: manifest.GuessMIMEType(raw),
		Size:      int64(len(raw)),
		Platforms: chosen.platforms,
		Blobs:     j.tracker.blobs,
	}
	if d, ok := j.destination.(*layoutDestination); ok && d.platform != (layout.Platform{}) {
		result.Platforms = []layout.Platform{d.platform}
	}
	if d, ok := j.destination.(interface{ undo(context.Context) error }); ok {
		result.undo = d.undo
	}
	if r, ok := j.dst.ref.(interface {
		undo(ctx context.Context) error
		settle() error
	}); ok {
		result.undo, result.settle = r.undo, r.settle
	}
	return result, nil
}

// manifestType is the media type that --format stands for.
func (o *Options) manifestType() string {
	switch o.Format {
	case formatOCI:
		return ispec.MediaTypeImageManifest
	case formatDocker:
		return manifest.DockerV2Schema2MediaType
	case formatSigned:
		return manifest.DockerV2Schema1SignedMediaType
	default:
		return ""
	}
}

// compression sets what layers are compressed with on the way.
func (o *Options) compression(sys *types.SystemContext) error {
	if o.Compression == "" {
		return nil
	}
	algorithm, err := compression.AlgorithmByName(o.Compression)
	if err != nil {
		return fmt.Errorf("compression %q: %w", o.Compression, err)
	}
	sys.CompressionFormat = &algorithm
	return nil
}

// opened is a reference whose source or destination is open already. The
// library gets the very object, and closes it.
type opened struct {
	types.ImageReference
	source      types.ImageSource
	destination types.ImageDestination
}

func (o opened) NewImageSource(context.Context, *types.SystemContext) (types.ImageSource, error) {
	return o.source, nil
}

func (o opened) NewImageDestination(context.Context, *types.SystemContext) (types.ImageDestination, error) {
	return o.destination, nil
}
