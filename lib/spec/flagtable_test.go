package spec

// flagCase is one or more flags as Options, for the golden files, the filter
// and the schema tests alike.
type flagCase struct {
	name string
	opt  Options
}

// flagCases has a case for each flag whose effect does not depend on the
// machine.
func flagCases() []flagCase {
	process := func(name string, p ProcessOptions) flagCase { return flagCase{name, Options{ProcessOptions: p}} }
	security := func(name string, s SecurityOptions) flagCase {
		return flagCase{name, Options{SecurityOptions: s}}
	}
	space := func(name string, n NamespaceOptions) flagCase { return flagCase{name, Options{NamespaceOptions: n}} }
	mount := func(name string, m MountOptions) flagCase { return flagCase{name, Options{MountOptions: m}} }
	resource := func(name string, r ResourceOptions) flagCase { return flagCase{name, Options{ResourceOptions: r}} }
	edit := func(name string, e EditOptions) flagCase { return flagCase{name, Options{EditOptions: e}} }
	return []flagCase{
		process("-- echo hi", ProcessOptions{Args: []string{"echo", "hi"}}),
		process("--entrypoint /bin/x -- a b", ProcessOptions{Entrypoint: ptr("/bin/x"), Args: []string{"a", "b"}}),
		process("--entrypoint /bin/x", ProcessOptions{Entrypoint: ptr("/bin/x")}),
		process(`--entrypoint '["/bin/x","-y"]' -- z`, ProcessOptions{Entrypoint: ptr(`["/bin/x","-y"]`), Args: []string{"z"}}),
		process(`--entrypoint "" -- a`, ProcessOptions{Entrypoint: ptr(""), Args: []string{"a"}}),
		process("--entrypoint [ -- -e /x ]", ProcessOptions{Entrypoint: ptr("["), Args: []string{"-e", "/x", "]"}}),
		process("--tty", ProcessOptions{Terminal: ptr(true)}),
		process("--env FOO=new --env A=B --env COPIED --env MISSING", ProcessOptions{Env: []string{"FOO=new", "A=B", "COPIED", "MISSING"}}),
		process("--env COPIED_* --env NONE*", ProcessOptions{Env: []string{"COPIED_*", "NONE*"}}),
		process("--unsetenv FOO", ProcessOptions{UnsetEnv: []string{"FOO"}}),
		process("--unsetenv PATH", ProcessOptions{UnsetEnv: []string{"PATH"}}),
		process("--unsetenv FOO --env FOO=1 --env B=2", ProcessOptions{UnsetEnv: []string{"FOO"}, Env: []string{"FOO=1", "B=2"}}),
		process("--unsetenv-all", ProcessOptions{UnsetEnvAll: true}),
		process("--workdir tmp/../srv", ProcessOptions{WorkDir: "tmp/../srv"}),
		process("--user bob", ProcessOptions{User: ptr("bob")}),
		process("--user bob:wheel", ProcessOptions{User: ptr("bob:wheel")}),
		process("--user 4242", ProcessOptions{User: ptr("4242")}),
		process("--user 4242:77", ProcessOptions{User: ptr("4242:77")}),
		process("--user root", ProcessOptions{User: ptr("root")}),
		process("--user 1000 --user-groups docker", ProcessOptions{User: ptr("1000"), UserGroups: GroupsDocker}),
		process("--user bob --group-add video --group-add 555", ProcessOptions{User: ptr("bob"), GroupAdd: []string{"video", "555"}}),
		process("--group-add keep-groups", ProcessOptions{GroupAdd: []string{"keep-groups"}}),
		process("--umask 0077", ProcessOptions{Umask: "0077"}),
		process("--ulimit nofile=100:200 --ulimit core=-1", ProcessOptions{Ulimits: []string{"nofile=100:200", "core=-1"}}),
		process("--ulimit host", ProcessOptions{Ulimits: []string{"host"}}),
		process("--oom-score-adj 100", ProcessOptions{OOMScoreAdj: ptr(100)}),
		process("--personality LINUX32", ProcessOptions{Personality: "LINUX32"}),

		security("--cap-add NET_ADMIN", SecurityOptions{CapAdd: []string{"NET_ADMIN"}}),
		security("--cap-add SYS_TIME,NET_RAW --cap-drop chown,kill", SecurityOptions{CapAdd: []string{"SYS_TIME,NET_RAW"}, CapDrop: []string{"chown,kill"}}),
		security("--cap-drop all --cap-add CHOWN", SecurityOptions{CapDrop: []string{"all"}, CapAdd: []string{"CHOWN"}}),
		{"--user root --cap-drop chown --cap-add cap_sys_admin", Options{ProcessOptions: ProcessOptions{User: ptr("root")}, SecurityOptions: SecurityOptions{CapDrop: []string{"chown"}, CapAdd: []string{"cap_sys_admin"}}}},
		security("--security-opt no-new-privileges", SecurityOptions{SecurityOpt: []string{"no-new-privileges"}}),
		security("--security-opt seccomp=unconfined", SecurityOptions{SecurityOpt: []string{"seccomp=unconfined"}}),
		security("--security-opt mask=/proc/a:/sys/b", SecurityOptions{SecurityOpt: []string{"mask=/proc/a:/sys/b"}}),
		security("--security-opt unmask=/proc/a*:/proc/bus", SecurityOptions{SecurityOpt: []string{"unmask=/proc/a*:/proc/bus"}}),
		security("--security-opt unmask=ALL", SecurityOptions{SecurityOpt: []string{"unmask=ALL"}}),
		security("--security-opt proc-opts=hidepid=2,gid=10", SecurityOptions{SecurityOpt: []string{"proc-opts=hidepid=2,gid=10"}}),
		security("--security-opt apparmor=unconfined --security-opt label=disable", SecurityOptions{SecurityOpt: []string{"apparmor=unconfined", "label=disable"}}),
		security("--security-opt apparmor=lab", SecurityOptions{SecurityOpt: []string{"apparmor=lab"}}),
		security("--security-opt label=type:lab_t --security-opt label=level:s0:c1,c2", SecurityOptions{SecurityOpt: []string{"label=type:lab_t", "label=level:s0:c1,c2"}}),
		security("--read-only", SecurityOptions{ReadOnly: ptr(true)}),
		security("--read-only --read-only-tmpfs=false", SecurityOptions{ReadOnly: ptr(true), ReadOnlyTmpfs: ptr(false)}),

		space("--network none", NamespaceOptions{Network: "none"}),
		space("--network host", NamespaceOptions{Network: "host"}),
		space("--network ns:/run/netns/lab", NamespaceOptions{Network: "ns:/run/netns/lab"}),
		space("--pid host", NamespaceOptions{PID: "host"}),
		space("--ipc host", NamespaceOptions{IPC: "host"}),
		space("--uts host", NamespaceOptions{UTS: "host"}),
		space("--cgroupns private", NamespaceOptions{Cgroupns: "private"}),
		space("--uidmap 0:100000:65536", NamespaceOptions{UIDMap: []string{"0:100000:65536"}}),
		space("--userns private --uidmap 0:100000:65536 --gidmap 0:200000:65536", NamespaceOptions{Userns: "private", UIDMap: []string{"0:100000:65536"}, GIDMap: []string{"0:200000:65536"}}),
		space("--hostname foo.example --domainname nis", NamespaceOptions{Hostname: "foo.example", Domainname: "nis"}),
		space("--sysctl net.ipv4.ip_forward=1 --sysctl kernel.sem=1", NamespaceOptions{Sysctl: []string{"net.ipv4.ip_forward=1", "kernel.sem=1"}}),

		mount("--volume /h:/m:ro", MountOptions{Volumes: []string{"/h:/m:ro"}}),
		mount("--volume /h:/m", MountOptions{Volumes: []string{"/h:/m"}}),
		mount("--volume /h:/data", MountOptions{Volumes: []string{"/h:/data/"}}),
		mount("--volume /:/host:rslave", MountOptions{Volumes: []string{"/:/host:rslave"}}),
		mount("--mount type=bind,src=/s,dst=/d,ro,bind-propagation=rshared", MountOptions{Mounts: []string{"type=bind,src=/s,dst=/d,ro,bind-propagation=rshared"}}),
		mount(`--mount 'type=bind,"src=/a,b",dst=/d,consistency=cached'`, MountOptions{Mounts: []string{`type=bind,"src=/a,b",dst=/d,consistency=cached`}}),
		mount("--mount type=tmpfs,dst=/t,tmpfs-size=2m", MountOptions{Mounts: []string{"type=tmpfs,dst=/t,tmpfs-size=2m"}}),
		mount("--mount type=devpts,destination=/d", MountOptions{Mounts: []string{"type=devpts,destination=/d"}}),
		mount("--tmpfs /t", MountOptions{Tmpfs: []string{"/t"}}),
		mount("--tmpfs /t:size=1m,mode=1777,exec", MountOptions{Tmpfs: []string{"/t:size=1m,mode=1777,exec"}}),
		mount("--tmpfs /dev/x --tmpfs /a --tmpfs /a/b", MountOptions{Tmpfs: []string{"/dev/x", "/a/b", "/a"}}),
		mount("--shm-size 1g", MountOptions{ShmSize: "1g"}),
		mount("--tz Europe/Paris", MountOptions{TZ: "Europe/Paris"}),
		mount("--systemd always", MountOptions{Systemd: "always"}),
		mount(`--device-cgroup-rule "c 1:* rwm"`, MountOptions{DeviceRules: []string{"c 1:* rwm"}}),
		mount(`--device-cgroup-rule "c 1:3 r" --device-cgroup-rule "c 1:3 w"`, MountOptions{DeviceRules: []string{"c 1:3 r", "c 1:3 w"}}),

		resource("--memory 64m", ResourceOptions{Memory: "64m"}),
		resource("--memory 0", ResourceOptions{Memory: "0"}),
		resource("--memory 64m --memory-swap 128m --memory-reservation 32m", ResourceOptions{Memory: "64m", MemorySwap: "128m", MemoryReservation: "32m"}),
		resource("--memory-swappiness 10 --oom-kill-disable", ResourceOptions{MemorySwappiness: ptr(10), OOMKillDisable: true}),
		resource("--cpus 1.5", ResourceOptions{CPUs: "1.5"}),
		resource("--cpu-shares 512 --cpuset-cpus 0-1 --cpuset-mems 0", ResourceOptions{CPUShares: ptr(uint64(512)), CpusetCPUs: "0-1", CpusetMems: "0"}),
		resource("--cpu-period 50000 --cpu-quota 25000 --cpu-rt-period 1000000 --cpu-rt-runtime 950000", ResourceOptions{
			CPUPeriod: ptr(uint64(50000)), CPUQuota: ptr(int64(25000)), CPURTPeriod: ptr(uint64(1000000)), CPURTRuntime: ptr(int64(950000)),
		}),
		resource("--pids-limit 77", ResourceOptions{PidsLimit: ptr(int64(77))}),
		resource("--blkio-weight 100", ResourceOptions{BlkioWeight: ptr(100)}),
		resource("--cgroup-parent /lab", ResourceOptions{CgroupParent: "/lab"}),
		resource("--cgroup-parent lab.slice", ResourceOptions{CgroupParent: "lab.slice"}),
		resource("--cgroup-conf memory.high=1000", ResourceOptions{CgroupConf: []string{"memory.high=1000"}}),
		resource("--rdt-class guaranteed", ResourceOptions{RDTClass: "guaranteed"}),

		{"--annotation x=y --stop-signal INT", Options{Annotations: []string{"x=y"}, StopSignal: "INT"}},
		{"--hook prestart=/bin/hook,a,b", Options{Hooks: []string{"prestart=/bin/hook,a,b"}}},
		edit("--set /hostname=lab --set /linux/maskedPaths/0=/x --set /process/env/-=Z=1 --set /new/deep=5", EditOptions{Set: []string{"/hostname=lab", "/linux/maskedPaths/0=/x", "/process/env/-=Z=1", "/new/deep=5"}}),
		edit("--merge FILE", EditOptions{Merges: [][]byte{[]byte(`{"hostname":"m","process":{"user":null,"cwd":"/m"},"linux":{"netDevices":{"eth0":{}}}}`)}}),
		edit("--patch FILE", EditOptions{Patches: [][]byte{[]byte(`[{"op":"replace","path":"/process/cwd","value":"/p"},{"op":"test","path":"/process/cwd","value":"/p"},{"op":"remove","path":"/mounts/0"}]`)}}),
		{"--rootless --user 0:0", Options{Rootless: ptr(true), ProcessOptions: ProcessOptions{User: ptr("0:0")}}},
		{"--rootless --user 0:0 --network host", Options{Rootless: ptr(true), ProcessOptions: ProcessOptions{User: ptr("0:0")}, NamespaceOptions: NamespaceOptions{Network: "host"}}},
		{"--rootless --uidmap 0:1:1 --uidmap 1:100000:65535", Options{Rootless: ptr(true), NamespaceOptions: NamespaceOptions{UIDMap: []string{"0:1:1", "1:100000:65535"}}}},
	}
}

// once are the cases that a filter does not repeat without effect: a JSON
// patch says what to do, not what to have (RFC 6902).
var once = map[string]bool{"--patch FILE": true}
