package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// withJournal runs a container whose output goes to a journal of its own: the
// real systemd-journald, in a mount namespace, with its directories on tmpfs.
// It gets the journald, the tool, the bundle and the ID.
const withJournal = `
set -eu
mkdir -p /run/systemd /run/log
mount -t tmpfs tmpfs /run/systemd
mount -t tmpfs tmpfs /run/log
mkdir -p /run/systemd/journal /run/log/journal
"$1" >&2 & journald=$!
trap 'kill $journald; wait $journald || :' EXIT
until [ -S /run/systemd/journal/stdout ]; do
	kill -0 $journald # or end here
	sleep 0.05
done

"$2" -q -d -b "$3" --container-log journald "$4" -- sh -c 'echo to stdout; echo to stderr >&2; exit 3' >&2
status=0
"$2" --wait "$4" || status=$?
echo "status $status"
"$2" --logs "$4" || :
"$2" --delete "$4"
# The journal takes what was written to its socket in its own time.
for i in 1 2 3 4 5 6 7 8 9 10; do
	lines=$(journalctl -D /run/log/journal -o cat --no-pager "SYSLOG_IDENTIFIER=$4" 2>/dev/null || :)
	case $lines in *stdout*stderr*) break ;; esac
	sleep 0.2
done
echo "$lines"
`

// TestJournal: the output of a detached container is in the journal under the
// ID, and --logs tells how to read it there.
func TestJournal(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("not root: cannot start a journal of its own")
	}
	const journald = "/lib/systemd/systemd-journald"
	if _, err := os.Stat(journald); err != nil {
		t.Skipf("no systemd-journald here (%v); install it with: apt-get install systemd", err)
	}
	id := fmt.Sprintf("journal%d", os.Getpid())
	defer sweep(t, id)
	cmd := exec.Command("unshare", "--mount", "--propagation", "private", "sh", "-c", withJournal, "sh", journald, binary(t), testBundle(t), id)
	cmd.Env = append(os.Environ(), "OCI_RUNTIME="+runtimes(t)[0].path)
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s%s", err, out, errs.String())
	}
	if got, want := string(out), "status 3\nto stdout\nto stderr\n"; got != want {
		t.Errorf("printed\n%s\nwant\n%s\nstderr: %s", got, want, errs.String())
	}
	if want := "journalctl SYSLOG_IDENTIFIER=" + id; !strings.Contains(errs.String(), want) {
		t.Errorf("--logs does not tell to type %q: %s", want, errs.String())
	}
	if _, err := os.Stat(filepath.Join("/run/oci-plumbing/containers", id)); err == nil {
		t.Error("the container is not forgotten")
	}
}
