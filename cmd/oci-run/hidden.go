package main

import (
	"os"

	"github.com/oci-plumbing/oci-plumbing/lib/run"
	"github.com/oci-plumbing/oci-plumbing/lib/startup"
)

// hidden runs this program as one of the processes that it starts for itself,
// and tells whether it was meant to. The monitor and the janitor have no
// stderr: their errors were reported another way, or cannot be. So they must be
// this program's own, who has marked them.
func hidden(args []string) (code int, done bool) {
	if len(args) > 3 && args[1] == run.InitWord {
		code, err := run.Init(args[3:])
		if err != nil {
			_, _ = os.Stderr.WriteString(name + ": error: " + err.Error() + "\n")
		}
		return code, true
	}
	if _, ours := os.LookupEnv(startup.Lean); !ours || len(args) != 2 {
		return 0, false
	}
	var err error
	switch args[1] {
	case run.MonitorWord:
		err = run.Monitor(undo)
	case run.JanitorWord:
		err = run.Janitor(undo)
	default:
		return 0, false
	}
	if err != nil {
		return run.StatusFailed, true
	}
	return 0, true
}
