package main

import (
	"os"
	"strings"

	"github.com/oci-plumbing/oci-plumbing/lib/cli"
	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// engineFlag is a flag of podman and docker that no config.json has a place
// for, with what does its work.
type engineFlag struct {
	names string
	bool  bool
	cure  string
}

const (
	netavark    = "ip netns add lab, set it up with netavark or cnitool, and give --network ns:/run/netns/lab"
	resolvConf  = "write a file, and give --volume FILE:/etc/resolv.conf:ro"
	hostsFile   = "write a file, and give --volume FILE:/etc/hosts:ro"
	runFlag     = "it is a flag of oci-run"
	engineOnly  = "an engine watches containers (podman, or a systemd unit around oci-run)"
	useBind     = "give a directory with --volume DIR:/PATH"
	transported = "oci-copy fetches the image"
)

var engineList = []engineFlag{
	{"publish p", false, netavark + "; or pasta between oci-run's create and start"},
	{"publish-all P", true, netavark},
	{"expose", false, "it opens nothing, not even in an engine"},
	{"ip", false, netavark},
	{"ip6", false, netavark},
	{"mac-address", false, netavark},
	{"network-alias", false, netavark},
	{"dns", false, resolvConf},
	{"dns-search", false, resolvConf},
	{"dns-option", false, resolvConf},
	{"add-host", false, hostsFile},
	{"name", false, "the ID is the operand of oci-run"},
	{"detach d", true, runFlag + ": oci-run --detach"},
	{"rm", true, runFlag + ": oci-run --rm"},
	{"replace", true, runFlag},
	{"restart", false, engineOnly},
	{"health-cmd", false, engineOnly},
	{"health-interval", false, engineOnly},
	{"health-retries", false, engineOnly},
	{"health-timeout", false, engineOnly},
	{"no-healthcheck", true, "nothing checks the health here anyway"},
	{"log-driver", false, runFlag + ": oci-run --log"},
	{"log-opt", false, runFlag},
	{"pull", false, transported},
	{"cidfile", false, "redirect the output of oci-run --detach"},
	{"pidfile", false, runFlag},
	{"pod", false, "join the namespaces of another container: --network ns:/proc/PID/ns/net --ipc ns:/proc/PID/ns/ipc"},
	{"secret", false, useBind},
	{"volumes-from", false, useBind},
	{"link", false, hostsFile},
	{"label l", false, "labels belong to an engine; give --annotation KEY=VALUE"},
	{"stop-timeout", false, "it is a matter of whoever stops the container"},
}

// engineFlags declares them, so that they give a better error than an unknown
// flag; they are not shown in the help.
func engineFlags() []cli.Flag {
	var list []cli.Flag
	for _, f := range engineList {
		names := strings.Fields(f.names)
		if f.bool {
			list = append(list, &cli.BoolFlag{Name: names[0], Aliases: names[1:], Hidden: true})
		} else {
			list = append(list, &cli.StringSliceFlag{Name: names[0], Aliases: names[1:], Hidden: true})
		}
	}
	return list
}

// refuseVolume notices the -v of podman and docker, whose value became an
// operand here.
func refuseVolume(inv *cli.Invocation) error {
	for _, word := range inv.Operands {
		source, _, isVolume := strings.Cut(word, ":/")
		if !inv.Log.Verbose(1) || !isVolume || source == "" || isImage(word) {
			continue
		}
		if _, err := os.Lstat(word); err != nil {
			return fault.Hint(fault.Usage("unexpected operand %q", word), "-v is --verbose here; write --volume %s", word)
		}
	}
	return nil
}

func refuseEngineFlags(inv *cli.Invocation) error {
	for _, f := range engineList {
		name := strings.Fields(f.names)[0]
		if inv.IsSet(name) {
			return fault.Hint(fault.Usage("--%s has no place in a config.json", name), "%s", f.cure)
		}
	}
	return nil
}
