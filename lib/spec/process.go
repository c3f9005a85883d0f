package spec

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// arguments writes process.args: Entrypoint and Cmd of the image, of which
// the command replaces Cmd, and --entrypoint both (docker's rules). A filter
// cannot tell the two apart any more, and replaces all.
func (b *builder) arguments() error {
	if b.opt.Args == nil && b.opt.Entrypoint == nil && b.profile == nil {
		return nil
	}
	var entrypoint, cmd []string
	from := fromImage("config.Entrypoint", "Entrypoint and Cmd (image-spec conversion.md)")
	if img := b.in.Image; img != nil {
		entrypoint, cmd = img.Entrypoint, img.Cmd
		if slices.Equal(entrypoint, []string{""}) {
			// What "ENTRYPOINT []" of a Dockerfile leaves behind.
			entrypoint = nil
		}
		if entrypoint == nil {
			from = fromImage("config.Cmd", "Cmd (image-spec conversion.md)")
		}
	}
	if b.opt.Entrypoint != nil {
		var err error
		if entrypoint, err = parseEntrypoint(*b.opt.Entrypoint); err != nil {
			return err
		}
		cmd = nil
		from = byFlag("--entrypoint", "replaces Entrypoint and Cmd")
	}
	if len(b.opt.Args) > 0 {
		cmd = b.opt.Args
	}
	args := newArray()
	for _, word := range entrypoint {
		n := newString(word)
		n.from = from
		args.items = append(args.items, n)
	}
	for _, word := range cmd {
		n := newString(word)
		n.from = from
		if len(b.opt.Args) > 0 {
			n.from = byFlag("COMMAND", "replaces Cmd")
		}
		args.items = append(args.items, n)
	}
	if len(args.items) == 0 || args.items[0].text() == "" {
		return fault.Hint(fault.Refused("there is no command: the image names none, and none was given"), "give one: -- COMMAND [ARGUMENT...]")
	}
	b.doc.set(from, args, "process", "args")
	return nil
}

// parseEntrypoint reads a word, or a JSON array of words.
func parseEntrypoint(s string) ([]string, error) {
	if s == "" {
		return nil, nil
	}
	if s[0] != '[' || s == "[" {
		// The bracket alone is a command.
		return []string{s}, nil
	}
	n, err := parseJSON([]byte(s))
	if err != nil {
		return nil, fault.As(fault.ErrUsage, fmt.Errorf("--entrypoint: %w", err))
	}
	if len(n.texts()) != len(n.items) {
		return nil, fault.Usage("--entrypoint %s is not an array of strings", s)
	}
	return n.texts(), nil
}

// variable is one element of process.env.
type variable struct {
	name string
	node *node
}

// environment merges the variables of the image, the files and the flags. The
// order of the image stays; the last of equal names wins, in the place of the
// first.
func (b *builder) environment() error {
	var vars []variable
	if b.profile != nil {
		var err error
		if vars, err = b.imageEnv(); err != nil {
			return err
		}
	} else {
		for _, n := range b.doc.get("process", "env").each() {
			name, _, _ := strings.Cut(n.text(), "=")
			vars = append(vars, variable{name, n})
		}
	}
	added, err := b.flagEnv()
	if err != nil {
		return err
	}
	before := len(vars)
	if b.opt.UnsetEnvAll {
		vars = nil
	}
	// What is set again keeps its place.
	vars = slices.DeleteFunc(vars, func(v variable) bool {
		return b.unset(v.name) && !slices.ContainsFunc(added, func(a variable) bool { return a.name == v.name })
	})
	changed := len(vars) != before
	for _, v := range added {
		vars = setVariable(vars, v)
	}
	terminal := b.opt.Terminal
	if b.profile != nil && b.profile.DefaultPath && !b.unset("PATH") {
		vars = addVariable(vars, defaultPath, b.byDefault("without PATH a runtime finds no command"))
	}
	if terminal != nil && *terminal {
		vars = addVariable(vars, "TERM=xterm", derived("terminal", "programs ask for the kind of the terminal"))
	}
	if b.profile == nil && !changed && len(added) == 0 && (terminal == nil || !*terminal) {
		return nil
	}
	list := newArray()
	for _, v := range vars {
		list.items = append(list.items, v.node)
	}
	if b.doc.get("process", "env") != nil || len(list.items) > 0 {
		b.doc.set(nil, list, "process", "env")
	}
	return nil
}

func (b *builder) unset(name string) bool { return slices.Contains(b.opt.UnsetEnv, name) }

func (b *builder) imageEnv() ([]variable, error) {
	var vars []variable
	place := make(map[string]int)
	for i, entry := range b.in.Image.Env {
		name, _, hasValue := strings.Cut(entry, "=")
		where := pointer("config", "Env", strconv.Itoa(i))
		switch {
		case name == "":
			return nil, fault.Refused("image config: Env[%d] %q has no name", i, entry)
		case !hasValue:
			b.ignore(where, "no equals sign: a runtime refuses it")
			continue
		}
		n := newString(entry)
		n.from = fromImage(fmt.Sprintf("config.Env[%d]", i), "environment (image-spec conversion.md)")
		if at, twice := place[name]; twice {
			vars[at].node = n
			continue
		}
		place[name] = len(vars)
		vars = append(vars, variable{name, n})
	}
	return vars, nil
}

func (b *builder) flagEnv() ([]variable, error) {
	var added []variable
	for _, file := range b.opt.EnvFiles {
		entries, err := readEnvFile(file)
		if err != nil {
			return nil, fmt.Errorf("--env-file %s: %w", file, err)
		}
		for _, entry := range entries {
			added = b.appendEnv(added, entry, byFlag("--env-file", file))
		}
	}
	for _, entry := range b.opt.Env {
		if entry == "" || entry[0] == '=' {
			return nil, fault.Usage("--env %q has no name", entry)
		}
		added = b.appendEnv(added, entry, byFlag("--env", ""))
	}
	return added, nil
}

// appendEnv adds NAME=VALUE; NAME alone copies the value of the host, and
// nothing when the host has none. PREFIX* copies all that begin so.
func (b *builder) appendEnv(vars []variable, entry string, from *Origin) []variable {
	name, _, hasValue := strings.Cut(entry, "=")
	if prefix, isPattern := strings.CutSuffix(name, "*"); isPattern && !hasValue {
		for _, match := range b.hostVariables(prefix) {
			vars = b.appendEnv(vars, match, from)
		}
		return vars
	}
	if !hasValue {
		value, ok := "", false
		if b.host.Getenv != nil {
			value, ok = b.host.Getenv(name)
		}
		if !ok {
			return vars
		}
		entry = name + "=" + value
		from = &Origin{Source: from.Source, Why: "value of the caller's environment"}
	}
	n := newString(entry)
	n.from = from
	return append(vars, variable{name, n})
}

// hostVariables are the names in the caller's environment that begin with the
// prefix, sorted: the same environment gives the same bytes.
func (b *builder) hostVariables(prefix string) []string {
	if b.host.Environ == nil {
		return nil
	}
	var names []string
	for _, entry := range b.host.Environ() {
		name, _, _ := strings.Cut(entry, "=")
		if name != "" && strings.HasPrefix(name, prefix) && !strings.HasSuffix(name, "*") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// setVariable replaces the first variable of the name and deletes the others,
// or appends it.
func setVariable(vars []variable, v variable) []variable {
	at := slices.IndexFunc(vars, func(o variable) bool { return o.name == v.name })
	if at < 0 {
		return append(vars, v)
	}
	if !vars[at].node.equal(v.node) {
		vars[at] = v
	}
	rest := slices.DeleteFunc(slices.Clone(vars[at+1:]), func(o variable) bool { return o.name == v.name })
	return append(vars[:at+1], rest...)
}

// addVariable appends the variable unless there is one of its name.
func addVariable(vars []variable, entry string, from *Origin) []variable {
	name, _, _ := strings.Cut(entry, "=")
	if slices.ContainsFunc(vars, func(o variable) bool { return o.name == name }) {
		return vars
	}
	n := newString(entry)
	n.from = from
	return append(vars, variable{name, n})
}

// readEnvFile reads lines as docker does: no quotes, no expansion, "#" begins
// a comment line, a carriage return at the end is dropped.
func readEnvFile(name string) ([]string, error) {
	data, err := readBounded(name)
	if err != nil {
		return nil, err
	}
	var entries []string
	lines := bufio.NewScanner(bytes.NewReader(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))))
	lines.Buffer(nil, MaxSize+1)
	for number := 1; lines.Scan(); number++ {
		line := strings.TrimLeft(strings.TrimSuffix(lines.Text(), "\r"), " \t")
		if line == "" || line[0] == '#' {
			continue
		}
		name, _, _ := strings.Cut(line, "=")
		if name == "" || strings.ContainsAny(name, " \t") {
			return nil, fault.Usage("line %d: %q is no name of a variable", number, name)
		}
		entries = append(entries, line)
	}
	return entries, nil
}

// readBounded reads a file that the command line names.
func readBounded(name string) ([]byte, error) {
	file, err := os.Open(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fault.As(fault.ErrNotFound, err)
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, MaxSize+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if len(data) > MaxSize {
		return nil, fault.Refused("%s exceeds %d bytes", name, MaxSize)
	}
	return data, nil
}

// workDir writes process.cwd.
func (b *builder) workDir() error {
	dir, from := b.opt.WorkDir, byFlag("--workdir", "")
	if dir == "" {
		if b.profile == nil {
			return nil
		}
		dir, from = b.in.Image.WorkingDir, fromImage("config.WorkingDir", "working directory (image-spec conversion.md)")
		if dir == "" {
			from = &Origin{Source: "spec", Why: "the image names none"}
		}
	}
	cleaned := path.Clean("/" + dir)
	if err := b.checkWorkDir(cleaned); err != nil {
		return fmt.Errorf("working directory %q: %w", clip(dir), err)
	}
	b.doc.set(from, newString(cleaned), "process", "cwd")
	return nil
}

const (
	nameMax = 255
	pathMax = 4096
)

// checkWorkDir refuses a directory that cannot be entered, and one below
// /proc: a runtime that enters it after it has mounted proc may be led to a
// directory of the host through a descriptor it left open (CVE-2024-21626).
func (b *builder) checkWorkDir(dir string) error {
	if len(dir) >= pathMax {
		return fault.Refused("longer than %d bytes", pathMax-1)
	}
	for name := range strings.SplitSeq(dir, "/") {
		if len(name) > nameMax {
			return fault.Refused("a name in it is longer than %d bytes", nameMax)
		}
	}
	resolved := dir
	if b.in.Rootfs != nil {
		resolved = b.in.Rootfs.follow(dir)
	}
	for _, d := range []string{dir, resolved} {
		if d == "/proc" || strings.HasPrefix(d, "/proc/") {
			return fault.Hint(fault.Refused("it is %s, which lies in proc (CVE-2024-21626)", d), "choose another with oci-genspec --workdir, or oci-run --cwd")
		}
	}
	return nil
}

// clip shortens what is quoted in a message.
func clip(s string) string {
	const most = 80
	if len(s) > most {
		return s[:most] + "..."
	}
	return s
}

func (b *builder) terminal() error {
	if b.opt.Terminal != nil {
		b.doc.set(byFlag("--tty", ""), newBool(*b.opt.Terminal), "process", "terminal")
	}
	return nil
}
