package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
	"github.com/oci-plumbing/oci-plumbing/lib/pipe"
)

// outcome is what a command saw and printed.
type outcome struct {
	status   int
	out, err string
}

// run runs a command whose flags resemble those of the binaries.
func run(t *testing.T, do func(context.Context, *Invocation) error, stdin string, words ...string) outcome {
	t.Helper()
	return runCommand(t, &Command{
		Name: "oci-x", Operands: "[THING]", Summary: "Does a thing.", MaxOperands: 2, TrailingCommand: true,
		Examples: []Example{{"oci-x a", "one"}, {"oci-x b", "two"}, {"oci-x c", "three"}},
		Flags: []Flag{
			&BoolFlag{Name: "detach", Aliases: []string{"d"}}, &BoolFlag{Name: "tty", Aliases: []string{"t"}},
			&StringFlag{Name: "bundle", Aliases: []string{"b"}, Usage: "the `DIR`"}, &StringSliceFlag{Name: "env", Aliases: []string{"e"}},
			&IntFlag{Name: "num"}, &DurationFlag{Name: "time", Aliases: []string{"w"}, Value: 10 * time.Second},
		},
		Run: do,
	}, stdin, words...)
}

func runCommand(t *testing.T, c *Command, stdin string, words ...string) outcome {
	t.Helper()
	path := filepath.Join(t.TempDir(), "stdin")
	if err := os.WriteFile(path, []byte(stdin), 0o600); err != nil {
		t.Fatal(err)
	}
	in, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	var stdout, stderr bytes.Buffer
	status := Main(c, words, Stdio{In: in, Out: &stdout, Err: &stderr})
	return outcome{status, stdout.String(), stderr.String()}
}

func TestArgumentsInAnyOrder(t *testing.T) {
	for _, tc := range []struct{ words, want string }{
		{"test --detach", "d=true t=false b= e=[] n=0 [test] <nil>"},
		{"--detach test", "d=true t=false b= e=[] n=0 [test] <nil>"},
		{"test -dt -b x y", "d=true t=true b=x e=[] n=0 [test y] <nil>"},
		{"-dtb x", "d=true t=true b=x e=[] n=0 [] <nil>"},
		{"-bx", "d=false t=false b=x e=[] n=0 [] <nil>"},
		{"-b - -", "d=false t=false b=- e=[] n=0 [-] <nil>"},
		{"--bundle=x=y", "d=false t=false b=x=y e=[] n=0 [] <nil>"},
		{"-detach", "d=true t=false b= e=[] n=0 [] <nil>"},
		{"--num -1", "d=false t=false b= e=[] n=-1 [] <nil>"},
		{"-e A=1,B=2 -e C", "d=false t=false b= e=[A=1,B=2 C] n=0 [] <nil>"},
		{"a -- b -d --env", "d=false t=false b= e=[] n=0 [a] [b -d --env]"},
		{"--", "d=false t=false b= e=[] n=0 [] []"},
		{"h", "d=false t=false b= e=[] n=0 [h] <nil>"},
		{"help", "d=false t=false b= e=[] n=0 [help] <nil>"},
		{"-b --detach", "d=false t=false b=--detach e=[] n=0 [] <nil>"},
	} {
		var got string
		o := run(t, func(_ context.Context, inv *Invocation) error {
			trailing := "<nil>"
			if inv.Trailing != nil {
				trailing = fmt.Sprint(inv.Trailing)
			}
			got = fmt.Sprintf("d=%v t=%v b=%v e=%v n=%v %v %v", inv.Bool("detach"), inv.Bool("tty"), inv.String("bundle"),
				inv.StringSlice("env"), inv.Int("num"), inv.Operands, trailing)
			return nil
		}, "", strings.Fields(tc.words)...)
		if got != tc.want || o.status != 0 {
			t.Errorf("oci-x %s: status %d\n got %s\nwant %s\n%s", tc.words, o.status, got, tc.want, o.err)
		}
	}
}

func TestDurations(t *testing.T) {
	for words, want := range map[string]time.Duration{
		"": 10 * time.Second, "--time 1": time.Second, "--time=0": 0, "-w 1.5": 1500 * time.Millisecond, "--time 1m30s": 90 * time.Second, "-w20ms": 20 * time.Millisecond,
	} {
		var got time.Duration
		o := run(t, func(_ context.Context, inv *Invocation) error { got = inv.Duration("time"); return nil }, "", strings.Fields(words)...)
		if got != want || o.status != 0 {
			t.Errorf("oci-x %s: %s, status %d, want %s\n%s", words, got, o.status, want, o.err)
		}
	}
	for words, want := range map[string]string{
		"--time soon": `--time "soon" is neither a number of seconds nor`, "-w=": "is neither", "-w -1": "--time -1 is negative", "--time -1s": "--time -1s is negative", "--time 1d": "is neither",
	} {
		o := run(t, func(context.Context, *Invocation) error { t.Errorf("oci-x %s ran", words); return nil }, "", strings.Fields(words)...)
		if o.status != 2 || !strings.Contains(o.err, want) {
			t.Errorf("oci-x %s: status %d, %q, want %q", words, o.status, o.err, want)
		}
	}
}

func TestUsageErrorsKeepOffStdout(t *testing.T) {
	for _, words := range []string{
		"--nope", "-z", "-dz", "---detach", "--bundle", "-b", "-b -- x", "a b c", "--num x", "--detach=maybe",
		"--log-format xml", "--color blue", "-n -x",
	} {
		o := run(t, func(context.Context, *Invocation) error { t.Errorf("oci-x %s ran", words); return nil }, "", strings.Fields(words)...)
		if o.status != 2 || o.out != "" || !strings.HasPrefix(o.err, "oci-x: error: ") || strings.Contains(o.err, "Incorrect") {
			t.Errorf("oci-x %s: status %d, stdout %q, stderr %q", words, o.status, o.out, o.err)
		}
	}
	if o := run(t, nil, "", "--bundel", "x"); !strings.Contains(o.err, "did you mean --bundle?") {
		t.Errorf("no suggestion: %q", o.err)
	}
}

func TestEmptyOperands(t *testing.T) {
	for _, tc := range []struct {
		words []string
		want  string
	}{
		{[]string{""}, `operand 1 is ""`},
		{[]string{"a", "-d", ""}, `operand 2 is ""`},
		{[]string{"", "--", "prog"}, `operand 1 is ""`},
	} {
		o := run(t, func(context.Context, *Invocation) error { t.Errorf("oci-x %q ran", tc.words); return nil }, "record\n", tc.words...)
		if o.status != 2 || o.out != "" || !strings.Contains(o.err, tc.want) {
			t.Errorf("oci-x %q: status %d, stderr %q", tc.words, o.status, o.err)
		}
	}
	// What stands behind "--" is the program's.
	if o := run(t, func(context.Context, *Invocation) error { return nil }, "", "a", "--", "prog", ""); o.status != 0 {
		t.Errorf("an empty word for the program: status %d, %s", o.status, o.err)
	}
}

func TestStatusTable(t *testing.T) {
	for _, tc := range []struct {
		err  error
		want int
		line string
	}{
		{nil, 0, ""},
		{errors.New("boom"), 1, "oci-x: error: boom\n"},
		{fault.Usage("u"), 2, "oci-x: error: u\noci-x: hint: try 'oci-x --help'\n"},
		{fault.NotFound("n"), 3, "oci-x: error: n\n"},
		{fault.Temporary("t"), 4, "oci-x: error: t\n"},
		{fmt.Errorf("ctx: %w", fault.Refused("r")), 5, "oci-x: error: ctx: r\n"},
		{fault.Exit(42), 42, ""},
		{fault.WithStatus(127, errors.New("gone")), 127, "oci-x: error: gone\n"},
		{fault.Hint(errors.New("e"), "pipe | {tool}"), 1, "oci-x: error: e\noci-x: hint: pipe | oci-x\n"},
		{errors.New("a\x1b[31m\nb"), 1, "oci-x: error: a\\x1b[31m; b\n"},
	} {
		o := run(t, func(context.Context, *Invocation) error { return tc.err }, "")
		if o.status != tc.want || o.err != tc.line || o.out != "" {
			t.Errorf("%v: status %d, stderr %q, want %d, %q", tc.err, o.status, o.err, tc.want, tc.line)
		}
	}
	own := &Command{Name: "oci-run", OwnFailure: 125, Run: func(context.Context, *Invocation) error { return fault.NotFound("x") }}
	if o := runCommand(t, own, ""); o.status != 125 {
		t.Errorf("a failure of oci-run has status %d, want 125", o.status)
	}
}

func TestHelpAndVersionGoToStdout(t *testing.T) {
	o := run(t, nil, "", "--help")
	for _, want := range []string{"usage: oci-x [FLAG...] [THING]", "-b, --bundle DIR", "oci-x c\n", "exit status: 0 done", "-0, --null", "oci-x(1)"} {
		if !strings.Contains(o.out, want) {
			t.Errorf("--help lacks %q:\n%s", want, o.out)
		}
	}
	if o.status != 0 || o.err != "" {
		t.Errorf("--help: status %d, stderr %q", o.status, o.err)
	}
	if o := run(t, nil, "", "--version"); o.status != 0 || !strings.HasPrefix(o.out, "oci-x ") || !strings.Contains(o.out, "image-spec 1.1.") {
		t.Errorf("--version: %+v", o)
	}
}

func TestEachInput(t *testing.T) {
	for _, tc := range []struct {
		name, stdin string
		words       []string
		want        []string
		status      int
	}{
		{"operand", "/ignored\n", []string{"/a"}, []string{"/a"}, 0},
		{"records", "/a\n{\"path\":\"/b\"}\n", nil, []string{"/a", "/b"}, 0},
		{"dash", "/a\n", []string{"-"}, []string{"/a"}, 0},
		{"null", "/a\nb\x00", []string{"-0"}, []string{"/a\nb"}, 0},
		{"nothing", "", nil, nil, 1},
		{"cut off", "/a\n/b", nil, []string{"/a"}, 1},
	} {
		var got []string
		o := run(t, func(_ context.Context, inv *Invocation) error {
			return inv.EachInput(inv.Operand(0), func(r pipe.Record) error { got = append(got, r.Name()); return nil })
		}, tc.stdin, tc.words...)
		if diff := cmp.Diff(tc.want, got); diff != "" || o.status != tc.status {
			t.Errorf("%s: status %d, %s (-want +got):\n%s", tc.name, o.status, o.err, diff)
		}
	}
}

func TestVerbosityAndFormat(t *testing.T) {
	say := func(_ context.Context, inv *Invocation) error {
		inv.Log.Note("note")
		inv.Log.Detail("detail")
		if inv.Log.Verbose(2) {
			inv.Log.Note("very")
		}
		return nil
	}
	for words, want := range map[string]string{
		"":                            "oci-x: note: note\n",
		"-q":                          "",
		"-v":                          "oci-x: note: note\noci-x: note: detail\n",
		"-vv":                         "oci-x: note: note\noci-x: note: detail\noci-x: note: very\n",
		"-v -v":                       "oci-x: note: note\noci-x: note: detail\noci-x: note: very\n",
		"--log-format json":           `{"level":"note","msg":"note","tool":"oci-x"}` + "\n",
		"--log-format=json --verbose": `{"level":"note","msg":"note","tool":"oci-x"}` + "\n" + `{"level":"note","msg":"detail","tool":"oci-x"}` + "\n",
	} {
		if o := run(t, say, "", strings.Fields(words)...); o.err != want {
			t.Errorf("oci-x %s prints %q, want %q", words, o.err, want)
		}
	}
}

// A program that reads them finds a list in each error.
func TestErrorsAsJSON(t *testing.T) {
	for want, err := range map[string]error{
		`{"hints":[],"level":"error","msg":"boom","status":1,"tool":"oci-x"}`:            errors.New("boom"),
		`{"hints":["try oci-x"],"level":"error","msg":"boom","status":1,"tool":"oci-x"}`: fault.Hint(errors.New("boom"), "try {tool}"),
	} {
		o := run(t, func(context.Context, *Invocation) error { return err }, "", "--log-format", "json")
		if o.err != want+"\n" {
			t.Errorf("%v is printed as %s, want %s", err, o.err, want)
		}
	}
}

func TestASignalCancels(t *testing.T) {
	o := run(t, func(ctx context.Context, _ *Invocation) error {
		if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(10 * time.Second):
			return errors.New("the context was not cancelled")
		}
	}, "")
	if o.status != 128+15 || !strings.Contains(o.err, "stopped by signal: terminated") {
		t.Errorf("status %d, stderr %q", o.status, o.err)
	}
}

// Also while a record is waited for that does not come.
func TestASignalEndsTheWaitForARecord(t *testing.T) {
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	wait := time.AfterFunc(10*time.Second, func() { _ = out.Close() })
	defer wait.Stop()
	var stderr bytes.Buffer
	status := Main(&Command{Name: "oci-x", Run: func(_ context.Context, inv *Invocation) error {
		if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil {
			return err
		}
		return inv.EachInput("", func(pipe.Record) error { return nil })
	}}, nil, Stdio{In: in, Out: io.Discard, Err: &stderr})
	if status != 128+15 || !strings.Contains(stderr.String(), "stopped by signal: terminated") {
		t.Errorf("status %d, stderr %q", status, stderr.String())
	}
}

func FuzzPermute(f *testing.F) {
	f.Add("test --detach -b x -- y")
	f.Add("-dtb x a -")
	flags := []Flag{&BoolFlag{Name: "detach", Aliases: []string{"d"}}, &BoolFlag{Name: "tty", Aliases: []string{"t"}}, &StringFlag{Name: "bundle", Aliases: []string{"b"}}}
	f.Fuzz(func(t *testing.T, line string) {
		once, err := permute(strings.Split(line, " "), flags)
		if err != nil {
			if !errors.Is(err, fault.ErrUsage) {
				t.Fatalf("permute(%q) = %v, which is no usage error", line, err)
			}
			return
		}
		for _, o := range once.operands {
			if len(o) > 1 && o[0] == '-' {
				t.Fatalf("permute(%q) takes the flag %q for an operand", line, o)
			}
		}
		words := append(append([]string{}, once.operands...), once.flags...)
		if once.trailing != nil {
			words = append(append(words, "--"), once.trailing...)
		}
		twice, err := permute(words, flags)
		if diff := cmp.Diff(once, twice, cmp.AllowUnexported(arguments{})); err != nil || diff != "" {
			t.Fatalf("permute(%q) is not stable: %v\n%s", line, err, diff)
		}
	})
}

// writes notes each write by itself.
type writes []string

func (w *writes) Write(p []byte) (int, error) {
	*w = append(*w, string(p))
	return len(p), nil
}

// What is written in two goes may be torn apart by another stage's lines.
func TestFailureIsOneWrite(t *testing.T) {
	err := errors.Join(fault.Hint(errors.New("a"), "do b"), fault.Hint(errors.New("c"), "do d"))
	for _, words := range [][]string{nil, {"--log-format", "json"}} {
		var stderr writes
		c := &Command{Name: "oci-x", Run: func(context.Context, *Invocation) error { return err }}
		Main(c, words, Stdio{In: os.Stdin, Out: io.Discard, Err: &stderr})
		if len(stderr) != 1 || !strings.Contains(stderr[0], "do b") || !strings.Contains(stderr[0], "do d") {
			t.Errorf("with %q: wrote %q", words, stderr)
		}
	}
}
