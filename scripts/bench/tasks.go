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
	// needs are the programs without which the contender is left out.
	needs []string
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
	return func(r *run) (string, error) { return treeDigest(filepath.Join(r.work, sub)) }
}

var tasks = []task{
	{
		name: "unpack", why: "image to bundle with rootfs and manifest", images: []string{"tiny", "one", "big", "big-zstd", "many"}, fresh: true,
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
		},
	},
	{
		name: "copy-oci", why: "layout to layout, every blob verified", images: []string{"tiny", "big"}, fresh: true,
		contenders: []contender{
			{name: "oci-copy", argv: func(r *run) []string { return []string{r.bin("oci-copy"), "-q", "oci:" + r.layout + ":t", "oci:dst:t"} }, result: tree("dst/blobs")},
			skopeo("oci:dst:t", tree("dst/blobs")),
		},
	},
	{
		name: "copy-oci-archive", why: "layout to oci-archive", images: []string{"tiny", "big"}, fresh: true,
		contenders: []contender{
			{name: "oci-copy", argv: func(r *run) []string {
				return []string{r.bin("oci-copy"), "-q", "oci:" + r.layout + ":t", "oci-archive:dst.tar:t"}
			}},
			skopeo("oci-archive:dst.tar:t", nil),
		},
	},
	{
		name: "copy-docker-archive", why: "layout to docker-archive, decompressed", images: []string{"tiny", "big"}, fresh: true,
		contenders: []contender{
			{name: "oci-copy", argv: func(r *run) []string {
				return []string{r.bin("oci-copy"), "-q", "oci:" + r.layout + ":t", "docker-archive:dst.tar:x:t"}
			}},
			skopeo("docker-archive:dst.tar:x:t", nil),
		},
	},
	{
		name: "copy-registry", why: "loopback registry to layout", images: []string{"tiny", "big"}, fresh: true,
		contenders: []contender{
			{name: "oci-copy", prepare: pushed, argv: func(r *run) []string {
				return []string{r.bin("oci-copy"), "-q", "--src-tls-verify=false", "docker://" + r.bench.registry + "/" + filepath.Base(r.layout) + ":t", "oci:dst:t"}
			}, result: tree("dst/blobs")},
			{name: "skopeo", needs: []string{"skopeo"}, prepare: pushed, argv: func(r *run) []string {
				return []string{"skopeo", "--insecure-policy", "copy", "-q", "--src-tls-verify=false", "docker://" + r.bench.registry + "/" + filepath.Base(r.layout) + ":t", "oci:dst:t"}
			}, result: tree("dst/blobs")},
		},
	},
	{
		name: "mount-warm", why: "cached image to mounted rootfs, and away again", images: []string{"tiny", "one"}, fresh: true,
		contenders: []contender{
			{
				name:    "oci-mount",
				prepare: func(r *run) error { return r.do(r.bin("oci-mount"), "-q", "--root", "s", r.layout+":t", "first") },
				argv:    func(r *run) []string { return []string{r.bin("oci-mount"), "-q", "--root", "s", r.layout + ":t", "b"} },
				cleanup: func(r *run) error {
					return r.do(r.bin("oci-mount"), "-q", "--root", "s", "--umount", "b", "first")
				},
			},
			buildah(`c=$(buildah $O from "$1"); buildah $O mount "$c"`, true),
		},
	},
	{
		name: "mount-cold", why: "image to mounted rootfs, empty cache", images: []string{"tiny", "one", "big"}, fresh: true,
		contenders: []contender{
			{
				name:    "oci-mount",
				argv:    func(r *run) []string { return []string{r.bin("oci-mount"), "-q", "--root", "s", r.layout + ":t", "b"} },
				cleanup: func(r *run) error { return r.do(r.bin("oci-mount"), "-q", "--root", "s", "--umount", "b") },
			},
			buildah(`c=$(buildah $O from "$1"); buildah $O mount "$c"`, false),
		},
	},
	{
		name: "commit-mount", why: "100 changed files, copy-on-write bundle", images: []string{"big"}, fresh: true,
		contenders: []contender{
			{
				name: "oci-commit",
				prepare: func(r *run) error {
					return r.script(`"$1/oci-mount" -q --root s "$2:t" b; cp -al --reflink=never "$2" dst 2>/dev/null || cp -a "$2" dst`+change, r.bench.bin, r.layout, "b/rootfs")
				},
				argv:    func(r *run) []string { return []string{r.bin("oci-commit"), "-q", "b", "oci:dst:new"} },
				cleanup: func(r *run) error { return r.do(r.bin("oci-mount"), "-q", "--root", "s", "--umount", "b") },
			},
			umociRepack(),
			{
				name: "buildah commit", needs: []string{"buildah"}, env: []string{buildahOptions},
				prepare: func(r *run) error {
					return r.script(`export `+buildahExport+`; c=$(buildah $O from "oci:$2:t"); echo "$c" >ctr; m=$(buildah $O mount "$c"); set -- "$1" "$2" "$m"`+change, r.bench.bin, r.layout, "")
				},
				argv:    func(*run) []string { return shell(`buildah $O commit -q "$(cat ctr)" oci:dst:new`) },
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
				argv: func(r *run) []string { return []string{r.bin("oci-commit"), "-q", "b", "oci:dst:new"} },
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
				argv: func(r *run) []string {
					return shell(`"$1/oci-mount" -q --root s "$2:busybox" | "$1/oci-genspec" -q -- /bin/true | "$1/oci-run" --runtime runc --rm`, r.bench.bin, r.layout)
				},
			},
			{
				name: "podman", needs: []string{"podman"},
				// The name that podman gives it depends on the path.
				prepare: func(r *run) error {
					return r.script(strings.Join(podman(), " ")+` tag "$(`+strings.Join(podman(), " ")+` pull -q "oci:$1:busybox")" localhost/bench`, r.layout)
				},
				// podman mounts its store onto itself, and leaves that.
				cleanup: func(r *run) error { return r.script(`umount s/overlay 2>/dev/null || :`) },
				argv: func(*run) []string {
					return append(podman(), "run", "--rm", "--network", "none", "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1000:1000", "localhost"+"/bench", "/bin/true")
				},
			},
		},
	},
	{
		name: "run-bare", why: "what oci-run adds to the runtime's own CPU time", images: []string{"busybox"},
		contenders: []contender{
			{name: "oci-run", prepare: bundleForRun, argv: func(r *run) []string {
				return []string{r.bin("oci-run"), "--runtime", "runc", "-b", "b", "--", "/bin/true"}
			}},
			{name: "runc run", needs: []string{"runc"}, prepare: bundleForRun, argv: func(*run) []string { return []string{"runc", "run", "-b", "b", fmt.Sprintf("bench%d", os.Getpid())} }},
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
		},
	},
}

const change = `; cd "$3"; n=0; find . -type f -size -64k | sort | head -100 | while read -r f; do echo changed >>"$f"; done`

// umociRepack is the same commit with umoci.
func umociRepack() contender {
	return contender{
		name: "umoci repack", needs: []string{"umoci"},
		prepare: func(r *run) error {
			return r.script(`umoci unpack --image "$2:t" b; cp -a "$2" dst`+change, r.bench.bin, r.layout, "b/rootfs")
		},
		argv: func(*run) []string { return []string{"umoci", "repack", "--image", "dst:new", "b"} },
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
		name: "buildah", needs: []string{"buildah"}, env: []string{buildahOptions},
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

func podman() []string {
	return []string{"podman", "--root", "s", "--runroot", "r", "--cgroup-manager", "cgroupfs", "--runtime", "runc"}
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
