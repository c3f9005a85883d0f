package cli

import (
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// durations rewrites the values of flags that take a duration. The library
// knows Go's form alone, 90s or 1m30s; a plain number is one of seconds, as it
// is for docker, podman and timeout(1). No flag means anything by less than 0.
func durations(given []string, flags []Flag) ([]string, error) {
	timed := make(map[string]bool)
	for _, f := range flags {
		if d, ok := f.(*cli.DurationFlag); ok {
			timed[d.Name] = true
		}
	}
	out := make([]string, len(given))
	for i, w := range given {
		out[i] = w
		name, value, _ := strings.Cut(strings.TrimPrefix(w, "--"), "=")
		if !timed[name] {
			continue
		}
		d, err := parseDuration(value)
		if err != nil {
			return nil, fault.Usage("--%s %q is neither a number of seconds nor a duration such as 1m30s", name, value)
		}
		if d < 0 {
			return nil, fault.Usage("--%s %s is negative", name, value)
		}
		out[i] = "--" + name + "=" + d.String()
	}
	return out, nil
}

func parseDuration(value string) (time.Duration, error) {
	if value != "" && strings.Trim(value, "-+.0123456789") == "" {
		value += "s"
	}
	return time.ParseDuration(value)
}
