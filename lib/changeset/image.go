package changeset

import (
	"errors"
)

// imageDir is what the image has in a directory. It tells a whole tree what is
// not a runtime's or a volume's own.
type imageDir interface {
	// look reports whether the image has the name, and what it has below.
	look(name string) (there bool, below imageDir, err error)
}

// look makes an imageDir of a set of paths.
func (s *pathSet) look(name string) (bool, imageDir, error) {
	c := s.child(name)
	return c != nil && c.member, c, nil
}

// paths are all that the manifest has.
func (m Manifest) paths() (_ *pathSet, err error) {
	in, err := m.Open()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	r, _, err := newManifestReader(in)
	if err != nil {
		return nil, err
	}
	all := &pathSet{}
	for r.next != nil {
		all.add(r.next.Path)
		if err := r.advance(); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// overlayImage is the image of a mount: its layers, and what was committed from
// its upper since.
type overlayImage struct {
	lower *lowerDir
	old   *snapshotDir
}

func (i *overlayImage) look(name string) (bool, imageDir, error) {
	f, err := i.lower.find(name)
	if err != nil {
		return false, nil, err
	}
	below := &overlayImage{old: i.old.child(name)}
	if f != nil {
		below.lower = f.dir
	}
	if was := i.old.find(name); was != nil {
		return !was.recordedWhiteout(), below, nil
	}
	return f != nil, below, nil
}

// imageHas reports whether the image has the name.
func (p *place) imageHas(name string) (bool, error) {
	if p.image == nil {
		return false, nil
	}
	there, _, err := p.image.look(name)
	return there, err
}

// imageBelow is what the image has below the name, where anybody will ask.
func (p *place) imageBelow(name string) (imageDir, error) {
	if p.image == nil || !p.inVolume && p.volumes.child(name) == nil && p.litter.child(name) == nil {
		return nil, nil
	}
	_, below, err := p.image.look(name)
	return below, err
}

// leavesOut reports whether the name is masked, or new in a volume.
func (p *place) leavesOut(name string) (bool, error) {
	switch {
	case p.mask.holds(name):
		return true, nil
	case !p.inVolume && !p.volumes.holds(name):
		return false, nil
	}
	there, err := p.imageHas(name)
	return !there, err
}
