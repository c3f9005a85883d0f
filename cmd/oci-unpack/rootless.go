package main

import (
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/oci-plumbing/oci-plumbing/lib/explain"
	"github.com/oci-plumbing/oci-plumbing/lib/layer"
)

// openDirectories lets the user into the directories of the layers so far. Root
// needs no leave.
func (w *stepWriter) openDirectories() {
	w.step(explain.Step{
		Action: "open the directories", Command: `find . -type d ! -perm -u=rwx -exec chmod u=rwx {} \;`,
		Why: "layers may lock their owner out; the modes are set in the end",
	})
}

// locks reports whether the owner lacks a right to the directory.
func locks(d layer.OutlineDir) bool { return d.Mode&0o700 != 0o700 }

// without are the flags that keep tar from making devices, and what hangs on
// them as a hard link.
func without(devices []string) string {
	if len(devices) == 0 {
		return ""
	}
	var words []string
	for _, d := range devices {
		words = append(words, "--exclude="+d, "--exclude=./"+d, "--exclude=/"+d)
	}
	return " --anchored --no-wildcards " + explain.Quote(words...)
}

// placeholders makes the files that stand for devices.
func (w *stepWriter) placeholders(all []layer.OutlinePlaceholder) {
	if len(all) == 0 {
		return
	}
	var parents, commands, files []string
	for _, p := range all {
		for _, name := range p.Paths {
			parents = append(parents, path.Dir(name))
		}
	}
	slices.Sort(parents)
	commands = append(commands, w.lines("mkdir -p --", below(slices.Compact(parents))))
	for _, p := range all {
		names := below(p.Paths)
		files = append(files, names[0])
		commands = append(commands, w.within+"touch -d @"+explain.Time(p.MTime)+" -- "+explain.Quote(names[0]))
		for _, more := range names[1:] {
			commands = append(commands, w.within+"ln -- "+explain.Quote(names[0], more))
		}
	}
	w.step(explain.Step{
		Action:  fmt.Sprintf("put empty files in the place of %d devices", len(all)),
		Command: strings.Join(append(commands, w.lines("chmod 0 --", files)), "\n"),
		Why:     "only root can make devices", Ref: "mknod(2)",
	})
}

// attributes sets the xattrs, with the owners of the image among them. A file
// that its owner may not write takes none of his, so its mode is set again; an
// ACL comes after that, since the mode is a part of it.
func (w *stepWriter) attributes(all []layer.OutlineAttribute) {
	var locked, before, after []string
	modes, values := map[uint32][]string{}, map[string][]string{}
	for _, a := range all {
		if os.Geteuid() != 0 && (strings.HasPrefix(a.Name, "trusted.") || strings.HasPrefix(a.Name, "security.")) {
			continue
		}
		file := "./" + a.Path
		command := "setfattr -h -n " + explain.Quote(a.Name) + " -v 0x" + hex.EncodeToString([]byte(a.Value)) + " --"
		values[command] = append(values[command], file)
		if a.Mode&0o200 == 0 && strings.HasPrefix(a.Name, "user.") && (len(locked) == 0 || locked[len(locked)-1] != file) {
			locked = append(locked, file)
			if !a.Dir { // those have a step of their own
				modes[a.Mode] = append(modes[a.Mode], file)
			}
		}
	}
	for _, command := range slices.Sorted(maps.Keys(values)) {
		lines := w.lines(command, values[command])
		if strings.Contains(command, " system.posix_acl_") {
			after = append(after, lines)
		} else {
			before = append(before, lines)
		}
	}
	var commands []string
	if len(locked) > 0 {
		commands = append(commands, w.lines("chmod u+w --", locked))
	}
	commands = append(commands, before...)
	for _, mode := range slices.Sorted(maps.Keys(modes)) {
		commands = append(commands, w.lines(fmt.Sprintf("chmod %#o --", mode), modes[mode]))
	}
	if commands = append(commands, after...); len(commands) > 0 {
		w.step(explain.Step{
			Action:  "set the attributes, in which the owners of the image are kept",
			Command: strings.Join(commands, "\n"),
			Why:     "every file is its user's; oci-commit reads them", Ref: "user.rootlesscontainers",
		})
	}
}

// modes sets those that would lock the user out before the rest is done: the
// deepest directories come first.
func (w *stepWriter) modes(dirs []layer.OutlineDir) {
	var commands []string
	for _, d := range slices.Backward(dirs) {
		if locks(d) {
			commands = append(commands, fmt.Sprintf("chmod %#o -- %s", d.Mode, explain.Quote("./"+d.Path)))
		}
	}
	if len(commands) > 0 {
		w.step(explain.Step{
			Action: fmt.Sprintf("lock %d directories", len(commands)), Command: strings.Join(commands, "\n"),
			Why: "their owner may not write, or not even look there",
		})
	}
}
