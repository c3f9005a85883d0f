package main

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/oci-plumbing/oci-plumbing/lib/bundle"
	"github.com/oci-plumbing/oci-plumbing/lib/cli"
	"github.com/oci-plumbing/oci-plumbing/lib/explain"
	"github.com/oci-plumbing/oci-plumbing/lib/fault"
	"github.com/oci-plumbing/oci-plumbing/lib/idmap"
	"github.com/oci-plumbing/oci-plumbing/lib/layer"
	"github.com/oci-plumbing/oci-plumbing/lib/layout"
	"github.com/oci-plumbing/oci-plumbing/lib/overlay"
)

// dryRun prints the script that does by hand what the plan says.
func dryRun(ctx context.Context, inv *cli.Invocation, p plan) error {
	m := newMounter(p, inv)
	image, source, err := m.resolve(ctx)
	if err != nil {
		return err
	}
	old, err := m.existing(image)
	if err != nil {
		return err
	}
	if err := m.possible(old); err != nil {
		return err
	}
	if old != nil {
		image = old.image
	}
	m.byHand = true
	if err := m.explain(ctx, source, image, old); err != nil || p.Program == nil {
		return err
	}
	return m.programStep()
}

// possible fails as the mount would.
func (m *mounter) possible(old *existing) error {
	if old == nil {
		return bundle.CheckVacant(m.Bundle)
	}
	if err := checkUnmounted(&old.Bundle); err != nil {
		return err
	}
	return m.checkClean(&old.Bundle)
}

// explain prints how the image is mounted, and how the bundle is made when
// there is no old one. What the layers leave to each other is found by reading
// them once more.
func (m *mounter) explain(ctx context.Context, source *layout.Layout, image *layout.Image, old *existing) error {
	if !m.steps.Enabled() {
		return nil
	}
	layers := layersOf(image)
	outline, err := layer.Describe(ctx, source, layers, layer.Options{})
	if err != nil {
		return err
	}
	if m.byHand {
		if err := scriptable(outline); err != nil {
			return err
		}
	}
	if old == nil {
		err = m.bundleStep()
	} else {
		err = m.renewStep(outline)
	}
	if err != nil {
		return err
	}
	paths, err := m.fillSteps(source, layers, outline)
	if err != nil {
		return err
	}
	if old != nil {
		paths = append(old.own(), paths...)
	}
	if paths, err = m.lowerSteps(paths, outline); err != nil {
		return err
	}
	if old == nil {
		fixup, err := m.fixupStep(outline)
		if err != nil {
			return err
		}
		paths = append([]string{fixup}, paths...)
	}
	return m.mountStep(paths)
}

// scriptable refuses what tar would do in another way than oci-mount.
func scriptable(o *layer.Outline) error {
	switch {
	case o.FollowsLinks:
		return fault.Hint(fault.Refused("a layer writes through a symlink of the image: a script would follow it out of the tree"),
			"%s itself resolves such links inside the tree", name)
	case o.Overwrites:
		return fault.Hint(fault.Refused("a layer has two things at one path, of which tar may keep the other one"), "%s itself keeps the last", name)
	}
	return nil
}

// bundleStep prints how the bundle is made.
func (m *mounter) bundleStep() error {
	b := bundle.Bundle{Dir: m.Bundle}
	dirs := []string{b.Rootfs()}
	if !m.ReadOnly {
		dirs = append(dirs, filepath.Join(b.Dir, bundle.UpperDir), filepath.Join(b.Dir, bundle.WorkDir))
	}
	command := "mkdir -p -m 700 " + explain.Quote(b.Dir) + "\nmkdir " + explain.Quote(dirs...)
	if m.Size > 0 {
		command += "\n" + m.tmpfsCommands()
	}
	return m.steps.Step(explain.Step{Action: "make the bundle", Command: command, Why: "what is changed goes into upper"})
}

// tmpfsCommands make the upper directory of --size.
func (m *mounter) tmpfsCommands() string {
	upper, work := filepath.Join(m.Bundle, bundle.UpperDir), filepath.Join(m.Bundle, bundle.WorkDir)
	inner := filepath.Join(work, bundle.UpperDir)
	return fmt.Sprintf("mount -t tmpfs -o size=%d,mode=0700 %s %s", m.Size, overlay.Source, explain.Quote(work)) +
		"\nmkdir -m 700 " + explain.Quote(inner, filepath.Join(work, bundle.WorkDir)) +
		"\nmount --bind " + explain.Quote(inner, upper)
}

// renewStep prints what an old bundle needs before it is mounted again.
func (m *mounter) renewStep(o *layer.Outline) error {
	var commands []string
	if m.Force {
		commands = append(commands, "rm -rf -- "+explain.Quote(filepath.Join(m.Bundle, bundle.WorkDir, dirtyMark)))
	}
	if m.Size > 0 {
		repeat, _ := unsaid(o)
		commands = append(commands, m.tmpfsCommands())
		commands = append(commands, m.dressUpper(repeat)...)
	}
	if len(commands) == 0 {
		return nil
	}
	return m.steps.Step(explain.Step{Action: "make the bundle ready", Command: strings.Join(commands, "\n")})
}

// lowerSteps print how layers that cannot be stacked as they are get mounts of
// their own, and return where all are. oci-mount itself passes such mounts to
// the kernel detached; mount(8) needs places for them.
func (m *mounter) lowerSteps(paths []string, o *layer.Outline) ([]string, error) {
	var commands []string
	if len(m.IDMap) > 0 && len(paths) > 0 {
		commands = m.idmapFunction(o)
	}
	lowers := slices.Clone(paths)
	mount := func(command, path, place string) string {
		commands = append(commands, "mkdir -p "+explain.Quote(place), command+" "+explain.Quote(path, place))
		m.places = append(m.places, place)
		return place
	}
	for i, path := range paths {
		place := filepath.Join(m.Bundle, "lower", strconv.Itoa(len(paths)-i))
		if strings.HasSuffix(path, ".erofs") {
			lowers[i] = mount("mount -t erofs -o ro,loop", path, place)
		}
		if len(m.IDMap) > 0 {
			lowers[i] = mount("idmapped", lowers[i], place+".mapped")
		}
	}
	if len(commands) == 0 {
		return lowers, nil
	}
	return lowers, m.steps.Step(explain.Step{
		Action: "mount the layers by themselves", Command: strings.Join(commands, "\n"),
		Why: "an image file is no directory, and mapped ids belong to a mount", Ref: "mount(8), X-mount.idmap of util-linux 2.39",
	})
}

// idmapFunction is a function of the script that shows a directory at another
// place with mapped ids. An older mount(8) passes over the option: there a copy
// gets the owners.
func (m *mounter) idmapFunction(o *layer.Outline) []string {
	owners := func(ids []uint32) string {
		var words []string
		for _, id := range ids {
			words = append(words, fmt.Sprintf("+%d +%d", id, shown(m.IDMap, id)))
		}
		return explain.Quote(words...)
	}
	maps := filepath.Join(m.Bundle, "maps")
	users, groups := filepath.Join(maps, "users"), filepath.Join(maps, "groups")
	flags := " --numeric-owner --xattrs --xattrs-include='*'"
	return []string{
		"mkdir -p -- " + explain.Quote(maps),
		`printf '%s\n' ` + owners(o.UIDs) + " >" + explain.Quote(users),
		`printf '%s\n' ` + owners(o.GIDs) + " >" + explain.Quote(groups),
		"idmapped() {",
		"  case $(mount --version) in",
		`  *'util-linux 2.'[0-2]*|*'util-linux 2.3'[0-8]*)`,
		"    tar -C \"$1\" -c" + flags + " --owner-map=" + explain.Quote(users) + " --group-map=" + explain.Quote(groups) +
			" -f - . | tar -C \"$2\" -x -p --same-owner" + flags + " -f - ;;",
		"  *) mount --bind -o " + explain.Quote("X-mount.idmap="+idmapOption(m.IDMap)) + ` "$1" "$2" ;;`,
		"  esac",
		"}",
	}
}

// idmapOption is the id map as mount(8) takes it: TYPE:MOUNT:HOST:RANGE.
func idmapOption(ids idmap.Map) string {
	words := make([]string, len(ids))
	for i, r := range ids {
		words[i] = fmt.Sprintf("b:%d:%d:%d", r.Container, r.Host, r.Size)
	}
	return strings.Join(words, " ")
}

// maxMountCommand: mount(2) takes a page of options.
const maxMountCommand = 4000

// mountStep prints the mount(8) command.
func (m *mounter) mountStep(paths []string) error {
	b := bundle.Bundle{Dir: m.Bundle}
	s, before := overlay.Stack{UserXattr: m.userXattr, Volatile: m.Volatile}, ""
	if len(paths) == 1 && m.ReadOnly {
		empty := filepath.Join(b.Dir, emptyDir)
		paths, before = append(paths, empty), "mkdir -- "+explain.Quote(empty)+"\n"
	}
	for _, path := range paths {
		s.Lowers = append(s.Lowers, overlay.Lower{Path: path})
	}
	options := ""
	if m.ReadOnly {
		options = "ro,"
	} else {
		s.Upper, s.Work = filepath.Join(b.Dir, bundle.UpperDir), filepath.Join(b.Dir, bundle.WorkDir)
		if m.Size > 0 {
			s.Upper, s.Work = filepath.Join(s.Work, bundle.UpperDir), filepath.Join(s.Work, bundle.WorkDir)
		}
	}
	command := before + "mount -t overlay " + overlay.Source + " -o " + explain.Quote(options+s.ClassicOptions()) + " " + explain.Quote(b.Rootfs())
	if m.byHand && len(command) > maxMountCommand {
		return fault.Hint(fmt.Errorf("the names of %d layers are more than mount(8) takes", len(paths)), "%s itself hands them to the kernel one by one", name)
	}
	if m.Program == nil {
		command += "\necho " + explain.Quote(b.Rootfs())
	}
	return m.steps.Step(explain.Step{
		Action: "mount the layers", Command: command,
		Why: "the first directory of lowerdir is the topmost layer", Ref: "overlayfs.rst",
	})
}

// programStep prints how PROG is run, and what is cleared away after it,
// whatever its status.
func (m *mounter) programStep() error {
	b := bundle.Bundle{Dir: m.Bundle}
	words := slices.Clone(m.Program)
	if strings.Contains(words[0], "/") {
		path, err := filepath.Abs(words[0])
		if err != nil {
			return fmt.Errorf("find %s: %w", words[0], err)
		}
		words[0] = path
	}
	commands := []string{
		"status=0",
		"(cd " + explain.Quote(b.Dir) + " && OCI_BUNDLE=" + explain.Quote(b.Dir) + " " + explain.Quote(words...) + ") || status=$?",
		"umount " + explain.Quote(b.Rootfs()),
	}
	if m.Size > 0 {
		commands = append(commands, "umount "+explain.Quote(filepath.Join(b.Dir, bundle.UpperDir), filepath.Join(b.Dir, bundle.WorkDir)))
	}
	if len(m.places) > 0 {
		commands = append(commands, "for place in "+explain.Quote(m.places...)+"; do\n  ! mountpoint -q \"$place\" || umount \"$place\"\ndone")
	}
	switch {
	case m.Remove:
		commands = append(commands, "rm -r -- "+explain.Quote(b.Dir))
	case m.Volatile:
		commands = append(commands, "sync -f "+explain.Quote(b.Dir),
			"rm -rf -- "+explain.Quote(filepath.Join(b.Dir, bundle.WorkDir, dirtyMark)))
	}
	return m.steps.Step(explain.Step{
		Action: "run the program, then unmount", Command: strings.Join(append(commands, "exit $status"), "\n"),
	})
}
