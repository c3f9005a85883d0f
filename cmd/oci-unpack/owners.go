package main

import (
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/oci-plumbing/oci-plumbing/lib/explain"
	"github.com/oci-plumbing/oci-plumbing/lib/idmap"
	"github.com/oci-plumbing/oci-plumbing/lib/layer"
)

func (p *plan) mapped() bool { return len(p.options.UIDMap)+len(p.options.GIDMap) > 0 }

// owners gives the files, which tar has extracted with the image's owners, to
// those of the host, and puts back what the kernel takes away with an owner.
// All lists are made before the first change: an id of the host may be one of
// the image, too.
func (w *stepWriter) owners(o *layer.Outline) {
	find, change := []string{"find ."}, []string(nil)
	for _, kind := range []struct {
		test, command string
		ids           []uint32
		to            idmap.Map
	}{{"-uid", "chown", o.UIDs, w.plan.options.UIDMap}, {"-gid", "chgrp", o.GIDs, w.plan.options.GIDMap}} {
		var tests []string
		for _, id := range kind.ids {
			host, err := kind.to.ToHost(id)
			if err != nil {
				w.err = err
				return
			}
			list := fmt.Sprintf(`"$lists/%s%d"`, kind.command, id)
			tests = append(tests, fmt.Sprintf("%s %d -fprint0 %s", kind.test, id, list))
			change = append(change, fmt.Sprintf("xargs -0r %s -h %d -- <%s", kind.command, host, list))
		}
		find = append(find, `\( `+strings.Join(tests, " -o ")+` \)`)
	}
	find[1] += " ," // find's comma: both are looked at, whatever the first says
	commands := append([]string{"lists=$(mktemp -d)", strings.Join(find, " ")}, change...)
	w.step(explain.Step{
		Action: "give the files to the host's ids", Command: strings.Join(append(commands, `rm -r -- "$lists"`), "\n"),
		Why: "tar knows the image's owners only", Ref: "user_namespaces(7)",
	})
	w.privileges(o.Privileged)
}

func (w *stepWriter) privileges(files []layer.OutlineFile) {
	var commands []string
	for _, f := range files {
		path := explain.Quote("./" + f.Path)
		if f.Mode&0o6000 != 0 {
			commands = append(commands, fmt.Sprintf("chmod %#o -- %s", f.Mode, path))
		}
		if f.Capability != "" {
			commands = append(commands, "setfattr -h -n security.capability -v 0x"+hex.EncodeToString([]byte(f.Capability))+" -- "+path)
		}
	}
	if len(commands) > 0 {
		w.step(explain.Step{
			Action: fmt.Sprintf("put back the privileges of %d files", len(files)), Command: strings.Join(commands, "\n"),
			Why: "a file that gets another owner loses them", Ref: "chown(2)",
		})
	}
}
