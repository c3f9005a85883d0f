package main

// curve is something that grows.
type curve struct {
	name, why, unit string
	// points are the numbers measured by default, full those that -full
	// adds, and quick those of -quick.
	points, full, quick []int64
	// image makes the layout for n in dir, unless it is there.
	image func(dir string, n int64) error
	// alike tells that one image serves every n.
	alike bool
	// inodes is how many the file system must have for n.
	inodes func(n int64) int64
	ops    []op
}

// op is what is done at each point of a curve.
type op struct {
	name, why string
	// most is the largest number at which it is done; 0 is no bound.
	most int64
	// flat tells that the memory must not grow at all.
	flat bool
	// prepare and cleanup are not measured; either may be nil.
	prepare, cleanup func(*run) error
	argv             func(*run) []string
	// memory replaces the peak of the largest process; may be nil.
	memory func(*run) (int64, error)
}

func (o op) limits() limits {
	l := limits{Wall: linear, CPU: linear, Memory: linear}
	if o.flat {
		l.Memory = constant
	}
	return l
}

// flat makes operations whose memory must stay where it is.
func flat(ops ...op) []op {
	for i := range ops {
		ops[i].flat = true
	}
	return ops
}

var curves = []curve{
	{
		name: "layers", why: "an image of N layers, 10 files in each", unit: "layers",
		points: []int64{1, 3, 10, 30, 60, 120, 250, 500}, quick: []int64{1, 10, 50},
		image: layers, inodes: some,
		ops: []op{copyOp, unpack, mount, remount, commit},
	},
	{
		name: "bare-layers", why: "the same, from archives without entries for directories of a lower layer", unit: "layers",
		points: []int64{1, 3, 10, 30, 60, 120, 250, 499}, quick: []int64{1, 10, 50},
		image: bare, inodes: some,
		ops: []op{unpack, mount, remount},
	},
	{
		name: "files", why: "an image of N files in one layer", unit: "files",
		points: []int64{100, 1_000, 10_000, 30_000, 100_000}, full: []int64{300_000, 1_000_000}, quick: []int64{100, 1_000, 10_000},
		image: files, inodes: func(n int64) int64 { return some(n) + 2*n },
		ops: []op{unpack, check, mount, remount, commit, commitTree},
	},
	{
		name: "size", why: "an image with one file of N bytes, a sixteenth of it noise and the rest zeros", unit: "bytes",
		points: []int64{1e6, 1e7, 1e8, 3e8, 1e9}, full: []int64{3e9, 1e10}, quick: []int64{3e7, 1e8, 3e8},
		image: size, inodes: some,
		ops: flat(copyOp, archive, unpack, check, mount, commitTree),
	},
	{
		name: "containers", why: "N containers of one image, all started at once", unit: "containers",
		points: []int64{1, 2, 5, 10, 20, 50}, full: []int64{100, 200}, quick: []int64{1, 3, 10},
		image: busybox, alike: true, inodes: some,
		ops: []op{startAll, listAll, stopAll},
	},
	{
		name: "tags", why: "a layout of N tags, each of another manifest", unit: "tags",
		points: []int64{1, 10, 100, 1_000, 3_000, 10_000}, quick: []int64{1, 30, 300},
		image: tags, inodes: func(n int64) int64 { return some(n) + 2*n },
		ops: []op{unpack, missing, addTag, commitTag, copyTags},
	},
}

func some(int64) int64 { return 60_000 }

// mounted begins a script that works on a mount of the image.
const mounted = `"$B/oci-mount" -q --root s "$L:t" b; `

func unmount(r *run) error {
	return r.script(`[ ! -e b ] || "$B/oci-mount" -q --root s --umount --all`)
}

var (
	copyOp = op{name: "copy", why: "oci-copy, layout to layout", argv: func(r *run) []string {
		return []string{r.bin("oci-copy"), "-q", "oci:" + r.layout + ":t", "oci:dst:t"}
	}}
	archive = op{name: "archive", why: "oci-copy, layout to oci-archive", argv: func(r *run) []string {
		return []string{r.bin("oci-copy"), "-q", "oci:" + r.layout + ":t", "oci-archive:dst.tar:t"}
	}}
	unpack = op{name: "unpack", why: "oci-unpack", argv: func(r *run) []string {
		return []string{r.bin("oci-unpack"), "-q", r.layout + ":t", "b"}
	}}
	check = op{
		name: "check", why: "oci-unpack --check",
		prepare: func(r *run) error { return r.script(`"$B/oci-unpack" -q "$L:t" b`) },
		argv:    func(r *run) []string { return []string{r.bin("oci-unpack"), "-q", "--check", "b"} },
	}
	mount = op{name: "mount", why: "oci-mount, empty cache", cleanup: unmount, argv: func(r *run) []string {
		return []string{r.bin("oci-mount"), "-q", "--root", "s", r.layout + ":t", "b"}
	}}
	remount = op{
		name: "remount", why: "oci-mount, all layers in the cache", cleanup: unmount,
		prepare: func(r *run) error { return r.script(mounted) },
		argv:    func(r *run) []string { return []string{r.bin("oci-mount"), "-q", "--root", "s", r.layout + ":t", "b2"} },
	}
	commit = op{
		name: "commit", why: "oci-commit of one changed file in a mount", cleanup: unmount,
		prepare: func(r *run) error { return r.script(mounted + `cp -a "$L" dst; echo changed >b/rootfs/changed`) },
		argv:    func(r *run) []string { return []string{r.bin("oci-commit"), "-q", "b", "oci:dst:new"} },
	}
	commitTree = op{
		name: "commit-tree", why: "oci-commit --from scratch of a whole tree",
		prepare: func(r *run) error { return r.script(`"$B/oci-unpack" -q --rootfs-only tree "$L:t"`) },
		argv: func(r *run) []string {
			return []string{r.bin("oci-commit"), "-q", "--from", "scratch", "tree", "oci:dst:new"}
		},
	}
)

var (
	missing = op{name: "missing", why: "oci-unpack of a tag that is not there", argv: func(r *run) []string {
		return r.shell(`s=0; "$B/oci-unpack" -q "$L:absent" b || s=$?; [ $s = 3 ]`)
	}}
	addTag = op{
		name: "add", why: "oci-copy of one more image into the layout",
		prepare: func(r *run) error {
			return r.script(`cp -a "$L" dst; "$B/oci-commit" -q --env NEW=1 --no-history "oci:$L:t" oci:one:t`)
		},
		argv: func(r *run) []string { return []string{r.bin("oci-copy"), "-q", "oci:one:t", "oci:dst:new"} },
	}
	commitTag = op{
		name: "commit", why: "oci-commit of an edited config under one more tag",
		prepare: func(r *run) error { return r.script(`cp -a "$L" dst`) },
		argv: func(r *run) []string {
			return []string{r.bin("oci-commit"), "-q", "--env", "NEW=1", "oci:dst:t", "oci:dst:new"}
		},
	}
	copyTags = op{
		name: "copy-tags", why: "oci-copy --tags of the whole layout", most: 1_000,
		argv: func(r *run) []string {
			return []string{r.bin("oci-copy"), "-q", "--tags", "oci:" + r.layout, "oci:dst"}
		},
	}
)

// startEach starts the containers at once; each line's failure counts.
const startEach = `
prefix=scale$PPID; echo $prefix >prefix
one() { "$B/oci-mount" -q --root s "$L:busybox" "b$1" | "$B/oci-genspec" -q -- sleep 3600 | "$B/oci-run" -q --root s --runtime runc --detach -b - "$prefix-$1" >/dev/null; }
pids=; for i in $(seq "$N"); do one "$i" & pids="$pids $!"; done
for p in $pids; do wait "$p"; done`

const stopEach = `
prefix=$(cat prefix 2>/dev/null || :)
pids=; for i in $(seq "$N"); do [ ! -e "b$i" ] || "$B/oci-run" -q --root s --stop --rm --time 0s "$prefix-$i" & pids="$pids $!"; done
for p in $pids; do wait "$p"; done`

// cached makes the layers of the image, so that not each container does.
func cached(r *run) error {
	return r.script(`"$B/oci-mount" -q --root s "$L:busybox" first; "$B/oci-mount" -q --root s --rm first`)
}

func started(r *run) error {
	if err := cached(r); err != nil {
		return err
	}
	return r.script(startEach)
}

func stopped(r *run) error { return r.script(stopEach) }

var (
	startAll = op{
		name: "start", why: "mount, genspec and run --detach of each; the memory is that of all monitors together",
		prepare: cached, cleanup: stopped, memory: monitors,
		argv: func(r *run) []string { return r.shell(startEach) },
	}
	listAll = op{
		name: "list", why: "oci-run --list", prepare: started, cleanup: stopped,
		argv: func(r *run) []string { return []string{r.bin("oci-run"), "--list"} },
	}
	stopAll = op{
		name: "stop", why: "stop --rm of each, all at once", prepare: started, cleanup: stopped,
		argv: func(r *run) []string { return r.shell(stopEach) },
	}
)
