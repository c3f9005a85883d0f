package main

import (
	"encoding/hex"
	"fmt"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/oci-plumbing/oci-plumbing/lib/bundle"
	"github.com/oci-plumbing/oci-plumbing/lib/explain"
	"github.com/oci-plumbing/oci-plumbing/lib/idmap"
	"github.com/oci-plumbing/oci-plumbing/lib/layer"
)

// unsaid are the directories of which some layer has something, but not the
// directory itself, or something that is not to be there. In a stack of
// layers these show what tar has made up for them, or the marks themselves.
func unsaid(o *layer.Outline) (repeat []layer.OutlineDir, gone []string) {
	suspects := map[string]bool{".": true}
	suspect := func(p string) {
		for ; !suspects[p]; p = path.Dir(p) {
			suspects[p] = true
		}
	}
	for _, c := range o.Layers {
		own := make(map[string]bool)
		for _, e := range c.Entries {
			if e.Action == "dir" {
				own[path.Clean(e.Path)] = true
			}
		}
		for _, e := range c.Entries {
			switch e.Action {
			case "whiteout":
				suspect(path.Dir(e.Path))
			case "opaque":
				suspect(path.Clean(e.Path))
			}
			for p := path.Dir(path.Clean(e.Path)); p != "."; p = path.Dir(p) {
				if !own[p] {
					suspect(p)
				}
			}
		}
	}
	dirs := make(map[string]bool)
	for _, d := range o.Dirs {
		dirs[d.Path] = true
		if suspects[d.Path] {
			repeat = append(repeat, d)
			delete(suspects, d.Path)
		}
	}
	for _, p := range slices.Sorted(maps.Keys(suspects)) {
		if dirs[path.Dir(p)] && !o.Exists(p) {
			gone = append(gone, p)
		}
	}
	return repeat, gone
}

// fixupStep prints how the topmost lower layer is made, which repeats what the
// others leave unsaid, and how the upper gets the metadata of the root.
func (m *mounter) fixupStep(o *layer.Outline) (string, error) {
	repeat, gone := unsaid(o)
	dir := filepath.Join(m.Bundle, fixupDir)
	commands := []string{"mkdir -- " + explain.Quote(dir), "(", "cd -- " + explain.Quote(dir)}
	var paths []string
	for _, d := range repeat {
		paths = append(paths, d.Path)
	}
	commands = append(commands, lines("mkdir -p --", paths)...)
	for _, p := range gone {
		commands = append(commands, "mknod -- "+explain.Quote("./"+p)+" c 0 0")
	}
	commands = append(commands, m.dress(repeat)...)
	commands = append(commands, ")")
	if !m.ReadOnly {
		commands = append(commands, m.dressUpper(repeat)...)
	}
	return dir, m.steps.Step(explain.Step{
		Action: "repeat the directories that layers leave unsaid", Command: strings.Join(commands, "\n"),
		Why: "a merged directory has the metadata of the topmost layer that holds it, where tar had to make them up", Ref: "overlayfs.rst",
	})
}

// dressUpper are the commands that give the upper directory the metadata of
// the root, which is the first of those to be repeated.
func (m *mounter) dressUpper(repeat []layer.OutlineDir) []string {
	upper := filepath.Join(m.Bundle, bundle.UpperDir)
	if m.Size > 0 {
		upper = filepath.Join(m.Bundle, bundle.WorkDir, bundle.UpperDir)
	}
	return append(append([]string{"(", "cd -- " + explain.Quote(upper)}, m.dress(repeat[:1])...), ")")
}

// dress are the commands that set the metadata of directories below the
// current one, the times last.
func (m *mounter) dress(dirs []layer.OutlineDir) []string {
	var commands []string
	group := func(command func(d layer.OutlineDir) []string) {
		paths := make(map[string][]string)
		for _, d := range dirs {
			for _, c := range command(d) {
				paths[c] = append(paths[c], d.Path)
			}
		}
		for _, c := range slices.Sorted(maps.Keys(paths)) {
			commands = append(commands, lines(c, paths[c])...)
		}
	}
	group(func(d layer.OutlineDir) []string {
		return []string{fmt.Sprintf("chown %d:%d --", shown(m.IDMap, d.UID), shown(m.IDMap, d.GID))}
	})
	group(func(d layer.OutlineDir) []string { return []string{fmt.Sprintf("chmod %#o --", d.Mode)} })
	group(func(d layer.OutlineDir) []string {
		var all []string
		for _, x := range d.Xattrs {
			all = append(all, "setfattr -n "+explain.Quote(x.Name)+" -v 0x"+hex.EncodeToString([]byte(x.Value))+" --")
		}
		return all
	})
	group(func(d layer.OutlineDir) []string { return []string{"touch -h -d @" + explain.Time(d.MTime) + " --"} })
	return commands
}

// shown is the id as a mount with the map shows it: one outside is nobody's.
func shown(ids idmap.Map, id uint32) uint32 {
	host, err := ids.ToHost(id)
	if err != nil {
		return 65534
	}
	return host
}

// lines is the command with all the paths, below the current directory.
func lines(command string, paths []string) []string {
	return explain.Lines(command, within(".", paths))
}
