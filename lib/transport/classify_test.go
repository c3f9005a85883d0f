package transport

import (
	"errors"
	"testing"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

func TestClassifyStore(t *testing.T) {
	err := classify(errors.New(`reference "[overlay@/x]nope:latest" does not resolve to an image ID`))
	if !errors.Is(err, fault.ErrNotFound) {
		t.Errorf("an image that is not in the store has the kind %v", fault.Kind(err))
	}
}

// Mirrors do not decide of what kind the failure of a registry is.
func TestMirrorsAreText(t *testing.T) {
	mirror, registry := fault.NotFound("at mirror: nothing"), errors.New("at registry: broken")
	err := classify(&mirrored{error: registry, all: errors.Join(mirror, registry)})
	if fault.Kind(err) != nil || err.Error() != "at mirror: nothing\nat registry: broken" {
		t.Errorf("%v has the kind %v", err, fault.Kind(err))
	}
}
