package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/oci-plumbing/oci-plumbing/scripts/internal/measure"
)

// contender is one way to do a task. The first of a task is ours.
type contender struct {
	name string
	// limit tells that it is not a peer: it does less than the task.
	limit bool
	// most is how often it runs at most; 0 is no bound.
	most int
	// needs are the programs without which the contender is left out.
	needs []string
	// calls: it is the runtime itself, without which it is left out.
	calls bool
	// prepare runs before the clock starts; may be nil.
	prepare func(r *run) error
	// argv is what is measured; it runs in r.work.
	argv func(r *run) []string
	// env is added to the environment.
	env []string
	// result is compared with that of the others; nil when there is nothing
	// to compare.
	result func(r *run) (string, error)
	// cleanup runs after the clock has stopped; may be nil.
	cleanup func(r *run) error
}

// task is something to be measured.
type task struct {
	name   string
	why    string
	images []string
	// huge are images that are measured only when asked for.
	huge []string
	// fresh gives each run a new file system.
	fresh      bool
	contenders []contender
}

// run is one run of one contender.
type run struct {
	bench  *bench
	layout string // of the image
	work   string // an empty directory
}

func (r *run) bin(tool string) string { return filepath.Join(r.bench.bin, tool) }

// shell is a pipeline that fails when any of its commands fails.
func shell(script string, args ...string) []string {
	return append([]string{"bash", "-euo", "pipefail", "-c", script, "bench"}, args...)
}

func tree(sub string) func(*run) (string, error) {
	return func(r *run) (string, error) { return treeDigest(filepath.Join(r.work, sub), true) }
}

var tasks = []task{
	{
		name: "unpack", why: "image to bundle with rootfs and manifest", images: []string{"tiny", "one", "big", "big-zstd", "many"}, huge: []string{"deep", "single"}, fresh: true,
		contenders: []contender{
			{
				name:   "oci-unpack",
				argv:   func(r *run) []string { return []string{r.bin("oci-unpack"), "-q", r.layout + ":t", "b"} },
				result: tree("b/rootfs"),
			},
			{
				name: "umoci", needs: []string{"umoci"},
				argv:   func(r *run) []string { return []string{"umoci", "unpack", "--image", r.layout + ":t", "b"} },
				result: tree("b/rootfs"),
			},
			{
				name: "gzip|tar", needs: []string{"gzip", "tar"},
				argv: func(*run) []string {
					return shell(`mkdir rootfs; for l in $(cat "$1"); do $(case $l in *.zst) echo zstd;; *) echo gzip;; esac) -dc <"${l%.*}" | tar -xpf - -C rootfs --numeric-owner --delay-directory-restore; done`, "layers")
				},
				prepare: listLayers,
			},
			decompressed(),
		},
	},
	{
		name: "copy-oci", why: "layout to layout, every blob verified", images: []string{"tiny", "big"}, fresh: true,
		contenders: []contender{
			{name: "oci-copy", argv: func(r *run) []string { return []string{r.bin("oci-copy"), "-q", "oci:" + r.layout + ":t", "oci:dst:t"} }, result: copied},
			skopeo("oci:dst:t", copied),
			digested(),
		},
	},
	{
		name: "copy-oci-archive", why: "layout to oci-archive", images: []string{"tiny", "big"}, fresh: true,
		contenders: []contender{
			{name: "oci-copy", argv: func(r *run) []string {
				return []string{r.bin("oci-copy"), "-q", "oci:" + r.layout + ":t", "oci-archive:dst.tar:t"}
			}, result: ociArchive},
			skopeo("oci-archive:dst.tar:t", ociArchive),
			digested(),
		},
	},
	{
		name: "copy-docker-archive", why: "layout to docker-archive, decompressed", images: []string{"tiny", "big"}, fresh: true,
		contenders: []contender{
			{name: "oci-copy", argv: func(r *run) []string {
				return []string{r.bin("oci-copy"), "-q", "oci:" + r.layout + ":t", "docker-archive:dst.tar:x:t"}
			}, result: dockerArchive},
			skopeo("docker-archive:dst.tar:x:t", dockerArchive),
			decompressed(),
		},
	},
	{
		name: "copy-registry", why: "loopback registry to layout", images: []string{"tiny", "big"}, fresh: true,
		contenders: []contender{
			{name: "oci-copy", prepare: pushed, argv: func(r *run) []string {
				return []string{r.bin("oci-copy"), "-q", "--src-tls-verify=false", "docker://" + r.bench.registry + "/" + filepath.Base(r.layout) + ":t", "oci:dst:t"}
			}, result: copied},
			{name: "skopeo", needs: []string{"skopeo"}, prepare: pushed, argv: func(r *run) []string {
				return []string{"skopeo", "--insecure-policy", "copy", "-q", "--src-tls-verify=false", "docker://" + r.bench.registry + "/" + filepath.Base(r.layout) + ":t", "oci:dst:t"}
			}, result: copied},
			digested(),
		},
	},
	{
		name: "mount-warm", why: "cached image to mounted rootfs", images: []string{"tiny", "one"}, fresh: true,
		contenders: []contender{
			{
				name:    "oci-mount",
				prepare: func(r *run) error { return r.do(r.bin("oci-mount"), "-q", "--root", "s", r.layout+":t", "first") },
				argv:    func(r *run) []string { return []string{r.bin("oci-mount"), "-q", "--root", "s", r.layout + ":t", "b"} },
				result:  ourMount,
				cleanup: func(r *run) error {
					return r.do(r.bin("oci-mount"), "-q", "--root", "s", "--umount", "b", "first")
				},
			},
			buildah(`c=$(buildah $O from "$1"); buildah $O mount "$c" >where`, true),
			started(),
		},
	},
	{
		name: "mount-cold", why: "image to mounted rootfs, empty cache", images: []string{"tiny", "one", "big"}, fresh: true,
		contenders: []contender{
			{
				name:    "oci-mount",
				argv:    func(r *run) []string { return []string{r.bin("oci-mount"), "-q", "--root", "s", r.layout + ":t", "b"} },
				result:  ourMount,
				cleanup: func(r *run) error { return r.do(r.bin("oci-mount"), "-q", "--root", "s", "--umount", "b") },
			},
			buildah(`c=$(buildah $O from "$1"); buildah $O mount "$c" >where`, false),
		},
	},
	{
		name: "mount-100", why: "100 mounts of a cached image made and removed, all at once", images: []string{"tiny"}, fresh: true,
		contenders: []contender{
			{
				name: "oci-mount",
				prepare: func(r *run) error {
					return r.script(`"$1/oci-mount" -q --root s "$2:t" first; "$1/oci-mount" -q --root s --umount first`, r.bench.bin, r.layout)
				},
				argv: func(r *run) []string {
					return shell(atOnce+`one() { "$1/oci-mount" -q --root s "$2:t" "b$3" && "$1/oci-mount" -q --root s --rm "b$3"; }; at_once "$@"`, r.bench.bin, r.layout)
				},
			},
			{
				name: "buildah", needs: []string{"buildah"}, env: []string{buildahOptions}, most: 1,
				prepare: buildah("", true).prepare,
				argv: func(*run) []string {
					return shell(atOnce + `one() { c=$(buildah $O from localhost/warm) && buildah $O mount "$c" >/dev/null && buildah $O rm "$c" >/dev/null; }; at_once - -`)
				},
				cleanup: func(r *run) error { return r.script(`export ` + buildahExport + `; buildah $O rm -a >/dev/null`) },
			},
		},
	},
	{
		name: "forget", why: "oci-mount --gc of a cached layer of 60,000 files", images: []string{"wide"}, fresh: true,
		contenders: []contender{
			{name: "erofs", prepare: cachedAs("erofs"), argv: collect, result: emptied},
			{name: "directories", prepare: cachedAs("dir"), argv: collect, result: emptied},
		},
	},
	{
		name: "commit-mount", why: "100 changed files, copy-on-write bundle", images: []string{"big"}, fresh: true,
		contenders: []contender{
			{
				name: "oci-commit",
				prepare: func(r *run) error {
					return r.script(`"$1/oci-mount" -q --root s "$2:t" b; cp -a "$2" dst`+change, r.bench.bin, r.layout, "b/rootfs")
				},
				argv:    func(r *run) []string { return []string{r.bin("oci-commit"), "-q", "b", "oci:dst:new"} },
				result:  topLayer,
				cleanup: func(r *run) error { return r.do(r.bin("oci-mount"), "-q", "--root", "s", "--umount", "b") },
			},
			umociRepack(),
			{
				name: "buildah commit", needs: []string{"buildah"}, env: []string{buildahOptions},
				prepare: func(r *run) error {
					return r.script(`export `+buildahExport+`; cp -a "$2" dst; c=$(buildah $O from "oci:$2:t"); echo "$c" >ctr; m=$(buildah $O mount "$c"); set -- "$1" "$2" "$m"`+change, r.bench.bin, r.layout, "")
				},
				argv:    func(*run) []string { return shell(`buildah $O commit -q "$(cat ctr)" oci:dst:new`) },
				result:  topLayer,
				cleanup: func(r *run) error { return r.script(`export ` + buildahExport + `; buildah $O rm -a >/dev/null`) },
			},
		},
	},
	{
		name: "commit-unpack", why: "100 changed files, unpacked bundle", images: []string{"big"}, fresh: true,
		contenders: []contender{
			{
				name: "oci-commit",
				prepare: func(r *run) error {
					return r.script(`"$1/oci-unpack" -q "$2:t" b; cp -a "$2" dst`+change, r.bench.bin, r.layout, "b/rootfs")
				},
				argv:   func(r *run) []string { return []string{r.bin("oci-commit"), "-q", "b", "oci:dst:new"} },
				result: topLayer,
			},
			umociRepack(),
		},
	},
	{
		name: "run", why: "/bin/true: mount, genspec, run, remove", images: []string{"busybox"},
		contenders: []contender{
			{
				name: "oci-mount|oci-genspec|oci-run",
				prepare: func(r *run) error {
					return r.script(`"$1/oci-mount" -q --root s "$2:busybox" -- true`, r.bench.bin, r.layout)
				},
				// podman, too, mounts what --rm will remove as volatile.
				argv: func(r *run) []string {
					return shell(`"$1/oci-mount" -q --volatile --root s "$2:busybox" | "$1/oci-genspec" -q -- /bin/true | "$1/oci-run" --runtime "$3" --rm`, r.bench.bin, r.layout, r.bench.runtime)
				},
			},
			{
				name: "podman", needs: []string{"podman"},
				// The name that podman gives it depends on the path.
				prepare: func(r *run) error {
					return r.script(`layout=$1; shift; "$@" tag "$("$@" pull -q "oci:$layout:busybox")" localhost/bench`, append([]string{r.layout}, r.podman()...)...)
				},
				// podman mounts its store onto itself, and leaves that.
				cleanup: func(r *run) error { return r.script(`umount s/overlay 2>/dev/null || :`) },
				argv: func(r *run) []string {
					return append(r.podman(), "run", "--rm", "--network", "none", "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1000:1000", "localhost"+"/bench", "/bin/true")
				},
			},
			// podman makes these three calls, too.
			{name: "runtime: create, start, delete", limit: true, calls: true, prepare: bundleForRun, argv: func(r *run) []string {
				return shell(`id=bench-$$; "$1" create -b b "$id" && "$1" start "$id" && "$1" delete --force "$id"`, r.bench.runtime)
			}},
		},
	},
	{
		name: "run-bare", why: "what oci-run adds to the runtime's own CPU time", images: []string{"busybox"},
		contenders: []contender{
			{name: "oci-run", prepare: bundleForRun, argv: func(r *run) []string {
				return []string{r.bin("oci-run"), "--runtime", r.bench.runtime, "-b", "b", "--", "/bin/true"}
			}},
			{name: "runtime: run", calls: true, prepare: bundleForRun, argv: runtimeAlone},
		},
	},
	{
		name: "genspec", why: "bundle to config.json", images: []string{"busybox"},
		contenders: []contender{
			{
				name:    "oci-genspec",
				prepare: func(r *run) error { return r.do(r.bin("oci-unpack"), "-q", r.layout+":busybox", "b") },
				argv:    func(r *run) []string { return []string{r.bin("oci-genspec"), "-q", "b", "--", "true"} },
			},
			started(),
		},
	},
	{
		name: "start-copy", why: "--version, twenty times: what each start costs", images: []string{"busybox"},
		contenders: []contender{
			version("oci-copy", func(r *run) string { return r.bin("oci-copy") }),
			version("skopeo", func(*run) string { return "skopeo" }, "skopeo"),
		},
	},
	{
		name: "start-unpack", why: "the same", images: []string{"busybox"},
		contenders: []contender{
			version("oci-unpack", func(r *run) string { return r.bin("oci-unpack") }),
			version("umoci", func(*run) string { return "umoci" }, "umoci"),
		},
	},
}

// version has a program start twenty times: one start is shorter than the
// kernel's clock of CPU time.
func version(name string, path func(*run) string, needs ...string) contender {
	return contender{name: name, needs: needs, argv: func(r *run) []string {
		return shell(`for n in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do "$1" --version; done`, path(r))
	}}
}

// atOnce has one N done for a hundred N at the same time.
const atOnce = `at_once() { pids=; for n in $(seq 100); do one "$1" "$2" "$n" & pids="$pids $!"; done; for p in $pids; do wait "$p"; done; }; `

// cachedAs fills the cache with an image whose layers have the format, and
// which is then gone: a layer is kept as long as a layout refers to it.
func cachedAs(format string) func(*run) error {
	return func(r *run) error {
		return r.script(`cp -a "$2" img; "$1/oci-mount" -q --root s --layer-format "$3" img:t b; "$1/oci-mount" -q --root s --rm b; rm -rf img`, r.bench.bin, r.layout, format)
	}
}

func collect(r *run) []string { return []string{r.bin("oci-mount"), "-q", "--root", "s", "--gc"} }

// ourMount is compared without the times of directories: those that a layer's
// archive leaves out get the time of the extraction from peers.
func ourMount(r *run) (string, error) {
	return treeDigest(filepath.Join(r.work, "b", "rootfs"), false)
}

// decompressed is the limit of whatever needs the bytes in the layers.
func decompressed() contender {
	return contender{
		name: "decompress", limit: true, needs: []string{"gzip"}, prepare: listLayers,
		argv: func(*run) []string {
			return shell(`for l in $(cat "$1"); do $(case $l in *.zst) echo zstd;; *) echo gzip;; esac) -dc <"${l%.*}" >/dev/null; done`, "layers")
		},
	}
}

// started is the limit of whatever is a Go program: one that does nothing.
func started() contender {
	return contender{
		name: "empty Go program", limit: true, needs: []string{"go"},
		prepare: func(r *run) error {
			return r.script(`cd "$1"; test -x empty || { mkdir -p src; printf 'package main\nfunc main() {}\n' >src/main.go; CGO_ENABLED=0 GOFLAGS= go build -trimpath -ldflags '-s -w' -o empty src/main.go; }`, filepath.Dir(r.bench.work))
		},
		argv: func(r *run) []string { return []string{filepath.Join(filepath.Dir(r.bench.work), "empty")} },
	}
}

// runtimeAlone runs a bundle that is ready.
func runtimeAlone(r *run) []string {
	return []string{r.bench.runtime, "run", "-b", "b", fmt.Sprintf("bench%d", os.Getpid())}
}

// digested is the limit of whatever has to verify the blobs.
func digested() contender {
	return contender{name: "sha256sum", limit: true, argv: func(r *run) []string {
		return shell(`sha256sum "$1"/blobs/sha256/* >/dev/null`, r.layout)
	}}
}

// changed is the number of files that change changes.
const changed = 100

const change = `; cd "$3"; find . -type f -size -64k | sort | sed -n 1,100p | while read -r f; do echo changed >>"$f"; done`

// umociRepack is the same commit with umoci.
func umociRepack() contender {
	return contender{
		name: "umoci repack", needs: []string{"umoci"},
		prepare: func(r *run) error {
			return r.script(`umoci unpack --image "$2:t" b; cp -a "$2" dst`+change, r.bench.bin, r.layout, "b/rootfs")
		},
		argv:   func(*run) []string { return []string{"umoci", "repack", "--image", "dst:new", "b"} },
		result: topLayer,
	}
}

func skopeo(dst string, result func(*run) (string, error)) contender {
	return contender{
		name: "skopeo", needs: []string{"skopeo"}, result: result,
		argv: func(r *run) []string {
			return []string{"skopeo", "--insecure-policy", "copy", "-q", "oci:" + r.layout + ":t", dst}
		},
	}
}

const (
	buildahFlags   = "--root s --runroot r --storage-driver overlay"
	buildahOptions = "O=" + buildahFlags
	buildahExport  = "O='" + buildahFlags + "'"
)

// buildah runs the script with the image as $1; warm has it pulled before.
func buildah(script string, warm bool) contender {
	c := contender{
		name: "buildah", needs: []string{"buildah"}, env: []string{buildahOptions}, result: mounted,
		argv:    func(r *run) []string { return shell(script, "oci:"+r.layout+":t") },
		cleanup: func(r *run) error { return r.script(`export ` + buildahExport + `; buildah $O rm -a >/dev/null`) },
	}
	if warm {
		c.prepare = func(r *run) error {
			return r.script(`export `+buildahExport+`; buildah $O pull -q "oci:$1:t" >name; buildah $O tag "$(cat name)" localhost/warm`, r.layout)
		}
		c.argv = func(*run) []string { return shell(script, "localhost"+"/warm") }
	}
	return c
}

func (r *run) podman() []string {
	return []string{"podman", "--root", "s", "--runroot", "r", "--cgroup-manager", "cgroupfs", "--runtime", r.bench.runtime}
}

func bundleForRun(r *run) error {
	return r.script(`"$1/oci-unpack" -q "$2:busybox" b; "$1/oci-genspec" -q b -- /bin/true >/dev/null`, r.bench.bin, r.layout)
}

// listLayers writes the paths of the layers' blobs, with a suffix that tells
// the compression, into the file "layers".
func listLayers(r *run) error {
	img, err := readManifest(r.layout)
	if err != nil {
		return err
	}
	var b strings.Builder
	for _, l := range img.Layers {
		suffix := ".gz"
		if strings.HasSuffix(l.MediaType, "zstd") {
			suffix = ".zst"
		}
		fmt.Fprintln(&b, filepath.Join(r.layout, "blobs", "sha256", l.Digest.Encoded())+suffix)
	}
	return os.WriteFile(filepath.Join(r.work, "layers"), []byte(b.String()), 0o600)
}

// pushed puts the image into the loopback registry, once.
func pushed(r *run) error {
	name := filepath.Base(r.layout)
	if r.bench.pushed[name] {
		return nil
	}
	if err := r.bench.startRegistry(); err != nil {
		return err
	}
	if err := r.do(r.bin("oci-copy"), "-q", "--dest-tls-verify=false", "oci:"+r.layout+":t", "docker://"+r.bench.registry+"/"+name+":t"); err != nil {
		return err
	}
	r.bench.pushed[name] = true
	return nil
}

func (r *run) do(argv ...string) error {
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir = r.work
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(argv, " "), err, measure.Tail(string(out), 2000))
	}
	return nil
}

func (r *run) script(text string, args ...string) error { return r.do(shell(text, args...)...) }
