package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/oci-plumbing/oci-plumbing/lib/explain"
	"github.com/oci-plumbing/oci-plumbing/lib/fault"
	"github.com/oci-plumbing/oci-plumbing/lib/idmap"
)

// inside is the function of the script that runs a command in the namespace.
const inside = "inside "

// namespace makes a user namespace in which the ids of the image are those of
// the maps, so that tar can give files away without being root.
func (w *stepWriter) namespace() {
	var commands []string
	for _, kind := range []struct {
		program string
		own     int
		ids     idmap.Map
	}{{"newuidmap", os.Geteuid(), w.plan.options.UIDMap}, {"newgidmap", os.Getegid(), w.plan.options.GIDMap}} {
		if _, err := kind.ids.ToHost(0); err != nil || len(kind.ids) == 0 {
			w.err = fault.Hint(fault.Refused("a script can give files away only in a user namespace that has a root"),
				"map 0 with both --uid-map and --gid-map")
			return
		}
		commands = append(commands, kind.program+` "$holder"`+namespaceMap(kind.ids, uint32(kind.own)))
	}
	w.step(explain.Step{
		Action: "make a user namespace, and keep it with a process in it",
		Command: strings.Join(append([]string{
			"unshare -U sleep 86400 >/dev/null 2>&1 &",
			"holder=$!",
			`trap 'kill "$holder"' EXIT`,
			`while test "$(readlink "/proc/$holder/ns/user")" = "$(readlink "/proc/$$/ns/user")"; do sleep 0.1; done`,
		}, append(commands, `inside() { nsenter -U -t "$holder" -S 0 -G 0 -- "$@"; }`)...), "\n"),
		Why: "there tar may give files to the ids that /etc/subuid and /etc/subgid grant", Ref: "user_namespaces(7), newuidmap(1)",
	})
}

// namespaceMap is the map as newuidmap takes it. The user's own id is part of
// it, at a number that the image does not use: else the root of the namespace
// could not write to his directories.
func namespaceMap(ids idmap.Map, own uint32) string {
	var b strings.Builder
	free, hasOwn := uint32(0), false
	for _, r := range ids {
		fmt.Fprintf(&b, " %d %d %d", r.Container, r.Host, r.Size)
		hasOwn = hasOwn || own >= r.Host && own-r.Host < r.Size
		free = max(free, r.Container+r.Size)
	}
	if !hasOwn {
		fmt.Fprintf(&b, " %d %d 1", free, own)
	}
	return b.String()
}
