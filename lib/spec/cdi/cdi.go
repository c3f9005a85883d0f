// Package cdi reads the specification files of the container device interface,
// by the interface's own library. It stands apart from package spec, because
// what that library links costs a short process more than reading the files.
package cdi

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"tags.cncf.io/container-device-interface/pkg/cdi"
	specsgo "tags.cncf.io/container-device-interface/specs-go"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// Edits returns what the specification of the device, VENDOR/CLASS=NAME, adds
// to an empty config, and by the path in the container where its device nodes
// lie on the host: a config.json has no place for that. The directories are
// searched for specifications, the last one wins; nil is /etc/cdi and
// /var/run/cdi. The error is fault.ErrNotFound when no specification names the
// device.
func Edits(dirs []string, device string) (edited *specs.Spec, hostPaths map[string]string, err error) {
	if len(dirs) == 0 {
		dirs = cdi.DefaultSpecDirs
	}
	cache, err := cdi.NewCache(cdi.WithAutoRefresh(false), cdi.WithSpecDirs(dirs...))
	if err != nil {
		return nil, nil, fmt.Errorf("read the CDI specifications: %w", err)
	}
	edited = &specs.Spec{Process: &specs.Process{}, Linux: &specs.Linux{Resources: &specs.LinuxResources{}}}
	if _, err := cache.InjectDevices(edited, device); err != nil {
		err = errors.Join(err, unread(cache.GetErrors()))
		return nil, nil, fault.Hint(fault.As(fault.ErrNotFound, err), "the vendor's tool writes the specification of its devices to %s", strings.Join(dirs, " or "))
	}
	return edited, nodes(cache.GetDevice(device)), nil
}

// nodes maps the device nodes of the device, and of all in its specification,
// to their paths on the host.
func nodes(device *cdi.Device) map[string]string {
	paths := make(map[string]string)
	for _, edits := range []specsgo.ContainerEdits{device.GetSpec().ContainerEdits, device.ContainerEdits} {
		for _, n := range edits.DeviceNodes {
			paths[n.Path] = n.HostPath
		}
	}
	return paths
}

// unread are the files that could not be loaded: one of them may name the
// device.
func unread(files map[string][]error) error {
	var list []error
	for _, file := range slices.Sorted(maps.Keys(files)) {
		list = append(list, fmt.Errorf("%s: %w", file, errors.Join(files[file]...)))
	}
	return errors.Join(list...)
}
