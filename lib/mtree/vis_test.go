package mtree

import (
	"testing"

	oracle "github.com/vbatts/go-mtree"
)

func TestVisFlags(t *testing.T) {
	if visFlags != oracle.DefaultVisFlags {
		t.Errorf("visFlags = %v, go-mtree's are %v", visFlags, oracle.DefaultVisFlags)
	}
}
