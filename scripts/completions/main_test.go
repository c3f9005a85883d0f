package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/oci-plumbing/oci-plumbing/lib/cli"
)

// sample is a tool whose help the real code prints.
func sample(t *testing.T) tool {
	t.Helper()
	command := &cli.Command{
		Name: "oci-unpack", Operands: "IMAGE [BUNDLE]", Summary: "Unpacks.",
		Examples: []cli.Example{{Line: "oci-unpack x", Why: "unpack x"}},
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "platform", Usage: "take the image for `PLATFORM`; it's that of the host [normally]: linux/amd64"},
			&cli.StringSliceFlag{Name: "bundle", Aliases: []string{"b"}, Usage: "a directory, `DIR`, with a description that is so long that it must go below its flag"},
			&cli.StringFlag{Name: "a-flag-with-a-very-long-name", Usage: "read `FILE`"},
			&cli.BoolFlag{Name: "no-mtree", Usage: "write no manifest"},
		},
	}
	var out bytes.Buffer
	if status := cli.Main(command, []string{"--help"}, cli.Stdio{Out: &out, Err: &out}); status != 0 {
		t.Fatalf("--help = %d: %s", status, out.Bytes())
	}
	parsed, err := parseHelp("oci-unpack", out.String())
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

// write renders the completion for a shell and returns its file.
func write(t *testing.T, shell string) string {
	t.Helper()
	if _, err := exec.LookPath(shell); err != nil {
		t.Skipf("%s is not installed: apt-get install %s", shell, shell)
	}
	path := filepath.Join(t.TempDir(), shell, shells[shell]("oci-unpack"))
	if err := render(sample(t), shell, path); err != nil {
		t.Fatal(err)
	}
	return path
}

// workdir is a directory with a layout "store", tags v1 and v2, and "other".
func workdir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	index := `{"manifests":[{"annotations":{"org.opencontainers.image.ref.name":"v1"}},` +
		`{"annotations":{"org.opencontainers.image.ref.name": "v2"}}]}`
	for _, d := range []string{"store", "other"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"store/index.json", "file"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(index), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestParseHelp(t *testing.T) {
	got := sample(t).Flags[:4]
	want := []flag{
		{Long: []string{"--platform"}, Value: "PLATFORM", Kind: valueKind("--platform", ""), Text: "take the image for PLATFORM"},
		{Short: []string{"-b"}, Long: []string{"--bundle"}, Value: "DIR", Kind: dirs, Text: "a directory, DIR, with a description that is so long that it must go below its flag"},
		{Long: []string{"--a-flag-with-a-very-long-name"}, Value: "FILE", Kind: files, Text: "read FILE"},
		{Long: []string{"--no-mtree"}, Text: "write no manifest"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("parseHelp (-want +got):\n%s", diff)
	}
}

func TestParseHelpWithoutFlags(t *testing.T) {
	if got, err := parseHelp("oci-x", "usage: oci-x\n"); err == nil {
		t.Errorf("parseHelp of a help without flags = %v, want an error", got)
	}
}

// completions that every shell must offer for the last word of a line.
var cases = []struct {
	name, line string
	want       []string
}{
	{"a flag", "oci-unpack --no-mt", []string{"--no-mtree"}},
	{"a common flag, behind an operand", "oci-unpack store:v1 --expl", []string{"--explain"}},
	{"a choice", "oci-unpack --log-format ", []string{"json", "text"}},
	{"a directory for a flag", "oci-unpack --bundle ot", []string{"other"}},
	{"a layout", "oci-unpack st", []string{"store:"}},
	{"tags", "oci-unpack store:", []string{"store:v1", "store:v2"}},
	{"tags behind the scheme", "oci-unpack oci:store:", []string{"oci:store:v1", "oci:store:v2"}},
}

func TestBash(t *testing.T) {
	file := write(t, "bash")
	for _, test := range cases {
		t.Run(test.name, func(t *testing.T) {
			// Words are what bash makes of the line: it splits at colons.
			script := `source "$1"; COMP_LINE=$2; COMP_POINT=${#COMP_LINE}; _oci_unpack; printf '%s\n' "${COMPREPLY[@]}"`
			run := exec.CommandContext(t.Context(), "bash", "-c", script, "bash", file, test.line)
			run.Dir = workdir(t)
			out, err := run.CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			// The part up to the last colon is on the line already.
			word := test.line[strings.LastIndexByte(test.line, ' ')+1:]
			on := word[:strings.LastIndexByte(word, ':')+1]
			var want []string
			for _, w := range test.want {
				want = append(want, strings.TrimPrefix(w, on))
			}
			check(t, test.line, strings.Fields(string(out)), want)
		})
	}
}

func TestFish(t *testing.T) {
	file := write(t, "fish")
	for _, test := range cases {
		t.Run(test.name, func(t *testing.T) {
			run := exec.CommandContext(t.Context(), "fish", "--no-config", "-c", `source $argv[1]; complete -C $argv[2]`, file, test.line)
			run.Dir = workdir(t)
			run.Env = append(os.Environ(), "HOME="+t.TempDir())
			out, err := run.CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			var got []string
			for line := range strings.Lines(string(out)) {
				word, _, _ := strings.Cut(strings.TrimSpace(line), "\t")
				got = append(got, strings.TrimSuffix(word, "/"))
			}
			check(t, test.line, got, test.want)
		})
	}
}

func check(t *testing.T, line string, got, want []string) {
	t.Helper()
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("completion of %q (-want +got):\n%s", line, diff)
	}
}

// TestZsh types into a shell on a terminal of its own: only there does its
// completion system run.
func TestZsh(t *testing.T) {
	file := write(t, "zsh")
	tests := []struct{ name, line, want string }{
		{"a flag", "oci-unpack --no-mt", "oci-unpack --no-mtree"},
		{"a flag behind an operand", "oci-unpack x --expl", "oci-unpack x --explain"},
		{"a choice", "oci-unpack --log-format js", "oci-unpack --log-format json"},
		{"a directory for a flag", "oci-unpack --bundle ot", "oci-unpack --bundle other"},
		{"a layout", "oci-unpack st", "oci-unpack store"},
		{"what the tags have in common", "oci-unpack oci:store:", "oci-unpack oci:store:v"},
	}
	// Ctrl-X prints the line as it is after Tab, and empties it.
	const script = `
zmodload zsh/zpty
zpty sh zsh -f -i
zpty -w sh 'PS1=; fpath=($fpath '${1:h}'); autoload -U compinit; compinit -u -D; zle -N show; show() { print -r -- "<<$BUFFER>>"; BUFFER= }; bindkey "^X" show; print ready-$((1+1))'
while zpty -r sh out; do [[ $out == *ready-2* ]] && break; done
for line in "${@:2}"; do
	zpty -w -n sh "$line"$'\t\x18'
	while zpty -r sh out; do [[ $out == *'<<'*'>>'* ]] && break; done
	print -r -- "${${out#*<<}%%>>*}"
done
zpty -d sh`
	args := []string{"-f", "-c", script, "zsh", file}
	for _, test := range tests {
		args = append(args, test.line)
	}
	run := exec.CommandContext(t.Context(), "zsh", args...)
	run.Dir = workdir(t)
	out, err := run.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	lines := strings.Split(string(out), "\n")
	if len(lines) < len(tests) {
		t.Fatalf("%d lines for %d tests: %q", len(lines), len(tests), out)
	}
	for i, test := range tests {
		if got := strings.TrimRight(lines[i], " /"); got != test.want {
			t.Errorf("%s: completion of %q = %q, want %q", test.name, test.line, got, test.want)
		}
	}
}
