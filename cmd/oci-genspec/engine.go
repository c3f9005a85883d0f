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
	passwdFile  = "write a file, and give --volume FILE:/etc/passwd:ro"
	runFlag     = "it is a flag of oci-run"
	byItself    = "oci-run does it by itself"
	engineOnly  = "an engine watches containers (podman, or a systemd unit around oci-run)"
	useBind     = "give a directory with --volume DIR:/PATH"
	transported = "oci-copy fetches the image"
	copyFlag    = "oci-copy fetches the image, and has the flag"
	choosing    = "give --platform OS/ARCH[/VARIANT] to oci-mount or oci-unpack, or here with --image"
	subids      = "give the ranges of /etc/subuid and /etc/subgid with --uidmap and --gidmap"
	noLabels    = "labels belong to an engine; give --annotation KEY=VALUE"
	noPods      = "join the namespaces of another container: --network ns:/proc/PID/ns/net --ipc ns:/proc/PID/ns/ipc"
	unwritten   = "nothing here writes these files anyway"
)

// engineList has the flags of podman run and docker run.
var engineList = []engineFlag{
	{"publish p", false, netavark + "; or pasta between oci-run's create and start"},
	{"publish-all P", true, netavark},
	{"expose", false, "it opens nothing, not even in an engine"},
	{"ip", false, netavark},
	{"ip6", false, netavark},
	{"link-local-ip", false, netavark},
	{"mac-address", false, netavark},
	{"network-alias net-alias", false, netavark},
	{"dns", false, resolvConf},
	{"dns-search", false, resolvConf},
	{"dns-option dns-opt", false, resolvConf},
	{"add-host", false, hostsFile},
	{"link", false, hostsFile},
	{"hosts-file", false, hostsFile},
	{"no-hosts", true, unwritten},
	{"no-hostname", true, unwritten},
	{"passwd", true, unwritten},
	{"passwd-entry", false, passwdFile},
	{"group-entry", false, "write a file, and give --volume FILE:/etc/group:ro"},
	{"hostuser", false, passwdFile},
	{"chrootdirs", false, useBind},
	{"name", false, "the ID is the operand of oci-run"},
	{"detach d", true, runFlag + ": oci-run --detach"},
	{"attach a", false, "oci-run without --detach is attached; oci-run --attach ID joins later"},
	{"detach-keys", false, "Ctrl-P Ctrl-Q leaves oci-run --attach"},
	{"rm", true, runFlag + ": oci-run --rm"},
	{"rmi", true, "there is no store of images: remove the directory"},
	{"replace", true, runFlag + ": oci-run --replace"},
	{"timeout", false, runFlag + ": oci-run --timeout"},
	{"preserve-fds", false, runFlag + ": oci-run --preserve-fds"},
	{"preserve-fd", false, runFlag + ": oci-run --preserve-fds"},
	{"sig-proxy", true, byItself},
	{"sdnotify", false, byItself + ", below systemd"},
	{"restart", false, engineOnly},
	{"requires", false, engineOnly},
	{"health-cmd", false, engineOnly},
	{"health-interval", false, engineOnly},
	{"health-log-destination", false, engineOnly},
	{"health-max-log-count", false, engineOnly},
	{"health-max-log-size", false, engineOnly},
	{"health-on-failure", false, engineOnly},
	{"health-retries", false, engineOnly},
	{"health-start-interval", false, engineOnly},
	{"health-start-period", false, engineOnly},
	{"health-startup-cmd", false, engineOnly},
	{"health-startup-interval", false, engineOnly},
	{"health-startup-retries", false, engineOnly},
	{"health-startup-success", false, engineOnly},
	{"health-startup-timeout", false, engineOnly},
	{"health-timeout", false, engineOnly},
	{"no-healthcheck", true, "nothing checks the health here anyway"},
	{"log-driver", false, runFlag + ": oci-run --container-log"},
	{"log-opt", false, runFlag + ": oci-run --container-log-format, --container-log-size"},
	{"pull", false, transported},
	{"retry", false, transported},
	{"retry-delay", false, transported},
	{"authfile", false, copyFlag},
	{"creds", false, copyFlag},
	{"cert-dir", false, copyFlag},
	{"decryption-key", false, copyFlag},
	{"tls-verify", true, copyFlag},
	{"disable-content-trust", true, "oci-copy verifies signatures as policy.json says"},
	{"arch", false, choosing},
	{"os", false, choosing},
	{"variant", false, choosing},
	{"cidfile", false, "redirect the output of oci-run --detach"},
	{"pidfile", false, runFlag + ": oci-run --pid-file"},
	{"conmon-pidfile", false, "there is no conmon: oci-run --pid-file writes the pid of the program"},
	{"cgroups", false, "the runtime makes the cgroup; --cgroup-parent says where"},
	{"pod", false, noPods},
	{"pod-id-file", false, noPods},
	{"secret", false, useBind},
	{"volumes-from", false, useBind},
	{"volume-driver", false, useBind},
	{"storage-opt", false, "the rootfs is made by oci-mount and oci-unpack"},
	{"label l", false, noLabels},
	{"label-file", false, noLabels},
	{"env-host", true, "give --env '*'"},
	{"env-merge", false, "give --env NAME=VALUE"},
	{"http-proxy", true, "give --env http_proxy --env https_proxy --env no_proxy to copy the caller's"},
	{"subuidname", false, subids},
	{"subgidname", false, subids},
	{"seccomp-policy", false, "give --security-opt seccomp=FILE"},
	{"kernel-memory", false, "kernels have dropped it; give --memory"},
	{"isolation", false, "it is a flag for Windows"},
	{"stop-timeout", false, "it is a matter of whoever stops the container: oci-run --stop --time"},
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
