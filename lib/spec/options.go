package spec

import "github.com/opencontainers/runtime-spec/specs-go"

// Options are what the command line asks for, as strings that mean what the
// flags of the same name mean to podman and docker. The zero value asks for
// nothing.
type Options struct {
	ProcessOptions
	SecurityOptions
	NamespaceOptions
	MountOptions
	ResourceOptions
	EditOptions

	// Defaults is the name of the profile; Generate only.
	Defaults string
	// Annotations are KEY=VALUE.
	Annotations []string
	// AllowAnnotations are labels to copy although they steer a runtime.
	AllowAnnotations []string
	// StopSignal replaces the image's stop signal.
	StopSignal string
	// Hooks are STAGE=PATH[,ARGUMENT...].
	Hooks []string
	// Rootless makes the document one that a user without privileges can
	// run; nil leaves it to Input.Rootless when a document is generated.
	Rootless *bool
}

// ProcessOptions concern the process.
type ProcessOptions struct {
	// Args is the command; nil when none was given.
	Args []string
	// Entrypoint replaces the image's, as one word or a JSON array; "" resets
	// it. Nil leaves it.
	Entrypoint *string
	// Terminal is process.terminal.
	Terminal *bool
	// Env are NAME=VALUE, or NAME to copy from the host.
	Env []string
	// EnvFiles are files of such lines.
	EnvFiles []string
	// UnsetEnv are names to remove from the environment of the image.
	UnsetEnv []string
	// UnsetEnvAll removes all of them.
	UnsetEnvAll bool
	// WorkDir is process.cwd.
	WorkDir string
	// User is USER[:GROUP].
	User *string
	// UserGroups says which groups a numeric user gets; "" is GroupsSpec.
	UserGroups UserGroups
	// GroupAdd are more groups, by number or name; keep-groups keeps the
	// caller's (crun only).
	GroupAdd []string
	// Umask is octal.
	Umask string
	// Ulimits are NAME=SOFT[:HARD], -1 for unlimited, or host.
	Ulimits []string
	// OOMScoreAdj is process.oomScoreAdj, from -1000 to 1000.
	OOMScoreAdj *int
	// Personality is LINUX or LINUX32.
	Personality string
	// Init runs the command below a small init; InitPath is that program on
	// the host, a static binary.
	Init     bool
	InitPath string
}

// SecurityOptions concern privileges.
type SecurityOptions struct {
	// Privileged lifts nearly all confinement.
	Privileged bool
	// CapAdd and CapDrop are names of capabilities, or ALL.
	CapAdd, CapDrop []string
	// SecurityOpt are no-new-privileges, seccomp=FILE|unconfined,
	// apparmor=PROFILE|unconfined, label=TYPE:VALUE|disable, mask=, unmask=,
	// proc-opts=, systempaths=unconfined.
	SecurityOpt []string
	// ReadOnly makes the rootfs read-only; ReadOnlyTmpfs, nil or true, then
	// puts a tmpfs on /run, /tmp and /var/tmp.
	ReadOnly      *bool
	ReadOnlyTmpfs *bool
}

// NamespaceOptions concern namespaces. Each mode is host, private or ns:PATH.
type NamespaceOptions struct {
	// Network may also be none, which is private: nothing here sets it up.
	Network string
	// PID, IPC, UTS and Cgroupns are modes.
	PID, IPC, UTS, Cgroupns string
	// Userns is host, private (with maps), keep-id or ns:PATH. With keep-id
	// the caller is the same user inside, and runs the process unless User
	// says otherwise.
	Userns string
	// UIDMap and GIDMap are CONTAINER:HOST:SIZE.
	UIDMap, GIDMap []string
	// Hostname and Domainname need a private UTS namespace.
	Hostname, Domainname string
	// Sysctl are KEY=VALUE.
	Sysctl []string
}

// MountOptions concern the file system.
type MountOptions struct {
	// Volumes are SOURCE:DESTINATION[:OPTIONS].
	Volumes []string
	// Mounts are type=bind|tmpfs|devpts|…,KEY=VALUE….
	Mounts []string
	// Tmpfs are DESTINATION[:OPTIONS].
	Tmpfs []string
	// ShmSize is the size of /dev/shm.
	ShmSize string
	// ImageVolumes says what becomes of the volumes of the image:
	// tmpfs-copyup (or ""), bind:DIR, ignore or error.
	ImageVolumes string
	// Devices are PATH[:PATH][:ACCESS], or CDI names VENDOR/CLASS=NAME.
	Devices []string
	// CDI returns what the specification of a CDI device adds to an empty
	// config, and the paths of its nodes on the host: cdi.Edits. Without it
	// such a device is a usage error.
	CDI func(device string) (edited *specs.Spec, hostPaths map[string]string, err error)
	// DeviceRules are "TYPE MAJOR:MINOR ACCESS".
	DeviceRules []string
	// TZ is a zone below /usr/share/zoneinfo, or local.
	TZ string
	// Systemd prepares the container for systemd as its first process:
	// "always", "true" (when the command is systemd or init), or "false".
	Systemd string
}

// ResourceOptions are limits of the cgroup.
type ResourceOptions struct {
	// Memory, MemorySwap, MemoryReservation are sizes with a unit.
	Memory, MemorySwap, MemoryReservation string
	// MemorySwappiness is 0 to 100.
	MemorySwappiness *int
	// OOMKillDisable keeps the kernel from killing.
	OOMKillDisable bool
	// CPUs is a number of processors, 1.5.
	CPUs string
	// CPUShares, CPUPeriod, CPUQuota, CPURTPeriod and CPURTRuntime are the
	// members of linux.resources.cpu, in microseconds.
	CPUShares, CPUPeriod, CPURTPeriod *uint64
	CPUQuota, CPURTRuntime            *int64
	// CpusetCPUs and CpusetMems are lists such as 0-3,7.
	CpusetCPUs, CpusetMems string
	// PidsLimit is the number of processes; -1 is unlimited.
	PidsLimit *int64
	// BlkioWeight is 10 to 1000.
	BlkioWeight *int
	// BlkioWeightDevice are PATH:WEIGHT.
	BlkioWeightDevice []string
	// The four throttles are PATH:RATE.
	DeviceReadBps, DeviceWriteBps, DeviceReadIOPS, DeviceWriteIOPS []string
	// CgroupParent is the cgroup above, or a slice of systemd.
	CgroupParent string
	// CgroupConf are KEY=VALUE of cgroup v2 (linux.resources.unified).
	CgroupConf []string
	// RDTClass is linux.intelRdt.closID.
	RDTClass string
}

// EditOptions change the document by pointer, after all else.
type EditOptions struct {
	// Set are POINTER=VALUE; VALUE is JSON, or else a string.
	Set []string
	// Patches are RFC 6902 documents, Merges RFC 7386 documents.
	Patches, Merges [][]byte
}
