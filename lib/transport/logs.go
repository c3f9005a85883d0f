package transport

import (
	"io"
	"strings"

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

// noRuntimeDir ends the library's warning that the directory of
// $XDG_RUNTIME_DIR, one of several places where credentials are looked for,
// does not exist. It comes with pushes, too, and whether or not credentials
// were found elsewhere; when they are missing, the error says so.
const noRuntimeDir = "Trying to pull image in the event that it is a public image."

type logHook struct {
	warn, detail func(format string, args ...any)
}

func (h *logHook) Levels() []logrus.Level { return logrus.AllLevels }

func (h *logHook) Fire(e *logrus.Entry) error {
	if e.Level <= logrus.WarnLevel && !strings.HasSuffix(e.Message, noRuntimeDir) {
		h.warn("%s", e.Message)
	} else {
		h.detail("%s", e.Message)
	}
	return nil
}
