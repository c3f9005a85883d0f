package run

import (
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// The real-time signals as a C library numbers them: 32 and 33 are its own.
const (
	sigRTMin = 34
	sigRTMax = 64
)

// ParseSignal reads a signal in every form that the STOPSIGNAL of an image
// has: SIGTERM, TERM, term, 15, SIGRTMIN+3, RTMAX-1.
func ParseSignal(word string) (unix.Signal, error) {
	bad := fault.Usage("signal %q is neither a name (TERM, SIGRTMIN+3) nor a number from 1 to %d", word, sigRTMax)
	if n, err := strconv.Atoi(word); err == nil {
		if n < 1 || n > sigRTMax {
			return 0, bad
		}
		return unix.Signal(n), nil
	}
	name := strings.ToUpper(word)
	if !strings.HasPrefix(name, "SIG") {
		name = "SIG" + name
	}
	if n := unix.SignalNum(name); n != 0 {
		return n, nil
	}
	for base, number := range map[string]int{"SIGRTMIN": sigRTMin, "SIGRTMAX": sigRTMax} {
		offset, ok := strings.CutPrefix(name, base)
		if !ok {
			continue
		}
		n := 0
		if offset != "" {
			var err error
			if n, err = strconv.Atoi(offset); err != nil {
				return 0, bad
			}
		}
		if number += n; number >= sigRTMin && number <= sigRTMax {
			return unix.Signal(number), nil
		}
	}
	return 0, bad
}

func signalName(s unix.Signal) string {
	if name := unix.SignalName(s); name != "" {
		return name
	}
	if s >= sigRTMin && s <= sigRTMax {
		return "SIGRTMIN+" + strconv.Itoa(int(s)-sigRTMin)
	}
	return "signal " + strconv.Itoa(int(s))
}
