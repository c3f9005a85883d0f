package idmap

import (
	"errors"
	"testing"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

func TestMapBothWays(t *testing.T) {
	m, err := Parse([]string{"0:1337:65535", "70000:7"})
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ container, host uint32 }{{0, 1337}, {65534, 66871}, {70000, 7}} {
		if got, err := m.ToHost(tc.container); err != nil || got != tc.host {
			t.Errorf("ToHost(%d) = %d, %v, want %d", tc.container, got, err, tc.host)
		}
		if got, err := m.ToContainer(tc.host); err != nil || got != tc.container {
			t.Errorf("ToContainer(%d) = %d, %v, want %d", tc.host, got, err, tc.container)
		}
	}
	for _, id := range []uint32{65535, 70001, MaxID} {
		if got, err := m.ToHost(id); !errors.Is(err, fault.ErrRefused) {
			t.Errorf("ToHost(%d) = %d, %v, want a refusal", id, got, err)
		}
	}
	if got, err := Map(nil).ToHost(MaxID); err != nil || got != MaxID {
		t.Errorf("the empty map is not the identity: %d, %v", got, err)
	}
}

func TestParseRefuses(t *testing.T) {
	for _, words := range [][]string{
		{""},
		{"0"},
		{"0:1:2:3"},
		{"a:1"},
		{"-1:1"},
		{"0:0:0"},
		{"4294967295:0"},
		{"0:4294967295"},
		{"0:1:4294967295"},
		{"4294967296:0"},
		{"0:10:5", "4:100"},
		{"0:10:5", "100:14"},
		{"+0:1"},
		{" 0:1"},
	} {
		if m, err := Parse(words); !errors.Is(err, fault.ErrUsage) {
			t.Errorf("Parse(%q) = %v, %v, want a usage error", words, m, err)
		}
	}
}
