package transport

import (
	"context"
	"fmt"
	"net"
	"strings"

	"go.podman.io/image/v5/types"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// reachDaemons connects to the Docker daemons of a copy. The library tells of
// one that is not there as of a pipe that was closed, or of a file that is not
// found.
func (j *job) reachDaemons(ctx context.Context, srcSys, dstSys *types.SystemContext) error {
	if j.src.transport == "docker-daemon" {
		if err := reachDaemon(ctx, srcSys.DockerDaemonHost, "--src-daemon-host"); err != nil {
			return err
		}
	}
	if j.dst.transport == "docker-daemon" {
		return reachDaemon(ctx, dstSys.DockerDaemonHost, "--dest-daemon-host")
	}
	return nil
}

// reachDaemon connects to the address, when it is one of a socket.
func reachDaemon(ctx context.Context, host, flag string) error {
	if host == "" {
		host = "unix:///var/run/docker.sock"
	}
	network, address, _ := strings.Cut(host, "://")
	if network != "unix" && network != "tcp" {
		return nil
	}
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return fault.Hint(fault.As(fault.ErrTemporary, fmt.Errorf("connect to Docker's daemon at %s: %w", host, err)),
			"start it, or name another by DOCKER_HOST or %s", flag)
	}
	return conn.Close()
}
