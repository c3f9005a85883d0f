package run

import (
	"fmt"
	"path/filepath"

	rspec "github.com/opencontainers/runtime-spec/specs-go"
)

// AddNotify gives the program a notify socket that this process listens on.
func (c *Config) AddNotify(s *Store, id string) error {
	if err := c.SetEnv("NOTIFY_SOCKET=" + notifySocket); err != nil {
		return err
	}
	return c.AddMount(rspec.Mount{
		Destination: notifyMount, Type: "bind", Source: filepath.Join(s.Dir(id), notifyDir),
		Options: []string{"bind", "nosuid", "nodev", "noexec"},
	})
}

// AddListen tells the program, which is pid 1, of the sockets that it gets
// from descriptor 3 on (sd_listen_fds(3)).
func (c *Config) AddListen(n int, names string) error {
	vars := []string{fmt.Sprintf("LISTEN_FDS=%d", n), "LISTEN_PID=1"}
	if names != "" {
		vars = append(vars, "LISTEN_FDNAMES="+names)
	}
	return c.SetEnv(vars...)
}

// AddInit puts the program at exe, this tool, before the command as Init.
func (c *Config) AddInit(exe string) error {
	if err := c.AddMount(rspec.Mount{
		Destination: initPath, Type: "bind", Source: exe, Options: []string{"bind", "ro", "nosuid", "nodev"},
	}); err != nil {
		return err
	}
	return c.SetArgs(append([]string{initPath, InitWord, "--"}, c.Spec.Process.Args...))
}
