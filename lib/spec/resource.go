package spec

import (
	"fmt"
	"math"
	"math/big"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// units are those of docker's sizes: powers of 1024.
var units = map[string]int64{"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40, "p": 1 << 50}

// parseSize reads 64m, 64MiB, 1.5g, 67108864 or -1 into bytes.
func parseSize(s string) (int64, error) {
	if s == "-1" {
		return -1, nil
	}
	lower := strings.ToLower(s)
	number := strings.TrimRight(lower, "bikmgtp")
	unit := strings.TrimSuffix(strings.TrimSuffix(lower[len(number):], "b"), "i")
	factor, ok := units[unit]
	value, isNumber := parseDecimal(number)
	if !ok || !isNumber {
		return 0, fault.Usage("%q is not a size such as 64m or 1.5g", s)
	}
	value.Mul(value, new(big.Rat).SetInt64(factor))
	bytes := new(big.Int).Quo(value.Num(), value.Denom())
	if !bytes.IsInt64() {
		return 0, fault.Usage("size %q is greater than %d", s, int64(math.MaxInt64))
	}
	return bytes.Int64(), nil
}

// parseDecimal reads digits with a point or without. SetString alone knows
// prefixes, exponents and fractions, which nobody means here.
func parseDecimal(s string) (*big.Rat, bool) {
	if strings.Trim(s, "0123456789.") != "" {
		return nil, false
	}
	return new(big.Rat).SetString(s)
}

// resources writes linux.resources, linux.cgroupsPath and linux.intelRdt.
func (b *builder) resources() error {
	for _, step := range []func() error{b.memory, b.cpu, b.blockIO, b.cgroup} {
		if err := step(); err != nil {
			return err
		}
	}
	if limit := b.opt.PidsLimit; limit != nil {
		if *limit < -1 {
			return fault.Usage("--pids-limit %d is neither -1 nor a number of processes", *limit)
		}
		b.setResource("--pids-limit", newInt(*limit), "pids", "limit")
	}
	if b.opt.RDTClass != "" {
		b.doc.set(byFlag("--rdt-class", ""), newString(b.opt.RDTClass), "linux", "intelRdt", "closID")
	}
	return nil
}

func (b *builder) setResource(name string, value *node, at ...string) {
	b.doc.set(byFlag(name, ""), value, append([]string{"linux", "resources"}, at...)...)
}

func (b *builder) memory() error {
	before, _ := b.doc.get("linux", "resources", "memory", "limit").int()
	for _, f := range []struct{ flag, value, member string }{
		{"--memory", b.opt.Memory, "limit"}, {"--memory-reservation", b.opt.MemoryReservation, "reservation"}, {"--memory-swap", b.opt.MemorySwap, "swap"},
	} {
		if f.value == "" {
			continue
		}
		size, err := parseSize(f.value)
		if err != nil {
			return fmt.Errorf("%s: %w", f.flag, err)
		}
		if size == 0 && f.member == "limit" {
			b.unlimitMemory()
			continue
		}
		b.setResource(f.flag, newInt(size), "memory", f.member)
	}
	if b.opt.Memory != "" && b.opt.MemorySwap == "" {
		b.limitSwap(before)
	}
	memory := b.doc.get("linux", "resources", "memory")
	limit, hasLimit := memory.member("limit").int()
	swap, hasSwap := memory.member("swap").int()
	reservation, hasReservation := memory.member("reservation").int()
	switch {
	case b.opt.MemorySwap != "" && swap > 0 && !hasLimit:
		return fault.Usage("--memory-swap is memory and swap together: it needs --memory, too")
	case hasLimit && hasSwap && swap >= 0 && limit > swap:
		return fault.Usage("memory and swap together, %d, are less than the memory limit %d", swap, limit)
	case hasLimit && hasReservation && limit >= 0 && reservation > limit:
		return fault.Usage("memory reservation %d exceeds the memory limit %d", reservation, limit)
	}
	if s := b.opt.MemorySwappiness; s != nil && *s != -1 {
		if *s < 0 || *s > 100 {
			return fault.Usage("--memory-swappiness %d is outside 0 to 100", *s)
		}
		b.setResource("--memory-swappiness", newInt(int64(*s)), "memory", "swappiness")
	}
	if b.opt.OOMKillDisable {
		b.setResource("--oom-kill-disable", newBool(true), "memory", "disableOOMKiller")
	}
	return nil
}

// unlimitMemory takes the limit away, and that of memory and swap together,
// which means nothing without it.
func (b *builder) unlimitMemory() {
	memory := b.doc.get("linux", "resources", "memory")
	if memory == nil || memory.kind != kindObject {
		return
	}
	memory.drop("limit")
	if swap, ok := memory.member("swap").int(); ok && swap > 0 {
		memory.drop("swap")
	}
	if len(memory.members) == 0 {
		b.doc.remove("linux", "resources", "memory")
	}
}

// limitSwap lets as much be swapped as may stay in memory: without a limit of
// its own, swap would make up for all that the memory limit takes away. A limit
// that somebody chose stays.
func (b *builder) limitSwap(before int64) {
	at := []string{"linux", "resources", "memory", "swap"}
	limit, _ := b.doc.get("linux", "resources", "memory", "limit").int()
	swap, chosen := b.doc.get(at...).int()
	if chosen && swap != 2*before || limit < 1 || limit > math.MaxInt64/2 || !b.host.SwapLimit {
		return
	}
	b.doc.set(derived("memory", "twice the memory limit, as engines have it"), newInt(2*limit), at...)
}

// cpuPeriod is the period that --cpus counts in: 100 ms, the kernel's default.
const cpuPeriod = 100_000

func (b *builder) cpu() error {
	opt := b.opt
	if opt.CPUs != "" {
		if opt.CPUQuota != nil || opt.CPUPeriod != nil {
			return fault.Usage("--cpus and --cpu-period or --cpu-quota exclude each other")
		}
		cpus, ok := parseDecimal(opt.CPUs)
		if !ok {
			return fault.Usage("--cpus %q is not a number of processors", opt.CPUs)
		}
		quota := cpus.Mul(cpus, big.NewRat(cpuPeriod, 1))
		micros := new(big.Int).Quo(quota.Num(), quota.Denom())
		if !micros.IsInt64() || micros.Sign() > 0 && micros.Int64() < 1000 {
			return fault.Usage("--cpus %s is out of range: the least is 0.01", opt.CPUs)
		}
		if micros.Sign() > 0 {
			b.setResource("--cpus", newInt(micros.Int64()), "cpu", "quota")
			b.setResource("--cpus", newInt(cpuPeriod), "cpu", "period")
		}
	}
	for _, f := range []struct {
		flag, member string
		unsigned     *uint64
		signed       *int64
	}{
		{"--cpu-shares", "shares", opt.CPUShares, nil},
		{"--cpu-quota", "quota", nil, opt.CPUQuota},
		{"--cpu-period", "period", opt.CPUPeriod, nil},
		{"--cpu-rt-runtime", "realtimeRuntime", nil, opt.CPURTRuntime},
		{"--cpu-rt-period", "realtimePeriod", opt.CPURTPeriod, nil},
	} {
		switch {
		case f.unsigned != nil:
			b.setResource(f.flag, newUint(*f.unsigned), "cpu", f.member)
		case f.signed != nil:
			b.setResource(f.flag, newInt(*f.signed), "cpu", f.member)
		}
	}
	for _, f := range []struct{ flag, value, member string }{{"--cpuset-cpus", opt.CpusetCPUs, "cpus"}, {"--cpuset-mems", opt.CpusetMems, "mems"}} {
		if f.value == "" {
			continue
		}
		if !isNumberList(f.value) {
			return fault.Usage("%s %q is not a list such as 0-3,7", f.flag, f.value)
		}
		b.setResource(f.flag, newString(f.value), "cpu", f.member)
	}
	return nil
}

// isNumberList reports whether s is a list of numbers and ranges, as the files
// of the cgroup take it: 0-3,7.
func isNumberList(s string) bool {
	for part := range strings.SplitSeq(s, ",") {
		first, last, isRange := strings.Cut(part, "-")
		from, err1 := strconv.ParseUint(first, 10, 16)
		to, err2 := from, error(nil)
		if isRange {
			to, err2 = strconv.ParseUint(last, 10, 16)
		}
		if err1 != nil || err2 != nil || from > to {
			return false
		}
	}
	return true
}

func (b *builder) blockIO() error {
	if w := b.opt.BlkioWeight; w != nil {
		if *w < 10 || *w > 1000 {
			return fault.Usage("--blkio-weight %d is outside 10 to 1000", *w)
		}
		b.setResource("--blkio-weight", newInt(int64(*w)), "blockIO", "weight")
	}
	for _, f := range []struct {
		flag, member, value string
		values              []string
		size                bool
	}{
		{"--blkio-weight-device", "weightDevice", "weight", b.opt.BlkioWeightDevice, false},
		{"--device-read-bps", "throttleReadBpsDevice", "rate", b.opt.DeviceReadBps, true},
		{"--device-write-bps", "throttleWriteBpsDevice", "rate", b.opt.DeviceWriteBps, true},
		{"--device-read-iops", "throttleReadIOPSDevice", "rate", b.opt.DeviceReadIOPS, false},
		{"--device-write-iops", "throttleWriteIOPSDevice", "rate", b.opt.DeviceWriteIOPS, false},
	} {
		for _, v := range f.values {
			device, text, ok := strings.Cut(v, ":")
			if !ok {
				return fault.Usage("%s %q is not DEVICE:%s", f.flag, v, strings.ToUpper(f.value))
			}
			rate, err := strconv.ParseInt(text, 10, 64)
			if f.size {
				rate, err = parseSize(text)
			}
			if err != nil || rate < 0 {
				return fault.Usage("%s %q: %q is not a number", f.flag, v, text)
			}
			if err := b.throttle(f.flag, device, f.member, f.value, rate); err != nil {
				return err
			}
		}
	}
	return nil
}

// throttle sets the rate of a block device in a list of linux.resources.blockIO.
func (b *builder) throttle(name, device, member, value string, rate int64) error {
	var st unix.Stat_t
	if err := unix.Stat(device, &st); err != nil {
		return fmt.Errorf("%s: stat %s: %w", name, device, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFBLK {
		return fault.Usage("%s: %s is not a block device", name, device)
	}
	n := newObject(pair("major", newUint(uint64(unix.Major(st.Rdev)))), pair("minor", newUint(uint64(unix.Minor(st.Rdev)))), pair(value, newInt(rate)))
	n.from = byFlag(name, device)
	list := b.doc.list(n.from, "linux", "resources", "blockIO", member)
	for i, item := range list.items {
		if item.member("major").equal(n.member("major")) && item.member("minor").equal(n.member("minor")) {
			list.items[i] = n
			return nil
		}
	}
	list.items = append(list.items, n)
	return nil
}

// cgroup writes the settings of cgroup v2, and the path of the cgroup. The
// form SLICE:PREFIX:NAME is for a runtime that drives systemd; any other path
// is for one that makes directories.
func (b *builder) cgroup() error {
	for _, c := range b.opt.CgroupConf {
		key, value, ok := strings.Cut(c, "=")
		if !ok || key == "" || strings.Contains(key, "/") {
			return fault.Usage("--cgroup-conf %q is not KEY=VALUE with a file name of cgroup v2", c)
		}
		b.setResource("--cgroup-conf", newString(value), "unified", key)
	}
	parent := b.opt.CgroupParent
	switch {
	case parent == "":
	case strings.HasSuffix(parent, ".slice") && !strings.Contains(parent, "/"):
		b.doc.set(byFlag("--cgroup-parent", "oci-run asks for systemd; by hand: runc --systemd-cgroup"), newString(parent+":oci:"+b.cgroupName("container")), "linux", "cgroupsPath")
	default:
		cleaned := path.Clean("/" + parent)
		if cleaned == "/" {
			return fault.Usage("--cgroup-parent %q is the root", parent)
		}
		b.doc.set(byFlag("--cgroup-parent", "one container at a time: the runtime uses the path as it is"), newString(path.Join(cleaned, b.cgroupName("oci"))), "linux", "cgroupsPath")
	}
	return nil
}

// cgroupName is that of the bundle, if it may be that of a cgroup and of a unit
// of systemd: two containers must not share a cgroup by chance.
func (b *builder) cgroupName(otherwise string) string {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-"
	if name := b.in.Name; name != "" && len(name) <= 128 && strings.Trim(name[:1], "-.") != "" && strings.Trim(name, letters) == "" {
		return name
	}
	return otherwise
}

// dropEmptyResources removes linux.resources when nothing is left in it.
func (b *builder) dropEmptyResources() {
	if r := b.doc.get("linux", "resources"); r != nil && r.kind == kindObject && len(r.members) == 0 {
		b.doc.remove("linux", "resources")
	}
}
