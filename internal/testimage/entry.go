package testimage

import (
	"archive/tar"
	"path"
	"strings"
	"time"
)

// Opt changes the header of an entry.
type Opt func(*tar.Header)

// Mode sets the permission bits, setuid, setgid and sticky included (04755).
func Mode(mode int64) Opt { return func(h *tar.Header) { h.Mode = mode } }

// Owner sets the ids.
func Owner(uid, gid int) Opt { return func(h *tar.Header) { h.Uid, h.Gid = uid, gid } }

// MTime sets the modification time.
func MTime(when time.Time) Opt {
	return func(h *tar.Header) {
		h.ModTime = when
		if when.Nanosecond() != 0 {
			h.Format = tar.FormatPAX
		}
	}
}

// Xattr adds an extended attribute.
func Xattr(name, value string) Opt {
	return func(h *tar.Header) {
		if h.PAXRecords == nil {
			h.PAXRecords = make(map[string]string)
		}
		h.PAXRecords["SCHILY.xattr."+name] = value
	}
}

func entry(kind byte, name string, mode int64, opts []Opt) Entry {
	h := tar.Header{Typeflag: kind, Name: name, Mode: mode, ModTime: Time}
	for _, o := range opts {
		o(&h)
	}
	return Entry{Header: h}
}

// File is a regular file, 0644.
func File(name, content string, opts ...Opt) Entry {
	e := entry(tar.TypeReg, name, 0o644, opts)
	e.Body = []byte(content)
	return e
}

// Dir is a directory, 0755.
func Dir(name string, opts ...Opt) Entry {
	return entry(tar.TypeDir, strings.TrimSuffix(name, "/")+"/", 0o755, opts)
}

// Symlink is a symbolic link to target.
func Symlink(name, target string, opts ...Opt) Entry {
	e := entry(tar.TypeSymlink, name, 0o777, opts)
	e.Header.Linkname = target
	return e
}

// Hardlink is a further name of target.
func Hardlink(name, target string, opts ...Opt) Entry {
	e := entry(tar.TypeLink, name, 0o644, opts)
	e.Header.Linkname = target
	return e
}

// Fifo is a named pipe.
func Fifo(name string, opts ...Opt) Entry { return entry(tar.TypeFifo, name, 0o644, opts) }

// Char is a character device.
func Char(name string, major, minor int64, opts ...Opt) Entry {
	e := entry(tar.TypeChar, name, 0o644, opts)
	e.Header.Devmajor, e.Header.Devminor = major, minor
	return e
}

// Block is a block device.
func Block(name string, major, minor int64, opts ...Opt) Entry {
	e := entry(tar.TypeBlock, name, 0o644, opts)
	e.Header.Devmajor, e.Header.Devminor = major, minor
	return e
}

// Whiteout removes name of the layers below.
func Whiteout(name string) Entry {
	dir, base := path.Split(name)
	return File(dir+".wh."+base, "", Mode(0))
}

// Opaque hides what the layers below have in the directory.
func Opaque(dir string) Entry { return File(path.Join(dir, ".wh..wh..opq"), "", Mode(0)) }
