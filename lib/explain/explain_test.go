package explain

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestQuoteSurvivesTheShell(t *testing.T) {
	for _, w := range []string{"", "plain", "a b", "it's", `"`, "$HOME", "`id`", "a\nb", "*", "~", "#x", "-n", "\\", "é", "a;b"} {
		out, err := exec.Command("sh", "-c", "printf %s "+Quote(w)).Output()
		if err != nil || string(out) != w {
			t.Errorf("sh reads Quote(%q) = %s as %q, %v", w, Quote(w), out, err)
		}
	}
}

func TestScriptRuns(t *testing.T) {
	var b bytes.Buffer
	p := NewPrinter(&b, Script)
	for _, s := range []Step{
		{Action: "say hello\nrm -rf /", Command: "printf hello", Why: "a newline in a reason must\nnot leave its comment", Ref: "sh(1)"},
		{Action: "do nothing a shell need do"},
		{Action: "say more", Command: "printf ' '\nprintf world"},
	} {
		if err := p.Step(s); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("sh")
	cmd.Stdin = &b
	out, err := cmd.CombinedOutput()
	if err != nil || string(out) != "hello world" {
		t.Errorf("the script prints %q, %v", out, err)
	}
}

func TestTrace(t *testing.T) {
	var b bytes.Buffer
	if err := NewPrinter(&b, Trace).Step(Step{Action: "mount", Command: "mount a\nmount b", Why: "since", Ref: "mount(2)"}); err != nil {
		t.Fatal(err)
	}
	if want := "+ mount a\n+ mount b\n  # since (mount(2))\n"; b.String() != want {
		t.Errorf("trace is %q, want %q", b.String(), want)
	}
}

func TestThePauseStopsTheTool(t *testing.T) {
	stop := errors.New("stop")
	var b bytes.Buffer
	p := NewPrinter(&b, Trace)
	p.Pause(func(Step) error { return stop })
	if err := p.Step(Step{Action: "a"}); !errors.Is(err, stop) {
		t.Errorf("first step: %v", err)
	}
	if err := p.Step(Step{Action: "b"}); !errors.Is(err, stop) || strings.Contains(b.String(), ": b") {
		t.Errorf("after the stop: %v, printed %q", err, b.String())
	}
	var none *Printer
	if err := none.Step(Step{Action: "a"}); err != nil || none.Enabled() {
		t.Error("the nil printer is not silent")
	}
}

func TestTimeIsReadByTouch(t *testing.T) {
	file := filepath.Join(t.TempDir(), "f")
	for _, want := range []time.Time{time.Unix(5, 0), time.Unix(-5, 0), time.Unix(7, 1), time.Unix(-2, 700_000_000), time.Unix(-1, 5)} {
		if out, err := exec.Command("touch", "-d", "@"+Time(want), file).CombinedOutput(); err != nil {
			t.Fatalf("touch: %v: %s", err, out)
		}
		info, err := os.Stat(file)
		if err != nil || !info.ModTime().Equal(want) {
			t.Errorf("touch reads %s as %v, %v, want %v", Time(want), info.ModTime(), err, want)
		}
	}
}
