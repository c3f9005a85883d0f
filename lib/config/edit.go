package config

import (
	"encoding/json"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// Edits are changes to the members of an image config that a container starts
// with. They are made in the order of the fields.
type Edits struct {
	// Clear are names of members that are removed, or NAME=KEY for one
	// entry of a list or map: "cmd", "env=PATH", "label=version". The names
	// are those of the options of oci-commit, or of a member itself.
	Clear []string
	// Patches are JSON merge patches (RFC 7396) of the whole config.
	Patches []json.RawMessage
	// Env are NAME=VALUE. A variable that is there is replaced in its place.
	Env []string
	// Entrypoint and Cmd replace the list; nil leaves it alone.
	Entrypoint, Cmd []string
	// User, WorkingDir, StopSignal and Author replace the text; empty
	// leaves it alone.
	User, WorkingDir, StopSignal, Author string
	// Labels are NAME=VALUE.
	Labels []string
	// ExposedPorts are PORT[/PROTOCOL], Volumes absolute paths; both add.
	ExposedPorts, Volumes []string
}

// members are the names that Clear knows beside those of the JSON itself.
var members = map[string]string{
	"env": "Env", "entrypoint": "Entrypoint", "cmd": "Cmd", "user": "User", "workdir": "WorkingDir",
	"label": "Labels", "labels": "Labels", "expose": "ExposedPorts", "volume": "Volumes", "volumes": "Volumes",
	"stop-signal": "StopSignal", "stopsignal": "StopSignal", "workingdir": "WorkingDir",
	"exposedports": "ExposedPorts", "ports": "ExposedPorts", "healthcheck": "Healthcheck", "shell": "Shell", "onbuild": "OnBuild",
}

// required are the members without which there is no image.
var required = map[string]bool{"rootfs": true, "os": true, "architecture": true, "config": true}

// Apply makes the edits. On an error the image is left half edited.
func (i *Image) Apply(e Edits) error {
	for _, name := range e.Clear {
		if err := i.clear(name); err != nil {
			return err
		}
	}
	for _, patch := range e.Patches {
		if err := i.patch(patch); err != nil {
			return err
		}
	}
	if err := i.env(e.Env); err != nil {
		return err
	}
	for name, list := range map[string][]string{"Entrypoint": e.Entrypoint, "Cmd": e.Cmd} {
		if list == nil {
			continue
		}
		if err := i.config.set(name, list); err != nil {
			return err
		}
	}
	if e.WorkingDir != "" && !path.IsAbs(e.WorkingDir) {
		return fault.Usage("working directory %q is not an absolute path", e.WorkingDir)
	}
	for name, text := range map[string]string{"User": e.User, "WorkingDir": e.WorkingDir, "StopSignal": e.StopSignal} {
		if text == "" {
			continue
		}
		if err := i.config.set(name, text); err != nil {
			return err
		}
	}
	if e.Author != "" {
		if err := i.members.set("author", e.Author); err != nil {
			return err
		}
	}
	return i.maps(e)
}

// clear removes a member, or one entry of it. That it is not there is no
// error: the wish is fulfilled.
func (i *Image) clear(word string) error {
	name, key, one := strings.Cut(word, "=")
	in, member := i.config, members[strings.ToLower(name)]
	_, inConfig := i.config[name]
	_, atTop := i.members[name]
	switch {
	case name == "author" || name == "history":
		in, member = i.members, name
	case member != "":
	case inConfig:
		member = name
	case atTop && !required[name]:
		in, member = i.members, name
	default:
		return fault.Usage("there is no field %q to clear", name)
	}
	if !one {
		delete(in, member)
		return nil
	}
	if member == "Env" {
		return i.editEnv(func(list []string) []string {
			return slices.DeleteFunc(list, func(v string) bool { return variable(v) == key })
		})
	}
	if k := kind(in[member]); k != 0 && k != '{' {
		return fault.Usage("the field %q has no entries that could be cleared one by one", name)
	}
	entries, err := parse(in[member], fmt.Sprintf("member %q", member))
	if err != nil {
		return err
	}
	delete(entries, key)
	return in.set(member, entries)
}

// patch merges a JSON merge patch into the config.
func (i *Image) patch(patch json.RawMessage) error {
	whole, err := i.Encode()
	if err != nil {
		return err
	}
	merged, err := mergePatch(whole, patch)
	if err != nil {
		return err
	}
	edited, err := ParseImage(merged)
	if err != nil {
		return err
	}
	*i = *edited
	return nil
}

func (i *Image) env(list []string) error {
	for _, v := range list {
		if name, _, ok := strings.Cut(v, "="); !ok || name == "" || strings.ContainsRune(v, 0) {
			return fault.Usage("environment variable %q is not NAME=VALUE", v)
		}
	}
	if len(list) == 0 {
		return nil
	}
	return i.editEnv(func(env []string) []string {
		for _, v := range list {
			at := slices.IndexFunc(env, func(have string) bool { return variable(have) == variable(v) })
			if at < 0 {
				env = append(env, v)
			} else {
				env[at] = v
			}
		}
		return env
	})
}

func variable(v string) string {
	name, _, _ := strings.Cut(v, "=")
	return name
}

func (i *Image) editEnv(edit func([]string) []string) error {
	var env []string
	if err := i.config.get("Env", &env); err != nil {
		return err
	}
	return i.config.set("Env", edit(env))
}

var portGrammar = regexp.MustCompile(`^([0-9]{1,5})(-([0-9]{1,5}))?(/(tcp|udp|sctp))?$`)

// isPort reads PORT or FIRST-LAST, with or without the protocol.
func isPort(s string) bool {
	words := portGrammar.FindStringSubmatch(s)
	if words == nil {
		return false
	}
	first, err := strconv.ParseUint(words[1], 10, 16)
	last := first
	if err == nil && words[3] != "" {
		last, err = strconv.ParseUint(words[3], 10, 16)
	}
	return err == nil && first > 0 && first <= last
}

// maps adds to the members that are maps: labels, and the sets that config.md
// writes as maps to empty objects.
func (i *Image) maps(e Edits) error {
	labels := make(map[string]any)
	for _, l := range e.Labels {
		name, value, _ := strings.Cut(l, "=")
		if name == "" {
			return fault.Usage("label %q is not NAME=VALUE", l)
		}
		labels[name] = value
	}
	ports := make(map[string]any)
	for _, p := range e.ExposedPorts {
		if !isPort(p) {
			return fault.Usage("port %q is not PORT[/tcp|/udp|/sctp], from 1 to 65535", p)
		}
		if !strings.Contains(p, "/") {
			p += "/tcp"
		}
		ports[p] = struct{}{}
	}
	volumes := make(map[string]any)
	for _, v := range e.Volumes {
		if !path.IsAbs(v) {
			return fault.Usage("volume %q is not an absolute path", v)
		}
		volumes[v] = struct{}{}
	}
	for name, add := range map[string]map[string]any{"Labels": labels, "ExposedPorts": ports, "Volumes": volumes} {
		if err := addTo(i.config, name, add); err != nil {
			return err
		}
	}
	return nil
}

// addTo adds entries to a member that is a map.
func addTo(o object, member string, add map[string]any) error {
	if len(add) == 0 {
		return nil
	}
	entries, err := parse(o[member], fmt.Sprintf("member %q", member))
	if err != nil {
		return err
	}
	for key, value := range add {
		if err := entries.set(key, value); err != nil {
			return err
		}
	}
	return o.set(member, entries)
}

// Empty reports whether there is nothing to edit.
func (e *Edits) Empty() bool {
	return len(e.Clear)+len(e.Patches)+len(e.Env)+len(e.Labels)+len(e.ExposedPorts)+len(e.Volumes) == 0 &&
		e.Entrypoint == nil && e.Cmd == nil && e.User == "" && e.WorkingDir == "" && e.StopSignal == "" && e.Author == ""
}
