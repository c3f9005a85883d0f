package main

import (
	"github.com/oci-plumbing/oci-plumbing/lib/fault"
	"github.com/oci-plumbing/oci-plumbing/lib/spec"
)

// maxFindings bounds what is told about a config: the first ones are the
// cause, the others their company.
const maxFindings = 3

// withFindings adds to the failure of a start what oci-genspec --check objects
// to the config: a runtime stops at the first thing, and tells often only the
// system call that failed, and sometimes nothing. A config that runs is not
// checked.
func (s *starter) withFindings(err error) error {
	if err == nil || programEnded(err) {
		return err
	}
	doc, perr := spec.Parse(s.config.Raw())
	if perr != nil {
		return err
	}
	found, cerr := spec.Check(doc, spec.CheckOptions{Bundle: s.input.bundle})
	if cerr != nil {
		return err
	}
	told := 0
	for _, f := range found {
		if f.Severity == spec.SeverityError && told < maxFindings {
			err = fault.Hint(err, "in the config, %s", f)
			told++
		}
	}
	return err
}
