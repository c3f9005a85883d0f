package spec

import (
	"slices"
	"strconv"
)

// kind is the kind of a JSON value.
type kind uint8

const (
	kindNull kind = iota
	kindBool
	kindNumber
	kindString
	kindArray
	kindObject
)

func (k kind) String() string {
	return [...]string{"null", "a boolean", "a number", "a string", "an array", "an object"}[k]
}

// node is a JSON value. Scalars keep the text they had in the document, so
// that 1e2, 18446744073709551615 and "\u00e9" are written as they were read.
type node struct {
	kind    kind
	literal string
	items   []*node
	members []member
	// index maps keys to places in members once there are many of them.
	index map[string]int
	from  *Origin
}

type member struct {
	key   string
	value *node
}

// indexFrom is the number of members from which an index is kept.
const indexFrom = 16

func newString(s string) *node { return &node{kind: kindString, literal: quoteJSON(s)} }

func newBool(b bool) *node { return &node{kind: kindBool, literal: strconv.FormatBool(b)} }

func newInt(i int64) *node { return &node{kind: kindNumber, literal: strconv.FormatInt(i, 10)} }

func newUint(u uint64) *node { return &node{kind: kindNumber, literal: strconv.FormatUint(u, 10)} }

func newArray(items ...*node) *node { return &node{kind: kindArray, items: items} }

func newStrings(list []string) *node {
	n := newArray()
	for _, s := range list {
		n.items = append(n.items, newString(s))
	}
	return n
}

func newUints(list []uint32) *node {
	n := newArray()
	for _, u := range list {
		n.items = append(n.items, newUint(uint64(u)))
	}
	return n
}

// pair is a member for newObject.
func pair(key string, value *node) member { return member{key, value} }

func newObject(members ...member) *node {
	n := &node{kind: kindObject}
	for _, m := range members {
		n.put(m.key, m.value)
	}
	return n
}

// member returns the value of the key, or nil; also for a nil node and for
// one that is no object.
func (n *node) member(key string) *node {
	if i := n.find(key); i >= 0 {
		return n.members[i].value
	}
	return nil
}

func (n *node) find(key string) int {
	if n == nil {
		return -1
	}
	if n.index != nil {
		if i, ok := n.index[key]; ok {
			return i
		}
		return -1
	}
	return slices.IndexFunc(n.members, func(m member) bool { return m.key == key })
}

// put replaces the value of the key in its place, or adds the member where
// the order of the runtime-spec's structs has it.
func (n *node) put(key string, value *node) {
	if i := n.find(key); i >= 0 {
		n.members[i].value = value
		return
	}
	at := n.placeFor(key)
	n.members = slices.Insert(n.members, at, member{key, value})
	switch {
	case n.index == nil && len(n.members) < indexFrom:
	case n.index != nil && at == len(n.members)-1:
		n.index[key] = at
	default:
		n.reindex()
	}
}

func (n *node) drop(key string) {
	i := n.find(key)
	if i < 0 {
		return
	}
	n.members = slices.Delete(n.members, i, i+1)
	if n.index != nil {
		n.reindex()
	}
}

func (n *node) reindex() {
	n.index = make(map[string]int, len(n.members))
	for i, m := range n.members {
		n.index[m.key] = i
	}
}

// keyOrder is the order in which new members join the objects of a
// config.json; keys that are not in it go to the end. One table serves all
// objects: no two of them disagree.
var keyOrder = func() map[string]int {
	order := make(map[string]int)
	for i, key := range []string{
		"ociVersion", "process", "root", "hostname", "domainname", "mounts", "hooks", "annotations", "linux",
		"terminal", "consoleSize", "user", "args", "commandLine", "env", "cwd", "capabilities", "rlimits", "noNewPrivileges",
		"apparmorProfile", "oomScoreAdj", "scheduler", "selinuxLabel", "ioPriority", "execCPUAffinity",
		"bounding", "effective", "inheritable", "permitted", "ambient",
		"uid", "gid", "umask", "additionalGids",
		"uidMappings", "gidMappings", "sysctl", "resources", "cgroupsPath", "namespaces", "devices", "netDevices",
		"seccomp", "rootfsPropagation", "maskedPaths", "readonlyPaths", "mountLabel", "intelRdt", "memoryPolicy", "personality", "timeOffsets",
	} {
		order[key] = i
	}
	return order
}()

func (n *node) placeFor(key string) int {
	rank, known := keyOrder[key]
	if !known {
		return len(n.members)
	}
	for i := len(n.members); i > 0; i-- {
		if r, ok := keyOrder[n.members[i-1].key]; ok && r < rank {
			return i
		}
	}
	for i, m := range n.members {
		if r, ok := keyOrder[m.key]; ok && r > rank {
			return i
		}
	}
	return len(n.members)
}

// text is the string that the node holds; "" for any other kind.
func (n *node) text() string {
	if n == nil || n.kind != kindString {
		return ""
	}
	return unquoteJSON(n.literal)
}

// texts are the strings of an array.
func (n *node) texts() []string {
	if n == nil {
		return nil
	}
	var list []string
	for _, item := range n.items {
		if item.kind == kindString {
			list = append(list, item.text())
		}
	}
	return list
}

// isTrue reports whether the node is the boolean true.
func (n *node) isTrue() bool { return n != nil && n.kind == kindBool && n.literal == "true" }

// uint is the number as an unsigned integer, when it is one.
func (n *node) uint() (uint64, bool) {
	if n == nil || n.kind != kindNumber {
		return 0, false
	}
	u, err := strconv.ParseUint(n.literal, 10, 64)
	return u, err == nil
}

// int is the number as a signed integer, when it is one.
func (n *node) int() (int64, bool) {
	if n == nil || n.kind != kindNumber {
		return 0, false
	}
	i, err := strconv.ParseInt(n.literal, 10, 64)
	return i, err == nil
}

// each returns the elements of an array, none for any other node.
func (n *node) each() []*node {
	if n == nil {
		return nil
	}
	return n.items
}

// removeItems deletes the elements for which match holds.
func (n *node) removeItems(match func(*node) bool) {
	if n != nil {
		n.items = slices.DeleteFunc(n.items, match)
	}
}

// equal compares values; the order of keys does not matter, and numbers are
// compared by their text.
func (n *node) equal(o *node) bool {
	if n == nil || o == nil {
		return n == o
	}
	if n.kind != o.kind {
		return false
	}
	switch n.kind {
	case kindArray:
		return slices.EqualFunc(n.items, o.items, (*node).equal)
	case kindObject:
		if len(n.members) != len(o.members) {
			return false
		}
		for _, m := range n.members {
			if !m.value.equal(o.member(m.key)) {
				return false
			}
		}
		return true
	case kindString:
		return n.literal == o.literal || n.text() == o.text()
	default:
		return n.literal == o.literal
	}
}

func (n *node) clone() *node {
	if n == nil {
		return nil
	}
	c := &node{kind: n.kind, literal: n.literal, from: n.from}
	for _, item := range n.items {
		c.items = append(c.items, item.clone())
	}
	for _, m := range n.members {
		c.members = append(c.members, member{m.key, m.value.clone()})
	}
	if n.index != nil {
		c.reindex()
	}
	return c
}
