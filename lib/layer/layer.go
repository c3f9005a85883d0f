package layer

import (
	"context"
	"io"
	"os"
	"runtime"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/oci-plumbing/oci-plumbing/lib/idmap"
)

// Source gives the blobs of layers. Its readers verify size and digest: where
// the bytes are not what the descriptor says, they return an error in place
// of io.EOF. *layout.Layout is one.
type Source interface {
	Blob(ctx context.Context, desc ispec.Descriptor) (io.ReadCloser, error)
}

// Layer is a layer of an image: the blob, and the digest of the plain archive
// in it, which the config lists.
type Layer struct {
	Descriptor ispec.Descriptor `json:"descriptor"`
	DiffID     digest.Digest    `json:"diffID"`
}

// Options say how layers are applied. The zero value unpacks as the image
// has it, which needs root.
type Options struct {
	// UIDMap and GIDMap map the owners of the image to those of the host.
	// An id outside is refused.
	UIDMap idmap.Map
	GIDMap idmap.Map
	// Rootless leaves every file to the caller and keeps the owner of the
	// image in the xattr user.rootlesscontainers.
	Rootless bool
	// NoDevices makes devices, which only root can make, empty files
	// without permissions; Result.Placeholders lists them. Rootless implies
	// it.
	NoDevices bool
	// KeepDirlinks keeps a symlink that leads to a directory when a layer
	// has a directory of its name.
	KeepDirlinks bool
	// Sniff believes the first bytes of a blob more than its media type.
	Sniff bool
	// Existing merges into a directory that may hold something.
	Existing bool
	// Digests computes the SHA-256 of every regular file while writing it.
	Digests bool
	// Identities notes the identity of every file as it is made.
	Identities bool
	// BottomUp applies the layers one by one from the lowest, writing also
	// what a higher layer replaces. It is slower, and gives the same tree.
	BottomUp bool
	// UserXattrs makes Extract use the user.overlay. namespace, for mounts
	// with the option userxattr, in place of trusted.overlay.
	UserXattrs bool
	// MaxLayerBytes bounds one layer when unpacked, and the files that it
	// makes with their holes. Zero means 64 GiB.
	MaxLayerBytes int64
	// Writers is the number of files written at the same time. Zero means
	// as many as there are processors, and at least two.
	Writers int
	// Warn is told what was left out or changed, once for each kind and
	// path. It is called from several goroutines.
	Warn func(format string, args ...any)
	// Progress is told how many bytes of blobs were read since its last
	// call. It is called from several goroutines.
	Progress func(n int64)
	// Trace is told each entry before it is applied. It is called from one
	// goroutine, layer by layer.
	Trace func(TraceEntry)
}

// TraceEntry is what a layer does to one path.
type TraceEntry struct {
	// Layer counts from 0, the lowest.
	Layer int
	// Action is "dir", "file", "symlink", "link", "char", "block", "fifo",
	// "whiteout", "opaque" or "skip".
	Action string
	// Path is the path below the root.
	Path string
	// Target is that of a link.
	Target string
	// Size is that of a file.
	Size int64
}

func (o Options) withDefaults() Options {
	if o.MaxLayerBytes <= 0 {
		o.MaxLayerBytes = 64 << 30
	}
	if o.Writers <= 0 {
		o.Writers = max(2, runtime.GOMAXPROCS(0))
	}
	o.NoDevices = o.NoDevices || o.Rootless
	if o.Warn == nil {
		o.Warn = func(string, ...any) {}
	}
	return o
}

// owner returns the ids on the host. That the maps hold them was checked
// when the entry was read.
func (o Options) owner(ino *inode) (uid, gid uint32) {
	if o.Rootless {
		return uint32(os.Geteuid()), uint32(os.Getegid())
	}
	uid, _ = o.UIDMap.ToHost(ino.uid)
	gid, _ = o.GIDMap.ToHost(ino.gid)
	return uid, gid
}

// count reports progress while the blob is read.
func (o Options) count(blob io.Reader) io.Reader {
	if o.Progress == nil {
		return blob
	}
	return &counter{blob, o.Progress}
}

type counter struct {
	io.Reader
	report func(int64)
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	if n > 0 {
		c.report(int64(n))
	}
	return n, err
}

// Result is the tree that Unpack has made.
type Result struct {
	// Placeholders are the devices that could not be made, by path.
	Placeholders []Placeholder
	// Skipped counts the files that were not written, since a higher layer
	// replaces or removes them.
	Skipped int
	// Restarted says that the layers had to be applied bottom-up.
	Restarted bool
	// Totals are what the layers amount to, lowest first.
	Totals []Total

	tree *applier
}

// Total is what a layer amounts to.
type Total struct {
	// Entries are those of the archive, whiteouts included.
	Entries int `json:"entries"`
	// Bytes is the size of its files.
	Bytes int64 `json:"bytes"`
}

// Placeholder is a device that NoDevices has made an empty file.
type Placeholder struct {
	Path string `json:"path"`
	// Type is "char" or "block".
	Type  string `json:"type"`
	Mode  uint32 `json:"mode"`
	Major uint32 `json:"major"`
	Minor uint32 `json:"minor"`
}

// Sidecar is what a layer in overlay form needs to be known besides its files.
type Sidecar struct {
	// Implied are the directories that have no entry in the layer. Their
	// metadata (0755, 0:0, the epoch) is invented, and hides that of a
	// lower layer when mounted; sorted by path.
	Implied Paths `json:"implied,omitempty"`
	// Remade are those of them that the layer removes first: they have no
	// other metadata than the invented one. Other opaque ones keep what
	// lower layers say of them.
	Remade Paths `json:"remade,omitempty"`
	// WhiteoutDirs are the directories with whiteouts in them. Where no other
	// layer has the directory, overlayfs lists the names of the whiteouts.
	WhiteoutDirs Paths `json:"whiteoutDirs,omitempty"`
	// Phantoms are those of Implied that hold nothing but whiteouts. Where no
	// lower layer has the directory, there is none.
	Phantoms Paths `json:"phantoms,omitempty"`
	// Late are directories whose entry came after entries below them: those
	// went through what a lower layer has there, if it is a symlink.
	Late Paths `json:"late,omitempty"`
	// LowerLinks are hard links to files of lower layers. They are not in
	// the directory.
	LowerLinks []LowerLink `json:"lowerLinks,omitempty"`
	// RootOpaque says that the layer hides all lower ones.
	RootOpaque bool `json:"rootOpaque,omitempty"`
	// Entries is the number of files, directories and whiteouts.
	Entries int `json:"entries"`
	// Bytes is the size of all regular files, holes included.
	Bytes int64 `json:"bytes"`
}

// LowerLink is a hard link whose target is in a lower layer.
type LowerLink struct {
	Path   string `json:"path"`
	Target string `json:"target"`
}
