package spec

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/oci-plumbing/oci-plumbing/internal/testimage"
)

// busybox unpacks the root file system of the tests into a bundle.
func busybox(t *testing.T) (bundle string) {
	t.Helper()
	bundle = t.TempDir()
	archive := tar.NewReader(bytes.NewReader(testimage.Tar(t, testimage.BusyboxEntries(t)...)))
	for {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return bundle
		}
		must(t, err)
		name := filepath.Join(bundle, "rootfs", h.Name)
		must(t, os.MkdirAll(filepath.Dir(name), 0o755))
		switch h.Typeflag {
		case tar.TypeDir:
			must(t, os.MkdirAll(name, 0o755))
		case tar.TypeLink:
			must(t, os.Link(filepath.Join(bundle, "rootfs", h.Linkname), name))
			continue
		default:
			data, err := io.ReadAll(archive)
			must(t, err)
			must(t, os.WriteFile(name, data, 0o755))
		}
		must(t, os.Chmod(name, h.FileInfo().Mode()))
		must(t, os.Chown(name, h.Uid, h.Gid))
	}
}

// runtimes are those of the machine that can run a container here.
func runtimes(t *testing.T) []string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("containers of the tests need root")
	}
	var found []string
	// The last is the pinned runc, where "make" has built it.
	candidates := []string{"runc", "crun", "youki", "../../build/libexec/runc"}
	for _, name := range candidates {
		program, err := exec.LookPath(name)
		if err == nil {
			program, err = filepath.Abs(program)
		}
		if err != nil {
			continue
		}
		bundle := busybox(t)
		writeConfig(t, bundle, Options{ProcessOptions: ProcessOptions{Args: []string{"true"}}})
		if out, err := runContainer(t, program, bundle); err != nil {
			t.Logf("%s cannot run containers here: %v: %s", program, err, out)
			continue
		}
		found = append(found, program)
	}
	if len(found) == 0 {
		t.Skip("no runtime that works here; install one with: apt-get install runc")
	}
	return found
}

// writeConfig makes the config.json of the bundle for the host as it is.
func writeConfig(t *testing.T, bundle string, opt Options) {
	t.Helper()
	rootfs, err := OpenRootfs(filepath.Join(bundle, "rootfs"))
	must(t, err)
	defer rootfs.dir.Close()
	img, err := ParseImage([]byte(`{"os":"linux","config":{"Env":["PATH=/bin"],"Cmd":["sh"],"Volumes":{"/home/alice":{}}}}`))
	must(t, err)
	res, err := Generate(Input{Image: img, Root: "rootfs", Rootfs: rootfs}, opt)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(bundle, "config.json"), res.Document.Bytes(), 0o644))
	findings, err := Check(res.Document, CheckOptions{Bundle: bundle})
	must(t, err)
	for _, f := range findings {
		if f.Severity == SeverityError {
			t.Errorf("--check of what runs: %s", f)
		}
	}
}

// runContainer returns what was printed, to standard error last.
func runContainer(t *testing.T, runtime, bundle string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	id := fmt.Sprintf("spec-test-%d-%d", os.Getpid(), time.Now().UnixNano())
	args := []string{runtime, "--root", filepath.Join(t.TempDir(), "state"), "run", "--bundle", bundle, id}
	if filepath.Base(runtime) == "crun" {
		// crun refuses cgroup v1 where v2 lies beside it.
		args = append([]string{"unshare", "--mount", "--propagation", "private", "sh", "-c", `umount -l /sys/fs/cgroup/unified 2>/dev/null; exec "$@"`, "sh"}, args...)
	}
	// runc copies the two streams, so that a shared one would be in no order.
	var stdout, stderr strings.Builder
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	return stdout.String() + stderr.String(), err
}

// The process in the container sees what the flags ask for.
func TestProcessesSeeWhatWasAsked(t *testing.T) {
	var st unix.Statfs_t
	v1 := unix.Statfs("/sys/fs/cgroup", &st) == nil && st.Type != unix.CGROUP2_SUPER_MAGIC
	shared := t.TempDir()
	must(t, os.WriteFile(filepath.Join(shared, "seed"), []byte("seed\n"), 0o644))
	programs := runtimes(t)
	sh := func(script string) []string { return []string{"-c", script} }
	entry := ptr(`["/bin/sh"]`)
	for _, tt := range []struct {
		name   string
		opt    Options
		script string
		want   []string
		not    []string
	}{
		{
			name: "defaults", script: `id -u; id -G; pwd; grep -E 'Cap|NoNew|Seccomp:' /proc/self/status; echo PATH=$PATH; cat /proc/kcore | wc -c; echo x >/proc/sys/kernel/hostname; ls /proc/keys -l; chown 5:6 /bin && echo chowned`,
			want: []string{"0\n0\n/\n", "CapInh:\t0000000000000000", "CapEff:\t00000000800405fb", "CapBnd:\t00000000800405fb", "CapAmb:\t0000000000000000", "NoNewPrivs:\t0", "Seccomp:\t2", "PATH=/bin", "Read-only file system", "1, ", "chowned"},
		},
		{
			name: "user", opt: Options{ProcessOptions: ProcessOptions{User: ptr("alice"), WorkDir: "/home/alice", Umask: "0027", Env: []string{"A=b c"}}},
			script: `id -u; id -g; id -G; pwd; umask; echo "A=$A HOME=$HOME"; grep CapEff /proc/self/status; touch x && ls -ln x`,
			want:   []string{"1000\n1000\n1000 10\n/home/alice\n0027\n", "A=b c HOME=/home/alice", "CapEff:\t0000000000000000", "1000     1000"},
		},
		{
			name: "user with capabilities", opt: Options{ProcessOptions: ProcessOptions{User: ptr("1000:10")}, SecurityOptions: SecurityOptions{CapDrop: []string{"all"}, CapAdd: []string{"CHOWN"}}},
			script: `id -G; grep Cap /proc/self/status; chown 7 /tmp && echo chowned`,
			want:   []string{"10\n", "CapInh:\t0000000000000001", "CapEff:\t0000000000000001", "CapBnd:\t0000000000000001", "CapAmb:\t0000000000000001", "chowned"},
		},
		{
			name: "confined", opt: Options{Defaults: "hardened"},
			script: `grep -E 'Cap|NoNew|Seccomp:' /proc/self/status; touch /x; touch /tmp/x && echo tmp; chown 5 /tmp/x`,
			want:   []string{"CapEff:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2", "/x: Read-only file system", "tmp\n", "Operation not permitted"},
		},
		{
			name: "runc's profile lacks what installing packages needs", opt: Options{Defaults: "runc"},
			script: `hostname; touch /x; ulimit -n; chown 5 /dev/shm; su alice -c id`,
			want:   []string{"runc\n", "Read-only file system", "1024", "Operation not permitted"}, not: []string{"uid=1000"},
		},
		{
			name: "su works under the default profile", script: `su alice -s /bin/sh -c 'id -u'`, want: []string{"1000\n"},
		},
		{
			name: "unconfined", opt: Options{SecurityOptions: SecurityOptions{CapAdd: []string{"SYS_ADMIN"}, SecurityOpt: []string{"seccomp=unconfined", "unmask=ALL", "no-new-privileges"}}},
			script: `grep -E 'NoNew|Seccomp:' /proc/self/status; mount -t tmpfs x /tmp && echo mounted; test -w /proc/sys/kernel/hostname && echo open`,
			want:   []string{"NoNewPrivs:\t1", "Seccomp:\t0", "mounted"},
		},
		{
			name: "seccomp follows the capabilities", opt: Options{SecurityOptions: SecurityOptions{CapAdd: []string{"SYS_ADMIN"}}},
			script: `mount -t tmpfs x /tmp && echo mounted`, want: []string{"mounted"},
		},
		{
			name: "privileged", opt: Options{SecurityOptions: SecurityOptions{Privileged: true}},
			script: `grep -E 'Seccomp:' /proc/self/status; mount -t tmpfs x /tmp && echo mounted; ls /dev | wc -l; grep ' /sys ' /proc/mounts`,
			want:   []string{"Seccomp:\t0", "mounted", "sysfs /sys sysfs rw"},
		},
		{
			name: "names and limits", opt: Options{
				NamespaceOptions: NamespaceOptions{Hostname: "lab", Sysctl: []string{"net.ipv4.ip_forward=1"}},
				ProcessOptions:   ProcessOptions{Ulimits: []string{"nofile=100:200", "core=0"}, OOMScoreAdj: ptr(300)},
			},
			script: `hostname; cat /proc/sys/net/ipv4/ip_forward /proc/self/oom_score_adj; grep -E 'open files|core' /proc/self/limits; ls /proc/self/ns/net; ls /sys/class/net`,
			want:   []string{"lab\n1\n300\n", "100                  200", "lo\n"}, not: []string{"eth0"},
		},
		{
			name: "mounts", opt: Options{MountOptions: MountOptions{
				Volumes: []string{shared + ":/shared:ro"}, Tmpfs: []string{"/tmp/t:size=1m,mode=1777"}, ShmSize: "2m",
				Mounts: []string{"type=bind,src=" + shared + ",dst=/rw"},
			}, SecurityOptions: SecurityOptions{ReadOnly: ptr(true)}},
			script: `cat /shared/seed; touch /shared/x; touch /rw/written && echo rw; touch /x; grep -E ' /(tmp/t|dev/shm|run) ' /proc/mounts`,
			want:   []string{"seed\n", "/shared/x: Read-only", "rw\n", "/x: Read-only", "/tmp/t tmpfs rw,nosuid,nodev,relatime,size=1024k", "/dev/shm tmpfs rw,nosuid,nodev,noexec,relatime,size=2048k", "/run tmpfs"},
		},
		{
			name: "volume of the image", script: `grep ' /home/alice ' /proc/mounts; ls -ldn /home/alice; ls /home/alice`,
			want: []string{"/home/alice tmpfs", "1000     1000", "from-image"},
		},
		{
			name: "devices", opt: Options{MountOptions: MountOptions{Devices: []string{"/dev/zero:/dev/nothing:r"}}},
			script: `ls -ln /dev/nothing; head -c 1 /dev/nothing | wc -c`, want: []string{"1,   5", "1\n"},
		},
		{
			name: "namespaces of the host", opt: Options{NamespaceOptions: NamespaceOptions{Network: "host", PID: "host", UTS: "host", IPC: "host"}},
			script: `ls -l /proc/self/ns; grep ' /dev/shm ' /proc/mounts`,
			want:   hostNamespaces(t, "net", "uts", "ipc"),
		},
		{
			name: "user namespace", opt: Options{NamespaceOptions: NamespaceOptions{UIDMap: []string{"0:0:1", "1:100000:65535"}}},
			script: `cat /proc/self/uid_map; id -u`, want: []string{"100000      65535", "0\n"},
		},
		{
			name: "without privileges", opt: Options{Rootless: ptr(true)},
			script: `cat /proc/self/uid_map; id -u; id -G`, want: []string{"1\n0\n"},
		},
		{
			name: "minimal", opt: Options{Defaults: "minimal"}, script: `echo $((6*7))`, want: []string{"42\n"},
		},
		{
			name: "docker", opt: Options{Defaults: "docker"}, script: `grep CapEff /proc/self/status`, want: []string{"CapEff:\t00000000a80425fb"},
		},
	} {
		for _, runtime := range programs {
			t.Run(strings.Trim(strings.ReplaceAll(runtime, "/", "_"), "_")+"/"+tt.name, func(t *testing.T) {
				bundle := busybox(t)
				must(t, os.WriteFile(filepath.Join(bundle, "rootfs/home/alice/from-image"), nil, 0o644))
				opt := tt.opt
				opt.Entrypoint, opt.Args = entry, sh(tt.script)
				writeConfig(t, bundle, opt)
				out, err := runContainer(t, runtime, bundle)
				for _, want := range tt.want {
					if !strings.Contains(out, want) {
						t.Errorf("no %q in the output (%v):\n%s", want, err, out)
					}
				}
				for _, not := range tt.not {
					if strings.Contains(out, not) {
						t.Errorf("%q in the output:\n%s", not, out)
					}
				}
			})
		}
	}
	if !v1 {
		return
	}
	for _, runtime := range programs {
		bundle := busybox(t)
		writeConfig(t, bundle, Options{
			ProcessOptions:  ProcessOptions{Args: []string{"sh", "-c", "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/cpu/cpu.cfs_quota_us /sys/fs/cgroup/pids/pids.max"}},
			ResourceOptions: ResourceOptions{Memory: "64m", CPUs: "0.5", PidsLimit: ptr(int64(77))},
		})
		out, err := runContainer(t, runtime, bundle)
		if want := "67108864\n50000\n77\n"; out != want {
			t.Errorf("%s: limits of the cgroup = %q (%v), want %q", runtime, out, err, want)
		}
	}
}

func hostNamespaces(t *testing.T, kinds ...string) []string {
	t.Helper()
	var links []string
	for _, kind := range kinds {
		link, err := os.Readlink("/proc/self/ns/" + kind)
		must(t, err)
		links = append(links, link)
	}
	return links
}

// A user without privileges runs what the generator makes for one.
func TestRunWithoutPrivileges(t *testing.T) {
	runc, err := exec.LookPath("runc")
	if err != nil || os.Geteuid() != 0 {
		t.Skip("needs runc, and root to become another user")
	}
	const nobody = 65534
	bundle := busybox(t)
	give(t, bundle, nobody)
	for _, tt := range []struct {
		opt    NamespaceOptions
		script string
		want   []string
	}{
		{NamespaceOptions{}, "ls /sys | wc -l", []string{"0\n", fmt.Sprintf("%10d %10d %10d\n", 0, nobody, 1)}},
		{NamespaceOptions{Network: "host"}, "ls /sys | wc -l", []string{"0\n"}},
		{NamespaceOptions{PID: "host"}, "cat /proc/1/comm /proc/1/stat | wc -l", []string{"0\n", "2\n"}},
	} {
		rootfs, err := OpenRootfs(filepath.Join(bundle, "rootfs"))
		must(t, err)
		img, err := ParseImage([]byte(`{"config":{"Env":["PATH=/bin"]}}`))
		must(t, err)
		host := ThisHost()
		host.EUID, host.EGID, host.HasSysResource = nobody, nobody, false
		res, err := Generate(Input{Image: img, Root: "rootfs", Rootfs: rootfs, Host: host, Rootless: true}, Options{
			ProcessOptions:   ProcessOptions{Args: []string{"sh", "-c", "id -u; cat /proc/self/uid_map; " + tt.script}},
			NamespaceOptions: tt.opt,
			MountOptions:     MountOptions{Devices: []string{"/dev/zero"}},
		})
		must(t, err)
		must(t, rootfs.Close())
		must(t, os.WriteFile(filepath.Join(bundle, "config.json"), res.Document.Bytes(), 0o644))
		cmd := exec.CommandContext(t.Context(), runc, "--root", filepath.Join(bundle, "state"), "run", "--bundle", bundle, fmt.Sprintf("nobody-%d", os.Getpid()))
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		cmd.Env = append(os.Environ(), "XDG_RUNTIME_DIR="+bundle)
		out, err := cmd.CombinedOutput()
		for _, want := range tt.want {
			if err != nil || !strings.Contains(string(out), want) {
				t.Errorf("%+v: no %q (%v):\n%s", tt.opt, want, err, out)
			}
		}
	}
}

// The caller is itself inside: where it has subordinate ids by crun, and as
// root of a user namespace, which is what runc needs.
func TestRunAsTheCaller(t *testing.T) {
	const nobody = 65534
	if os.Geteuid() != 0 {
		t.Skip("needs root, to become another user")
	}
	subordinate := filepath.Join(t.TempDir(), "subordinate")
	must(t, os.WriteFile(subordinate, []byte("nobody:200000:65536\n"), 0o644))
	asNobody := `mount --bind "$0" /etc/subuid && mount --bind "$0" /etc/subgid && (umount -l /sys/fs/cgroup/unified 2>/dev/null || :) && exec setpriv --reuid 65534 --regid 65534 --clear-groups "$@"`
	outer := []string{"unshare", "--user", "--map-root-user", "--map-auto"}
	for _, tt := range []struct {
		runtime string
		outer   []string
		host    Host
		maps    string
	}{
		{"crun", nil, Host{EUID: nobody, EGID: nobody, Subordinate: func() (uids, gids IDRange) { return IDRange{1, 200000, 65536}, IDRange{1, 200000, 65536} }}, "     65534      65534          1\n"},
		{"runc", outer, Host{UserNamespace: true, UIDMap: []IDRange{{0, nobody, 1}, {1, 200000, 65535}}, GIDMap: []IDRange{{0, nobody, 1}, {1, 200000, 65535}}}, "     65534          0          1\n"},
	} {
		t.Run(tt.runtime, func(t *testing.T) {
			if err := exec.Command("unshare", append([]string{"--mount", "sh", "-c", asNobody, subordinate}, append(outer, tt.runtime, "--version")...)...).Run(); err != nil {
				t.Skipf("needs setpriv, unshare, newuidmap and %s: %v", tt.runtime, err)
			}
			bundle := busybox(t)
			give(t, bundle, nobody)
			rootfs, err := OpenRootfs(filepath.Join(bundle, "rootfs"))
			must(t, err)
			img, err := ParseImage([]byte(`{"config":{"Env":["PATH=/bin"]}}`))
			must(t, err)
			res, err := Generate(Input{Image: img, Root: "rootfs", Rootfs: rootfs, Host: &tt.host, Rootless: true, Force: true}, Options{
				ProcessOptions:   ProcessOptions{Args: []string{"sh", "-c", "id -u; cat /proc/self/uid_map; touch /kept; ls -ln /kept"}},
				NamespaceOptions: NamespaceOptions{Userns: "keep-id"},
			})
			must(t, err)
			must(t, rootfs.Close())
			must(t, os.WriteFile(filepath.Join(bundle, "config.json"), res.Document.Bytes(), 0o644))
			words := append([]string{"--mount", "sh", "-c", asNobody, subordinate}, tt.outer...)
			words = append(words, tt.runtime, "--root", filepath.Join(bundle, "state"), "run", "--bundle", bundle, fmt.Sprintf("keep-%d", os.Getpid()))
			cmd := exec.CommandContext(t.Context(), "unshare", words...)
			cmd.Env = append(os.Environ(), "XDG_RUNTIME_DIR="+bundle)
			out, err := cmd.CombinedOutput()
			for _, want := range []string{"65534\n", tt.maps, " 65534    65534 "} {
				if err != nil || !strings.Contains(string(out), want) {
					t.Errorf("no %q (%v):\n%s", want, err, out)
				}
			}
		})
	}
}
