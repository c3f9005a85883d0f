package run

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// Monitor is the main function of the process that Detach starts. undo undoes
// a bundle, for --rm. An error has been reported to Detach where possible.
func Monitor(undo func(bundle string) error) error {
	// One thread of Go code is enough to wait, and saves memory.
	runtime.GOMAXPROCS(1)
	out := os.NewFile(reportFD, "report")
	unix.CloseOnExec(reportFD)
	plan, err := readPlan()
	if err != nil {
		return errors.Join(err, sendReport(out, failed(err)))
	}
	events := Events{
		Undo: undo,
		Started: func(pid int) error {
			// Nobody there to hear it: the container is unwanted.
			err := errors.Join(sendReport(out, report{Pid: pid}), out.Close())
			trim()
			return err
		},
	}
	if err := superviseAlone(plan, plan.openDetached, events); err != nil {
		return errors.Join(err, sendReport(out, failed(err)))
	}
	return nil
}

// superviseAlone is Supervise for a process whose stderr nobody sees: the trace
// of a panic would be lost, and the caller be told of a death without a cause.
func superviseAlone(plan Plan, open Opener, events Events) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the monitor failed: %v", p)
		}
	}()
	_, err = Supervise(plan, open, events)
	return err
}

func failed(err error) report {
	r := report{Error: err.Error(), Hints: fault.Hints(err), Status: StatusFailed, Text: RuntimeText(err), Taken: errors.Is(err, ErrTaken)}
	var status *fault.Status
	if errors.As(err, &status) {
		r.Status = status.Code
	}
	return r
}

func sendReport(out *os.File, r report) error {
	data, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encode the report: %w", err)
	}
	if _, err := out.Write(append(data, '\n')); err != nil {
		return fmt.Errorf("report to the caller: %w", err)
	}
	return nil
}
