package layer

import (
	"errors"
	"strings"
	"testing"

	"github.com/oci-plumbing/oci-plumbing/internal/testimage"
	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// The layers of each case stand lowest first, "|" between them on a line of
// its own in the source: see parse for the notation.
func TestUnpack(t *testing.T) {
	needRoot(t)
	for _, c := range []struct {
		name   string
		layers []string
		want   string
	}{
		{"nothing", nil, ""},
		{"an empty layer", []string{""}, ""},
		{"names are clamped", []string{"/abs=1 ../../esc=2 ./a/../b=3 d/ d/../d/f=4 /../x=5"}, "abs=1 b=3 d/ d/f=4 esc=2 x=5"},
		{"a link to the root", []string{"link->/ link/f=1"}, "f=1 link->/"},
		{"a link out", []string{"link->../../.. link/f=1"}, "f=1 link->../../.."},
		{"a chain of links out", []string{"a->b b->.. a/f=1"}, "a->b b->.. f=1"},
		{"an absolute link", []string{"evil->/host/dir", "evil/pwn=1"}, "evil->/host/dir host/ host/dir/ host/dir/pwn=1"},
		{"a fifo", []string{"p|"}, "p|"},
		{"file over directory", []string{"etc/ etc/a=1", "etc=file"}, "etc=file"},
		{"directory over file", []string{"f=x", "f/"}, "f/"},
		{"file over link", []string{"t=old s->t", "s=x"}, "s=x t=old"},
		{"link over file", []string{"f=x", "f->g"}, "f->g"},
		{"below a file", []string{"x=file@0600", "x/y=u"}, "x/ x/y=u"},
		{"below a file of the same layer", []string{"file=1 file/foo/bar/baz=2"}, "file/ file/foo/ file/foo/bar/ file/foo/bar/baz=2"},
		{"a name twice, linked between", []string{"f=first@0600 h=>f f=second"}, "f=second h=first@0600"},
		{"one of two links replaced", []string{"a=1 b=>a", "a=2"}, "a=2 b=1"},
		{"a directory twice", []string{"d/ d/x=1 d/@0700"}, "d/@0700 d/x=1"},
		{"a directory after its child", []string{"a/b=1 a/@0711"}, "a/@0711 a/b=1"},
		{"metadata of a directory from above", []string{"a/ a/b=1", "a/@0700"}, "a/@0700 a/b=1"},
		{"a directory link is replaced", []string{"dir/ dir/a=1 link->dir", "link/ link/b=2"}, "dir/ dir/a=1 link/ link/b=2"},
		{"through a link of a lower layer", []string{"lnk->etc etc/", "lnk/file=1"}, "etc/ etc/file=1 lnk->etc"},

		{"whiteout", []string{"etc/ etc/a=1 etc/b=2", "etc/.wh.a"}, "etc/ etc/b=2"},
		{"whiteout of a hidden name", []string{".hidden=1", ".wh..hidden"}, ""},
		{"whiteout of a tree", []string{"d/ d/e/ d/e/f=1 x=1", ".wh.d"}, "x=1"},
		{"whiteout of nothing", []string{"a=1", ".wh.b x/.wh.c"}, "a=1"},
		{"whiteout before", []string{"etc/ etc/a=old", "etc/.wh.a etc/a=new"}, "etc/ etc/a=new"},
		{"whiteout after", []string{"etc/ etc/a=old", "etc/a=new etc/.wh.a"}, "etc/ etc/a=new"},
		{"whiteout of a link", []string{"t/ t/x=1 s->t", ".wh.s"}, "t/ t/x=1"},
		{"whiteout and directory, before", []string{"etc/sub/ etc/sub/x=1", "etc/.wh.sub etc/sub/@0700 etc/sub/y=2"}, "etc/ etc/sub/@0700 etc/sub/y=2"},
		{"whiteout and directory, after", []string{"etc/sub/ etc/sub/x=1", "etc/sub/@0700 etc/sub/y=2 etc/.wh.sub"}, "etc/ etc/sub/@0700 etc/sub/y=2"},
		{"whiteout and directory, between", []string{"etc/sub/ etc/sub/x=1", "etc/sub/y=2 etc/.wh.sub etc/sub/@0700"}, "etc/ etc/sub/@0700 etc/sub/y=2"},
		{"whiteout and implied directory", []string{"d/@0700 d/old=1", "d/new=2 .wh.d"}, "d/ d/new=2"},
		{"whiteouts in odd order", []string{"fileC=1", ".wh.fileB fileA=1 fileB=2 .wh.fileA .wh.fileC"}, "fileA=1 fileB=2"},
		{
			"whiteouts of directories around their new content",
			[]string{"file=1 dir1/ dir1/link->x dir1/bad->y dir2/ dir2/link->z", ".wh.dir2 dir1/ dir1/file=2 dir1/vbl->q .wh.dir1 dir2/ dir2/file=3"},
			"dir1/ dir1/file=2 dir1/vbl->q dir2/ dir2/file=3 file=1",
		},
		{"whiteouts of a directory and its children", []string{"d/ d/a=1 d/b=2", "d/.wh.a .wh.d d/.wh.b"}, ""},
		{"whiteout typed as a directory", []string{"etc/ etc/a=1", "etc/.wh.a/"}, "etc/"},
		{"leftovers of aufs", []string{".wh..wh.plnk/ .wh..wh.plnk/1.2=x .wh..wh.aufs .wh..wh.orph/ a=1"}, "a=1"},

		{"opaque, only the marker", []string{"", "t/OPQ"}, "t/"},
		{"opaque first", []string{"t/ t/file=1 t/fifo|", "t/OPQ t/link->.. t/bad->./nothing"}, "t/ t/bad->./nothing t/link->.."},
		{"opaque last", []string{"t/ t/file=1 t/fifo|", "t/link->.. t/bad->./nothing t/OPQ"}, "t/ t/bad->./nothing t/link->.."},
		{"opaque, metadata stays", []string{"t/@0700 t/a=1 t/b=2", "t/OPQ"}, "t/@0700"},
		{"opaque, merged children", []string{"t/ t/dir/@0700 t/dir/old=1 t/x=2", "t/dir/file=3 t/OPQ t/file=4"}, "t/ t/dir/ t/dir/file=3 t/file=4"},
		{"opaque, deep", []string{"t/some/dir/ t/another/dir/somewhere=1", "t/some/dir/somewhere=2 t/OPQ"}, "t/ t/some/ t/some/dir/ t/some/dir/somewhere=2"},
		{"opaque root", []string{"a=1 b/ b/c=2", "new=3 OPQ"}, "new=3"},
		{"opaque through a link", []string{"lib->usr/lib usr/lib/keep=1", "lib/OPQ"}, "lib->usr/lib usr/ usr/lib/"},
		{"opaque and whiteouts", []string{"t/ t/a=1", "t/.wh.a t/OPQ t/.wh.b"}, "t/"},
		{"opaque in a new directory", []string{"x=1", "t/ t/a=1 t/OPQ"}, "t/ t/a=1 x=1"},
		{"a directory removed, and made again above", []string{"d/ d/a=1", ".wh.d", "d/ d/b=2"}, "d/ d/b=2"},
		{"a directory removed and made again in one layer, others above and below", []string{"d/ d/a=1", ".wh.d d/ d/b=2", "d/c=3"}, "d/ d/b=2 d/c=3"},

		{"hard links", []string{"f=1 h=>/f s->../../../f hs=>../../../s"}, "f=1#2 h=1#2 hs->../../../f#2 s->../../../f#2"},
		{"a link to a link", []string{"f=1 d/ d/g=>f h=>d/g"}, "d/ d/g=1#3 f=1#3 h=1#3"},
		{"a link to a lower file", []string{"etc/ etc/a=1", "h=>etc/a"}, "etc/ etc/a=1#2 h=1#2"},
		{"a link through a link", []string{"etc/ etc/a=1 e->etc h=>e/a"}, "e->etc etc/ etc/a=1#2 h=1#2"},
		{"the target of a link is replaced above", []string{"f=1 h=>f", "f=2"}, "f=2 h=1"},
		{"the target of a link is removed above", []string{"f=1 h=>f g=>f", ".wh.f"}, "g=1#2 h=1#2"},
		{"the link is removed above", []string{"f=1 h=>f", ".wh.h"}, "f=1"},
		{"a link over a file", []string{"f=1 h=2", "h=>f"}, "f=1#2 h=1#2"},
		{"a link over a link of the same file", []string{"f=1 h=>f h=>f"}, "f=1#2 h=1#2"},
		{"modes", []string{"d/@2755 d/s@4711 t/@1777 n@0000"}, "d/@2755 d/s@4711 n@0000 t/@1777"},
		{"a link in the middle is replaced above", []string{"real/ real/x=1 lnk->real lnk/y=2", "lnk/ lnk/z=3"}, "lnk/ lnk/z=3 real/ real/x=1 real/y=2"},
		{"children below a lower link, then a directory", []string{"real/ lnk->real", "lnk/y=2", "lnk/ lnk/z=3"}, "lnk/ lnk/z=3 real/ real/y=2"},
		{"a file between two directories", []string{"x/@0700 x/a=1", "x=file", "x/b=2"}, "x/ x/b=2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var entries [][]testimage.Entry
			for _, l := range c.layers {
				entries = append(entries, parse(t, l))
			}
			m, layers := stack(t, entries...)
			root, _, err := unpackTo(t, m, layers, Options{})
			if err != nil {
				t.Fatalf("Unpack(%q) = %v", c.layers, err)
			}
			if got := list(t, root); got != c.want {
				t.Errorf("Unpack(%q) = %q, want %q", c.layers, got, c.want)
			}
		})
	}
}

func TestUnpackRefuses(t *testing.T) {
	needRoot(t)
	for _, c := range []struct {
		name   string
		layers []string
		want   string
	}{
		{"a loop", []string{"a->b b->a a/f=1"}, "symlinks"},
		{"the root is a link", []string{".->/etc"}, "root"},
		{"the root is a file", []string{"a/..=x"}, "root"},
		{"a whiteout of nothing", []string{".wh."}, "whiteout"},
		{"a whiteout of the directory", []string{"etc/ etc/.wh.."}, "whiteout"},
		{"a whiteout of the parent", []string{"etc/ etc/.wh..."}, "whiteout"},
		{"a whiteout in the middle", []string{".wh.a/b=1"}, "whiteout"},
		{"a link before its target", []string{"h=>f f=1"}, `"f"`},
		{"a link to a directory", []string{"d/ h=>d"}, "directory"},
		{"a link to the root", []string{"h=>."}, "directory"},
		{"a link to itself", []string{"f=1 f=>f"}, "itself"},
		{"a link in place of its target's directory", []string{"d/ d/f=1 d=>d/f"}, "target"},
		{"a link to a whiteout", []string{"x=1", ".wh.x h=>.wh.x"}, "not there"},
		{"an overlong component", []string{strings.Repeat("n", 256) + "=x"}, "256"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var entries [][]testimage.Entry
			for _, l := range c.layers {
				entries = append(entries, parse(t, l))
			}
			m, layers := stack(t, entries...)
			_, _, err := unpackTo(t, m, layers, Options{})
			if !errors.Is(err, fault.ErrRefused) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Unpack(%q) = %v, want a refusal that says %q", c.layers, err, c.want)
			}
		})
	}
}
