package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/oci-plumbing/oci-plumbing/lib/cli"
	"github.com/oci-plumbing/oci-plumbing/lib/fault"
	"github.com/oci-plumbing/oci-plumbing/lib/spec"
	"github.com/oci-plumbing/oci-plumbing/lib/spec/cdi"
)

func flags() []cli.Flag {
	groups := [][]cli.Flag{inputFlags(), processFlags(), securityFlags(), namespaceFlags(), mountFlags(), resourceFlags(), otherFlags(), engineFlags()}
	var all []cli.Flag
	for _, g := range groups {
		all = append(all, g...)
	}
	return all
}

func inputFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "write the config.json to `FILE`; - is standard output"},
		&cli.StringFlag{Name: "config", Aliases: []string{"c"}, Usage: "change the config.json `FILE` (- is standard input) in place of making one"},
		&cli.StringFlag{Name: "image", Usage: "take the image config from the layout `DIR[:TAG]`"},
		&cli.StringFlag{Name: "image-config", Usage: "take the image config from `FILE`; - is standard input"},
		&cli.StringFlag{Name: "rootfs", Usage: "the root file system `DIR`, in which users are looked up"},
		&cli.StringFlag{Name: "platform", Usage: "with --image: choose the image for `OS/ARCH[/VARIANT]`"},
		&cli.StringFlag{Name: "defaults", Usage: "defaults of `PROFILE`: podman, docker, runc, minimal or hardened", DefaultText: "podman"},
		&cli.BoolFlag{Name: "rootless", Usage: "make what a user without privileges can run", DefaultText: "as the bundle and the caller are"},
		&cli.BoolFlag{Name: "force", Usage: "accept an image of another architecture"},
		&cli.BoolFlag{Name: "check", Usage: "check the config.json that the operand names: schema, rules, runtime, host"},
		&cli.StringFlag{Name: "runtime", Usage: "with --check: ask `RUNTIME` for its features", EnvVars: []string{"OCI_RUNTIME"}},
		&cli.BoolFlag{Name: "diff", Usage: "compare the two config.json files of the operands by their meaning"},
	}
}

func processFlags() []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{Name: "tty", Aliases: []string{"t"}, Usage: "give the process a terminal"},
		&cli.BoolFlag{Name: "interactive", Aliases: []string{"i"}, Usage: "accepted for habit, without effect: standard input is oci-run's matter"},
		&cli.StringSliceFlag{Name: "env", Aliases: []string{"e"}, Usage: "set a variable, `NAME=VALUE`; NAME alone copies the caller's, PREFIX* all that begin so"},
		&cli.StringSliceFlag{Name: "env-file", Usage: "set the variables in the lines of `FILE`"},
		&cli.StringSliceFlag{Name: "unsetenv", Usage: "remove the variable `NAME` of the image"},
		&cli.BoolFlag{Name: "unsetenv-all", Usage: "remove all variables of the image"},
		&cli.StringFlag{Name: "entrypoint", Usage: "replace the image's entrypoint and command by `WORD` or a JSON array; empty resets them"},
		&cli.StringFlag{Name: "workdir", Aliases: []string{"w"}, Usage: "start in the directory `DIR`"},
		&cli.StringFlag{Name: "user", Aliases: []string{"u"}, Usage: "run as `USER[:GROUP]`, by number or by name in the rootfs"},
		&cli.StringFlag{Name: "user-groups", Usage: "groups of a numeric user: `RULE` is spec (none) or docker (those of its passwd entry)", Value: "spec"},
		&cli.StringSliceFlag{Name: "group-add", Usage: "add the `GROUP`; keep-groups keeps the caller's (crun)"},
		&cli.StringFlag{Name: "umask", Usage: "octal `MASK` for new files"},
		&cli.StringSliceFlag{Name: "ulimit", Usage: "set a limit, `NAME=SOFT[:HARD]`, -1 for unlimited; host copies the caller's"},
		&cli.IntFlag{Name: "oom-score-adj", Usage: "choose the process sooner or later when memory runs out, `SCORE` -1000 to 1000"},
		&cli.StringFlag{Name: "personality", Usage: "execution `DOMAIN`: LINUX or LINUX32"},
		&cli.BoolFlag{Name: "init", Usage: "run the command below a small init program of the host"},
		&cli.StringFlag{Name: "init-path", Usage: "that program, a static binary: `FILE`"},
	}
}

func securityFlags() []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{Name: "privileged", Usage: "lift nearly all confinement: the caller's capabilities, all devices, no seccomp"},
		&cli.StringSliceFlag{Name: "cap-add", Usage: "add the capability `NAME`, or ALL"},
		&cli.StringSliceFlag{Name: "cap-drop", Usage: "drop the capability `NAME`, or ALL; drops come before adds"},
		&cli.StringSliceFlag{Name: "security-opt", Usage: "`OPTION`: no-new-privileges, seccomp=FILE|unconfined, apparmor=PROFILE|unconfined, label=disable|TYPE:VALUE, mask=PATHS, unmask=PATHS|ALL, proc-opts=OPTIONS, systempaths=unconfined"},
		&cli.BoolFlag{Name: "read-only", Usage: "make the rootfs read-only"},
		&cli.BoolFlag{Name: "read-only-tmpfs", Usage: "with --read-only: put a tmpfs on /run, /tmp and /var/tmp", Value: true},
	}
}

func namespaceFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "network", Aliases: []string{"net"}, Usage: "`MODE` of the network namespace: none, private, host or ns:PATH"},
		&cli.StringFlag{Name: "pid", Usage: "`MODE` of the pid namespace: private, host or ns:PATH"},
		&cli.StringFlag{Name: "ipc", Usage: "`MODE` of the ipc namespace: private, host or ns:PATH"},
		&cli.StringFlag{Name: "uts", Usage: "`MODE` of the uts namespace: private, host or ns:PATH"},
		&cli.StringFlag{Name: "cgroupns", Usage: "`MODE` of the cgroup namespace: private, host or ns:PATH"},
		&cli.StringFlag{Name: "userns", Usage: "`MODE` of the user namespace: private, host, keep-id or ns:PATH"},
		&cli.StringSliceFlag{Name: "uidmap", Usage: "map uids, `CONTAINER:HOST:SIZE`"},
		&cli.StringSliceFlag{Name: "gidmap", Usage: "map gids, `CONTAINER:HOST:SIZE`; those of --uidmap without it"},
		&cli.StringFlag{Name: "hostname", Usage: "host `NAME` of the container"},
		&cli.StringFlag{Name: "domainname", Usage: "NIS domain `NAME` of the container"},
		&cli.StringSliceFlag{Name: "sysctl", Usage: "set a kernel parameter of a namespace, `KEY=VALUE`"},
	}
}

func mountFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringSliceFlag{Name: "volume", Usage: "bind a directory or file, `SOURCE:DESTINATION[:OPTIONS]`"},
		&cli.StringSliceFlag{Name: "mount", Usage: "mount as `type=bind|tmpfs|devpts,KEY=VALUE,...` says"},
		&cli.StringSliceFlag{Name: "tmpfs", Usage: "mount a tmpfs, `DESTINATION[:OPTIONS]`"},
		&cli.StringFlag{Name: "shm-size", Usage: "`SIZE` of /dev/shm"},
		&cli.StringFlag{Name: "volumes", Aliases: []string{"image-volume"}, Usage: "what becomes of the volumes of the image: `MODE` is tmpfs-copyup, bind:DIR, ignore or error", DefaultText: "tmpfs-copyup"},
		&cli.StringSliceFlag{Name: "device", Usage: "give the device `PATH[:INSIDE][:rwm]`, or that of the CDI name VENDOR/CLASS=NAME"},
		&cli.StringSliceFlag{Name: "device-cgroup-rule", Usage: "allow devices, `\"TYPE MAJOR:MINOR ACCESS\"`"},
		&cli.StringSliceFlag{Name: "gpus", Usage: "give `GPU`s by CDI: all, or a number or name (nvidia.com/gpu)"},
		&cli.StringFlag{Name: "tz", Usage: "bind the time `ZONE` of the host; local is the host's own"},
		&cli.StringFlag{Name: "systemd", Usage: "prepare for systemd as first process: `WHEN` is always, true (when it is the command) or false"},
	}
}

func resourceFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "memory", Aliases: []string{"m"}, Usage: "memory limit, `SIZE` such as 64m"},
		&cli.StringFlag{Name: "memory-swap", Usage: "limit of memory and swap together, `SIZE`; -1 for unlimited"},
		&cli.StringFlag{Name: "memory-reservation", Usage: "memory to keep when it grows short, `SIZE`"},
		&cli.IntFlag{Name: "memory-swappiness", Usage: "`PERCENT` 0 to 100 (cgroup v1)", Value: -1, DefaultText: "the host's"},
		&cli.BoolFlag{Name: "oom-kill-disable", Usage: "let processes wait for memory instead of killing them (cgroup v1)"},
		&cli.StringFlag{Name: "cpus", Usage: "`NUMBER` of processors, such as 1.5"},
		&cli.UintFlag{Name: "cpu-shares", Usage: "relative `WEIGHT`"},
		&cli.UintFlag{Name: "cpu-period", Usage: "`MICROSECONDS` of a period"},
		&cli.Int64Flag{Name: "cpu-quota", Usage: "`MICROSECONDS` of processor in a period"},
		&cli.UintFlag{Name: "cpu-rt-period", Usage: "`MICROSECONDS` of a realtime period (cgroup v1)"},
		&cli.Int64Flag{Name: "cpu-rt-runtime", Usage: "`MICROSECONDS` of realtime in a period (cgroup v1)"},
		&cli.StringFlag{Name: "cpuset-cpus", Usage: "processors, a `LIST` such as 0-3,7"},
		&cli.StringFlag{Name: "cpuset-mems", Usage: "memory nodes, a `LIST`"},
		&cli.Int64Flag{Name: "pids-limit", Usage: "greatest `NUMBER` of processes; -1 for unlimited"},
		&cli.IntFlag{Name: "blkio-weight", Usage: "relative `WEIGHT` 10 to 1000 of block input and output"},
		&cli.StringSliceFlag{Name: "blkio-weight-device", Usage: "the same for one device, `DEVICE:WEIGHT`"},
		&cli.StringSliceFlag{Name: "device-read-bps", Usage: "limit reading, `DEVICE:SIZE` per second"},
		&cli.StringSliceFlag{Name: "device-write-bps", Usage: "limit writing, `DEVICE:SIZE` per second"},
		&cli.StringSliceFlag{Name: "device-read-iops", Usage: "limit reading, `DEVICE:NUMBER` per second"},
		&cli.StringSliceFlag{Name: "device-write-iops", Usage: "limit writing, `DEVICE:NUMBER` per second"},
		&cli.StringFlag{Name: "cgroup-parent", Usage: "make the cgroup below `PATH`, or below a systemd slice"},
		&cli.StringSliceFlag{Name: "cgroup-conf", Usage: "write a file of cgroup v2, `KEY=VALUE`"},
		&cli.StringFlag{Name: "rdt-class", Usage: "class of service `NAME` of Intel RDT"},
	}
}

func otherFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringSliceFlag{Name: "annotation", Usage: "set an annotation, `KEY=VALUE`"},
		&cli.StringSliceFlag{Name: "allow-annotation", Usage: "copy the label `KEY` of the image although it steers a runtime"},
		&cli.StringFlag{Name: "stop-signal", Usage: "`SIGNAL` that asks the process to end"},
		&cli.StringSliceFlag{Name: "hook", Usage: "add a hook, `STAGE=PATH[,ARGUMENT...]`"},
		&cli.StringSliceFlag{Name: "set", Usage: "set a value by JSON pointer, `/POINTER=VALUE`, after all else"},
		&cli.StringSliceFlag{Name: "patch", Usage: "apply the JSON patch `FILE` (RFC 6902)"},
		&cli.StringSliceFlag{Name: "merge", Usage: "apply the merge patch `FILE` (RFC 7386)"},
	}
}

// options collects the flags.
func options(inv *cli.Invocation) (spec.Options, error) {
	o := spec.Options{
		Defaults: inv.String("defaults"), Annotations: inv.StringSlice("annotation"), AllowAnnotations: inv.StringSlice("allow-annotation"),
		StopSignal: inv.String("stop-signal"), Hooks: inv.StringSlice("hook"), Rootless: boolean(inv, "rootless"),
		ProcessOptions:   processOptions(inv),
		SecurityOptions:  securityOptions(inv),
		NamespaceOptions: namespaceOptions(inv),
		MountOptions:     mountOptions(inv),
		ResourceOptions:  resourceOptions(inv),
	}
	o.Set = inv.StringSlice("set")
	var err error
	if o.Patches, err = readAll(inv, "patch"); err != nil {
		return o, err
	}
	o.Merges, err = readAll(inv, "merge")
	return o, err
}

func processOptions(inv *cli.Invocation) spec.ProcessOptions {
	return spec.ProcessOptions{
		Args: inv.Trailing, Entrypoint: text(inv, "entrypoint"), Terminal: boolean(inv, "tty"),
		Env: inv.StringSlice("env"), EnvFiles: inv.StringSlice("env-file"), UnsetEnv: inv.StringSlice("unsetenv"), UnsetEnvAll: inv.Bool("unsetenv-all"),
		WorkDir: inv.String("workdir"), User: text(inv, "user"), UserGroups: spec.UserGroups(inv.String("user-groups")), GroupAdd: inv.StringSlice("group-add"),
		Umask: inv.String("umask"), Ulimits: inv.StringSlice("ulimit"), OOMScoreAdj: integer(inv, "oom-score-adj"), Personality: inv.String("personality"),
		Init: inv.Bool("init"), InitPath: inv.String("init-path"),
	}
}

func securityOptions(inv *cli.Invocation) spec.SecurityOptions {
	return spec.SecurityOptions{
		Privileged: inv.Bool("privileged"), CapAdd: inv.StringSlice("cap-add"), CapDrop: inv.StringSlice("cap-drop"),
		SecurityOpt: inv.StringSlice("security-opt"), ReadOnly: boolean(inv, "read-only"), ReadOnlyTmpfs: boolean(inv, "read-only-tmpfs"),
	}
}

func namespaceOptions(inv *cli.Invocation) spec.NamespaceOptions {
	return spec.NamespaceOptions{
		Network: inv.String("network"), PID: inv.String("pid"), IPC: inv.String("ipc"), UTS: inv.String("uts"), Cgroupns: inv.String("cgroupns"),
		Userns: inv.String("userns"), UIDMap: inv.StringSlice("uidmap"), GIDMap: inv.StringSlice("gidmap"),
		Hostname: inv.String("hostname"), Domainname: inv.String("domainname"), Sysctl: inv.StringSlice("sysctl"),
	}
}

func mountOptions(inv *cli.Invocation) spec.MountOptions {
	o := spec.MountOptions{
		Volumes: inv.StringSlice("volume"), Mounts: inv.StringSlice("mount"), Tmpfs: inv.StringSlice("tmpfs"), ShmSize: inv.String("shm-size"),
		ImageVolumes: inv.String("volumes"), Devices: inv.StringSlice("device"), DeviceRules: inv.StringSlice("device-cgroup-rule"),
		TZ: inv.String("tz"), Systemd: inv.String("systemd"),
		CDI: func(device string) (*specs.Spec, map[string]string, error) { return cdi.Edits(nil, device) },
	}
	for _, gpu := range inv.StringSlice("gpus") {
		o.Devices = append(o.Devices, "nvidia.com/gpu="+gpu)
	}
	return o
}

func resourceOptions(inv *cli.Invocation) spec.ResourceOptions {
	return spec.ResourceOptions{
		Memory: inv.String("memory"), MemorySwap: inv.String("memory-swap"), MemoryReservation: inv.String("memory-reservation"),
		MemorySwappiness: integer(inv, "memory-swappiness"), OOMKillDisable: inv.Bool("oom-kill-disable"),
		CPUs: inv.String("cpus"), CPUShares: unsigned(inv, "cpu-shares"), CPUPeriod: unsigned(inv, "cpu-period"), CPUQuota: integer64(inv, "cpu-quota"),
		CPURTPeriod: unsigned(inv, "cpu-rt-period"), CPURTRuntime: integer64(inv, "cpu-rt-runtime"),
		CpusetCPUs: inv.String("cpuset-cpus"), CpusetMems: inv.String("cpuset-mems"), PidsLimit: integer64(inv, "pids-limit"),
		BlkioWeight: integer(inv, "blkio-weight"), BlkioWeightDevice: inv.StringSlice("blkio-weight-device"),
		DeviceReadBps: inv.StringSlice("device-read-bps"), DeviceWriteBps: inv.StringSlice("device-write-bps"),
		DeviceReadIOPS: inv.StringSlice("device-read-iops"), DeviceWriteIOPS: inv.StringSlice("device-write-iops"),
		CgroupParent: inv.String("cgroup-parent"), CgroupConf: inv.StringSlice("cgroup-conf"), RDTClass: inv.String("rdt-class"),
	}
}

// The values of flags that were given, and nil for those that were not.

func text(inv *cli.Invocation, name string) *string { return given(inv, name, inv.String) }

func boolean(inv *cli.Invocation, name string) *bool { return given(inv, name, inv.Bool) }

func integer(inv *cli.Invocation, name string) *int { return given(inv, name, inv.Int) }

func integer64(inv *cli.Invocation, name string) *int64 { return given(inv, name, inv.Int64) }

func unsigned(inv *cli.Invocation, name string) *uint64 {
	return given(inv, name, func(name string) uint64 { return uint64(inv.Uint(name)) })
}

func given[T any](inv *cli.Invocation, name string, value func(string) T) *T {
	if !inv.IsSet(name) {
		return nil
	}
	v := value(name)
	return &v
}

// readAll reads the files that a flag names.
func readAll(inv *cli.Invocation, name string) ([][]byte, error) {
	var list [][]byte
	for _, file := range inv.StringSlice(name) {
		data, err := readFile(inv, file)
		if err != nil {
			return nil, fmt.Errorf("--%s: %w", name, err)
		}
		list = append(list, data)
	}
	return list, nil
}

// readFile reads a bounded document; "-" is standard input.
func readFile(inv *cli.Invocation, name string) ([]byte, error) {
	if name == "-" {
		if inv.StdinIsTerminal() {
			return nil, inv.Usage("standard input is a terminal")
		}
		return readBounded(inv.Input(), "standard input")
	}
	file, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fault.As(fault.ErrNotFound, err)
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return readBounded(file, name)
}

func readBounded(in io.Reader, name string) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(in, spec.MaxSize+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if len(data) > spec.MaxSize {
		return nil, fault.Refused("%s exceeds %d bytes", name, spec.MaxSize)
	}
	return data, nil
}
