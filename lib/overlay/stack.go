package overlay

import (
	"errors"
	"fmt"
	"os"
)

// Lower is one read-only layer.
type Lower struct {
	// Path is the directory, absolute.
	Path string
	// Mount is a detached mount to be used in place of Path: of an erofs
	// image, or an idmapped clone of the directory; or that directory, open.
	// It must stay open until the stack is mounted. The kernel shows such a
	// layer as "/".
	Mount *os.File
}

// Stack is what one mount is made of.
type Stack struct {
	// Lowers are the layers, the topmost first.
	Lowers []Lower
	// Upper takes the changes, Work is the kernel's scratch directory on
	// the same mount. Both empty: the mount is read-only.
	Upper, Work string
	// UserXattr keeps whiteouts and opaque marks in user.overlay.*, as an
	// unprivileged user must: the kernel then reads no other namespace.
	UserXattr bool
	// Volatile leaves out every sync. After a crash the upper is lost: the
	// kernel refuses to mount it again.
	Volatile bool
}

// check finds what the kernel would refuse with a bare EINVAL.
func (s *Stack) check() error {
	switch {
	case len(s.Lowers) == 0:
		return errors.New("no lower layer")
	case len(s.Lowers) > MaxLowers:
		return fmt.Errorf("%d lower layers, the kernel takes %d", len(s.Lowers), MaxLowers)
	case s.Upper == "" && len(s.Lowers) == 1:
		return errors.New("a read-only stack needs two lower layers")
	case (s.Upper == "") != (s.Work == ""):
		return errors.New("upper and work directory go together")
	}
	return nil
}

// option is one parameter of the mount. A nil value is a flag; a mount is
// passed as a descriptor.
type option struct {
	key   string
	value string
	flag  bool
	mount *os.File
	// path: the value is that of a directory.
	path bool
	// escapes: the kernel takes a backslash in the value for an escape.
	escapes bool
}

// lowerKey is the parameter that adds one layer.
const lowerKey = "lowerdir+"

func lowerOption(l Lower) option {
	return option{key: lowerKey, value: l.Path, mount: l.Mount, path: true}
}

func upperOption(dir string) option {
	return option{key: "upperdir", value: dir, path: true, escapes: true}
}

func workOption(dir string) option {
	return option{key: "workdir", value: dir, path: true, escapes: true}
}

// options returns the parameters but for the lowers, in the order in which
// the kernel wants them.
func (s *Stack) options() []option {
	var list []option
	if s.Upper != "" {
		list = append(list, upperOption(s.Upper), workOption(s.Work))
	}
	switch {
	case s.UserXattr:
		// redirect_dir and metacopy are off and cannot be named with it.
		list = append(list, option{key: "userxattr", flag: true})
	default:
		list = append(list, option{key: "redirect_dir", value: "nofollow"}, option{key: "metacopy", value: "off"})
	}
	list = append(list, option{key: "index", value: "off"})
	if s.Volatile {
		list = append(list, option{key: "volatile", flag: true})
	}
	return list
}

// Options returns the parameters as words for people and for the state file:
// "lowerdir+=/a", "upperdir=/b", "userxattr".
func (s *Stack) Options() []string {
	words := make([]string, 0, len(s.Lowers)+6)
	for _, l := range s.Lowers {
		words = append(words, lowerKey+"="+l.Path)
	}
	for _, o := range s.options() {
		if o.flag {
			words = append(words, o.key)
		} else {
			words = append(words, o.key+"="+o.value)
		}
	}
	return words
}
