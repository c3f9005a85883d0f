package run

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// Outcome is how a container ended.
type Outcome struct {
	// Code is the exit status of the program, when Signal is 0.
	Code int `json:"code"`
	// Signal is the number of the signal that killed the program.
	Signal int `json:"signal,omitempty"`
	// Unknown: the container is gone, and nobody saw how. Code is then
	// meaningless; it is never taken for 0.
	Unknown bool `json:"unknown,omitempty"`
	// OOM: the kernel killed a process of the container for lack of memory.
	OOM bool `json:"oom,omitempty"`
	// Finished is when the end was seen.
	Finished time.Time `json:"finished"`
}

// StatusUnknown is what Status says of an unknown end: the failure is the
// tool's, not the program's.
const StatusUnknown = 125

// Status is the exit status that tells the outcome as a shell would: the
// program's own, 128 plus the signal, or 125 when it is unknown.
func (o Outcome) Status() int {
	switch {
	case o.Unknown:
		return StatusUnknown
	case o.Signal != 0:
		return 128 + o.Signal
	default:
		return o.Code
	}
}

// String is the outcome for people.
func (o Outcome) String() string {
	text := fmt.Sprintf("exit status %d", o.Code)
	switch {
	case o.Unknown:
		text = "exit status unknown"
	case o.Signal != 0:
		text = "killed by " + signalName(unix.Signal(o.Signal))
	}
	if o.OOM {
		text += ", out of memory"
	}
	return text
}

// outcomeOf translates a wait status. runsc emulates the death by a signal of
// the program in its sandbox with a status of 128 and more, which is the
// status that Status gives anyway.
func outcomeOf(ws unix.WaitStatus) Outcome {
	o := Outcome{Finished: time.Now()}
	if ws.Signaled() {
		o.Signal = int(ws.Signal())
	} else {
		o.Code = ws.ExitStatus()
	}
	return o
}

func unknownOutcome() Outcome { return Outcome{Unknown: true, Finished: time.Now()} }
