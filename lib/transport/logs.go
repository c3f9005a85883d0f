package transport

import (
	"io"

	"github.com/sirupsen/logrus"
)

// Logs hands what the image library logs to warn, for warnings and worse, and
// to detail, for the rest. The library's logger is the process's one: call it
// once, before anything is copied.
func Logs(warn, detail func(format string, args ...any)) {
	logrus.SetOutput(io.Discard)
	logrus.SetLevel(logrus.InfoLevel)
	logrus.AddHook(&logHook{warn, detail})
}

type logHook struct {
	warn, detail func(format string, args ...any)
}

func (h *logHook) Levels() []logrus.Level { return logrus.AllLevels }

func (h *logHook) Fire(e *logrus.Entry) error {
	if e.Level <= logrus.WarnLevel {
		h.warn("%s", e.Message)
	} else {
		h.detail("%s", e.Message)
	}
	return nil
}
