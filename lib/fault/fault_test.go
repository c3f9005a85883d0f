package fault

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestKindSurvivesWrapping(t *testing.T) {
	base := fs.ErrNotExist
	err := fmt.Errorf("outer: %w", Hint(As(ErrNotFound, fmt.Errorf("inner: %w", base)), "do %s", "this"))
	if Kind(err) != ErrNotFound || !errors.Is(err, base) {
		t.Errorf("Kind(%v) = %v", err, Kind(err))
	}
	if err.Error() != "outer: inner: file does not exist" {
		t.Errorf("message is %q", err)
	}
	if got := Kind(errors.New("plain")); got != nil {
		t.Errorf("Kind of a plain error = %v", got)
	}
}

func TestTheKindNearestToTheCauseWins(t *testing.T) {
	err := As(ErrTemporary, fmt.Errorf("read: %w", Refused("bad digest")))
	if Kind(err) != ErrRefused {
		t.Errorf("Kind = %v, want refused", Kind(err))
	}
}

func TestHintsAreInOrder(t *testing.T) {
	err := Hint(errors.Join(Hint(errors.New("a"), "one"), Hint(errors.New("b"), "two")), "three")
	if diff := cmp.Diff([]string{"one", "two", "three"}, Hints(err)); diff != "" {
		t.Errorf("Hints (-want +got):\n%s", diff)
	}
	if Hint(nil, "x") != nil || As(ErrUsage, nil) != nil || WithStatus(125, nil) != nil || Exit(0) != nil {
		t.Error("a nil error did not stay nil")
	}
}

func TestHintForWhatTheKernelSaid(t *testing.T) {
	full := fmt.Errorf("write a file: %w", syscall.ENOSPC)
	if got := Hints(full); len(got) != 1 || !strings.Contains(got[0], "df -i") {
		t.Errorf("Hints of a full disk = %q", got)
	}
	if got := Hints(Hint(full, "own")); !slices.Equal(got, []string{"own"}) {
		t.Errorf("Hints beside an own one = %q", got)
	}
	if got := Hints(syscall.ENOENT); got != nil {
		t.Errorf("Hints of a missing file = %q", got)
	}
}

func TestSeveralFailuresStandApart(t *testing.T) {
	a, b := Hint(errors.New("a"), "one"), NotFound("b")
	several := Several(nil, a, nil, b)
	if len(Split(several)) != 2 || Kind(several) != ErrNotFound || several.Error() != "a\nb" {
		t.Errorf("Several = %v of kind %v, splits into %d", several, Kind(several), len(Split(several)))
	}
	if Several(nil, nil) != nil || Several(nil, a) != a || len(Split(a)) != 1 {
		t.Error("less than two failures did not stay what they are")
	}
}
