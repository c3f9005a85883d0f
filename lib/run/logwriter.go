package run

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// maxLogLine is where a line is cut into parts, as the container runtime
// interface has it.
const maxLogLine = 16 << 10

// logWriter writes the lines of a container with their time, and keeps the
// file below a size: FILE is renamed to FILE.1, that to FILE.2, and so on.
type logWriter struct {
	mu   sync.Mutex
	plan LogPlan
	file *os.File
	size int64
	now  func() time.Time
	// entry is the buffer of format.
	entry []byte
}

func openLogWriter(plan LogPlan) (*logWriter, error) {
	w := &logWriter{plan: plan, now: time.Now}
	return w, w.open()
}

func (w *logWriter) open() error {
	f, _, err := openLog(w.plan.Target)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return errors.Join(fmt.Errorf("open the container's log: %w", err), f.Close())
	}
	w.file, w.size = f, info.Size()
	if !info.Mode().IsRegular() {
		w.plan.MaxSize = 0 // a device is not to be renamed
	}
	return nil
}

// line writes one line of a stream; partial says that more of it follows.
func (w *logWriter) line(stream string, text []byte, partial bool) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	entry := w.format(stream, text, partial)
	if w.plan.MaxSize > 0 && w.size > 0 && w.size+int64(len(entry)) > w.plan.MaxSize {
		if err := w.rotate(); err != nil {
			return err
		}
	}
	n, err := w.file.Write(entry)
	w.size += int64(n)
	if err != nil {
		return fmt.Errorf("write the container's log: %w", err)
	}
	return nil
}

// format makes the entry of a line, in the buffer of the last one: a monitor
// that made garbage with every line would not stay small.
func (w *logWriter) format(stream string, text []byte, partial bool) []byte {
	entry, when := w.entry[:0], w.now().UTC()
	if w.plan.Format == LogCRI {
		tag := " F "
		if partial {
			tag = " P "
		}
		entry = append(when.AppendFormat(entry, time.RFC3339Nano), ' ')
		entry = append(append(entry, stream...), tag...)
		entry = append(append(entry, text...), '\n')
	} else {
		entry = appendEscaped(append(entry, `{"log":"`...), text)
		if !partial {
			entry = append(entry, `\n`...)
		}
		entry = append(append(append(entry, `","stream":"`...), stream...), `","time":"`...)
		entry = append(when.AppendFormat(entry, time.RFC3339Nano), "\"}\n"...)
	}
	w.entry = entry
	return entry
}

func (w *logWriter) rotate() error {
	numbered := rotation{path: w.plan.Target}.name
	if w.plan.MaxFiles < 2 {
		if err := os.Remove(w.plan.Target); err != nil {
			return fmt.Errorf("rotate the log: %w", err)
		}
	}
	for n := w.plan.MaxFiles - 2; n >= 0; n-- {
		err := os.Rename(numbered(n), numbered(n+1))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("rotate the log: %w", err)
		}
	}
	if err := w.file.Close(); err != nil {
		return fmt.Errorf("rotate the log: %w", err)
	}
	return w.open()
}

// copy writes what comes from a stream as lines, to its end. Once the log
// cannot be written the rest is read and dropped, so that the program does not
// stall for its log's sake.
func (w *logWriter) copy(stream string, in io.Reader) {
	c := &lineCutter{emit: func(text []byte, partial bool) error { return w.line(stream, text, partial) }}
	buf := make([]byte, maxLogLine)
	for {
		n, err := in.Read(buf)
		if _, werr := c.Write(buf[:n]); werr != nil {
			_, _ = io.Copy(io.Discard, in)
			return
		}
		if err != nil {
			_ = c.flush()
			return
		}
	}
}

// lineCutter is a writer that cuts what is written into lines.
type lineCutter struct {
	emit func(text []byte, partial bool) error
	rest []byte
}

func (c *lineCutter) Write(p []byte) (int, error) {
	written := len(p)
	for len(p) > 0 {
		end := bytes.IndexByte(p, '\n')
		part, whole := p, end >= 0
		if whole {
			part = p[:end]
		}
		if room := maxLogLine - len(c.rest); len(part) > room {
			part, whole = part[:room], false
		}
		c.rest = append(c.rest, part...)
		p = p[len(part):]
		switch {
		case whole:
			p = p[1:]
		case len(c.rest) < maxLogLine:
			continue
		}
		err := c.emit(c.rest, !whole)
		c.rest = c.rest[:0]
		if err != nil {
			return 0, err
		}
	}
	return written, nil
}

// flush writes a last line that has no end.
func (c *lineCutter) flush() error {
	if len(c.rest) == 0 {
		return nil
	}
	err := c.emit(c.rest, true)
	c.rest = nil
	return err
}

func (w *logWriter) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	_ = w.file.Close()
}
