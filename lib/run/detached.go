package run

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// openDetached opens the streams of a detached container: nothing to read, and
// its log to write to.
func (p *Plan) openDetached() (Streams, func(), error) {
	nothing, err := os.Open(os.DevNull)
	if err != nil {
		return Streams{}, nil, fmt.Errorf("open the container's input: %w", err)
	}
	s := Streams{Stdin: nothing, Handed: []*os.File{nothing}}
	for i := range p.PreserveFDs {
		s.Extra = append(s.Extra, os.NewFile(uintptr(extraFD+i), fmt.Sprintf("descriptor %d", 3+i)))
		unix.CloseOnExec(extraFD + i)
	}
	s.Handed = append(s.Handed, s.Extra...)
	switch {
	case p.Record.Terminal:
		return p.openTerminal(s)
	case p.Log.Format == LogRaw:
		log, err := p.Log.openRaw(p.Record.ID)
		if err != nil {
			return Streams{}, nil, err
		}
		s.Stdout, s.Stderr = log, log
		s.Handed = append(s.Handed, log)
		return s, func() {}, nil
	default:
		return p.openPipes(s)
	}
}

// openTerminal has what comes out of the container's terminal go to the log
// and to those who attach.
func (p *Plan) openTerminal(s Streams) (Streams, func(), error) {
	s.Stdin = nil
	s.Attach = true
	if p.Log.Format == LogRaw {
		log, err := p.Log.openRaw(p.Record.ID)
		if err != nil {
			return Streams{}, nil, err
		}
		s.Output = log
		return s, func() { _ = log.Close() }, nil
	}
	w, err := openLogWriter(p.Log)
	if err != nil {
		return Streams{}, nil, err
	}
	cutter := &lineCutter{emit: func(text []byte, partial bool) error { return w.line("stdout", text, partial) }}
	s.Output = cutter
	return s, func() {
		_ = cutter.flush()
		w.close()
	}, nil
}

// openPipes has the monitor write the log.
func (p *Plan) openPipes(s Streams) (Streams, func(), error) {
	w, err := openLogWriter(p.Log)
	if err != nil {
		return Streams{}, nil, err
	}
	finished := make(chan struct{}, 2)
	var ends [2]*os.File
	for i, stream := range []string{"stdout", "stderr"} {
		near, far, err := os.Pipe()
		if err != nil {
			return Streams{}, nil, fmt.Errorf("make a pipe: %w", err)
		}
		if err := p.Log.give(far); err != nil {
			return Streams{}, nil, errors.Join(err, near.Close(), far.Close())
		}
		ends[i] = far
		s.Handed = append(s.Handed, far)
		go func(in io.ReadCloser) {
			w.copy(stream, in)
			_ = in.Close()
			finished <- struct{}{}
		}(near)
	}
	s.Stdout, s.Stderr = ends[0], ends[1]
	return s, func() {
		// A process that has left the container may hold its end for ever.
		late := time.After(2 * time.Second)
		for range ends {
			select {
			case <-finished:
			case <-late:
			}
		}
		w.close()
	}, nil
}
