package spec

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// processLimits writes rlimits, oomScoreAdj and personality.
func (b *builder) processLimits() error {
	for _, u := range b.opt.Ulimits {
		if u == "host" {
			b.hostLimits()
			continue
		}
		name, limit, err := parseUlimit(u)
		if err != nil {
			return err
		}
		if host, ok := b.host.Limits[name]; ok && limit.Hard > host.Hard && !b.host.HasSysResource {
			return fault.Hint(fmt.Errorf("--ulimit %s: hard limit %s exceeds the caller's %s, and the caller lacks CAP_SYS_RESOURCE",
				u, limitText(limit.Hard), limitText(host.Hard)), "ask for at most %s", limitText(host.Hard))
		}
		b.setLimit(byFlag("--ulimit", u), name, limit)
	}
	if b.opt.OOMScoreAdj != nil {
		score := *b.opt.OOMScoreAdj
		if score < -1000 || score > 1000 {
			return fault.Usage("--oom-score-adj %d is outside -1000 to 1000", score)
		}
		b.doc.set(byFlag("--oom-score-adj", ""), newInt(int64(score)), "process", "oomScoreAdj")
	}
	switch domain := strings.ToUpper(b.opt.Personality); domain {
	case "":
	case "LINUX", "LINUX32":
		b.doc.set(byFlag("--personality", ""), newString(domain), "linux", "personality", "domain")
	default:
		return fault.Usage("--personality %q is neither LINUX nor LINUX32", b.opt.Personality)
	}
	return nil
}

// hostLimits writes the caller's own limits, so that the document does not
// depend on the limits of whoever runs it.
func (b *builder) hostLimits() {
	names := make([]string, 0, len(b.host.Limits))
	for name := range b.host.Limits {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		l := b.host.Limits[name]
		b.setLimit(byFlag("--ulimit", "host"), name, Limit{Soft: l.Hard, Hard: l.Hard})
	}
}

// parseUlimit reads NAME=SOFT[:HARD].
func parseUlimit(u string) (string, Limit, error) {
	key, value, ok := strings.Cut(u, "=")
	name := "RLIMIT_" + strings.TrimPrefix(strings.ToUpper(key), "RLIMIT_")
	if _, known := rlimitNumbers[name]; !ok || !known {
		return "", Limit{}, fault.Usage("--ulimit %q is not NAME=SOFT[:HARD] with a name such as nofile, nproc or core", u)
	}
	softText, hardText, hasHard := strings.Cut(value, ":")
	if !hasHard {
		hardText = softText
	}
	soft, err1 := parseLimit(softText)
	hard, err2 := parseLimit(hardText)
	if err1 != nil || err2 != nil {
		return "", Limit{}, fault.Usage("--ulimit %q: a limit is a number, or -1 for unlimited", u)
	}
	if soft > hard {
		return "", Limit{}, fault.Usage("--ulimit %q: the soft limit exceeds the hard one", u)
	}
	return name, Limit{Soft: soft, Hard: hard}, nil
}

func parseLimit(s string) (uint64, error) {
	if s == "-1" || s == "unlimited" {
		return math.MaxUint64, nil
	}
	return strconv.ParseUint(s, 10, 64)
}

func limitText(l uint64) string {
	if l == math.MaxUint64 {
		return "unlimited"
	}
	return strconv.FormatUint(l, 10)
}

func newLimit(name string, l Limit) *node {
	return newObject(pair("type", newString(name)), pair("hard", newUint(l.Hard)), pair("soft", newUint(l.Soft)))
}

func (b *builder) setLimit(from *Origin, name string, l Limit) {
	list := b.doc.list(from, "process", "rlimits")
	n := newLimit(name, l)
	n.from = from
	for i, item := range list.items {
		if item.member("type").text() == name {
			if !item.equal(n) {
				list.items[i] = n
			}
			return
		}
	}
	list.items = append(list.items, n)
}
