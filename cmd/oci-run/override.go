package main

import (
	"fmt"
	"path/filepath"

	"github.com/oci-plumbing/oci-plumbing/lib/run"
	"github.com/oci-plumbing/oci-plumbing/lib/spec"
)

// override applies CMD, --env and --cwd to the config, as oci-genspec would.
func (s *starter) override() error {
	opt := spec.Options{}
	if s.Trailing != nil {
		if len(s.Trailing) == 0 {
			return s.Usage("there is no command behind --")
		}
		opt.Args = s.Trailing
	}
	if opt.WorkDir = s.String("cwd"); opt.WorkDir != "" && !filepath.IsAbs(opt.WorkDir) {
		return s.Usage("--cwd %q is not an absolute path", opt.WorkDir)
	}
	opt.Env = s.StringSlice("env")
	if opt.Args == nil && opt.WorkDir == "" && len(opt.Env) == 0 {
		return nil
	}
	doc, err := spec.Parse(s.config.Raw())
	if err != nil {
		return err
	}
	res, err := spec.Filter(doc, spec.Input{Host: spec.ThisHost()}, opt)
	if err != nil {
		return err
	}
	for _, w := range res.Warnings {
		s.Log.Warn("%s", w)
	}
	changed, err := run.NewConfig(res.Document.Bytes())
	if err != nil {
		return fmt.Errorf("after the flags were applied: %w", err)
	}
	s.config = changed
	return nil
}
