package confine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
	"github.com/oci-plumbing/oci-plumbing/lib/idmap"
)

// mapOwners lets the child, in its user namespace, give files to the host's
// ids in the maps. An id has the same number inside and outside. What the
// kernel grants an ordinary user directly is its own id alone; for more the
// setuid programs of shadow ask /etc/subuid and /etc/subgid.
func (c *Child) mapOwners(ctx context.Context, pid int) error {
	if err := writeMap(ctx, "newuidmap", pid, os.Geteuid(), c.UIDs); err != nil {
		return err
	}
	return writeMap(ctx, "newgidmap", pid, os.Getegid(), c.GIDs)
}

func writeMap(ctx context.Context, program string, pid, own int, owners idmap.Map) error {
	args := []string{strconv.Itoa(pid)}
	hasOwn := false
	for _, r := range owners {
		args = append(args, number(r.Host), number(r.Host), number(r.Size))
		hasOwn = hasOwn || uint32(own) >= r.Host && uint32(own)-r.Host < r.Size
	}
	if !hasOwn {
		args = append(args, strconv.Itoa(own), strconv.Itoa(own), "1")
	}
	out, err := exec.CommandContext(ctx, program, args...).CombinedOutput()
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return fault.Hint(fmt.Errorf("map owners: %w", err), "install it with: apt-get install uidmap; or leave out the id maps")
	case err != nil:
		file := strings.Replace(strings.TrimSuffix(program, "map"), "new", "/etc/sub", 1)
		return fault.Hint(fmt.Errorf("map owners with %s %s: %s (%w)", program, strings.Join(args, " "), strings.TrimSpace(string(out)), err),
			"the host's ids of the maps must be your own and those that %s gives you", file)
	}
	return nil
}

func number(n uint32) string { return strconv.FormatUint(uint64(n), 10) }
