package spec

import (
	"fmt"
	"strings"
)

// Severity says how bad a finding is.
type Severity string

// The severities.
const (
	// SeverityError is what a runtime refuses, or what cannot be meant.
	SeverityError Severity = "error"
	// SeverityWarning is what may fail, or does less than it seems.
	SeverityWarning Severity = "warning"
)

// Layer says which of the four checks a finding comes from.
type Layer string

// The layers.
const (
	// LayerSchema is the JSON schema of the runtime-spec.
	LayerSchema Layer = "schema"
	// LayerRule are rules that the schema lacks.
	LayerRule Layer = "rule"
	// LayerRuntime is what the chosen runtime says it can do.
	LayerRuntime Layer = "runtime"
	// LayerHost is this machine and the caller on it.
	LayerHost Layer = "host"
)

// Finding is one thing to object.
type Finding struct {
	// Pointer is the JSON pointer of the value, "" for the whole document.
	Pointer  string   `json:"pointer"`
	Severity Severity `json:"severity"`
	Layer    Layer    `json:"layer"`
	// Message is the cause, Cure what to do; it may be empty.
	Message string `json:"message"`
	Cure    string `json:"cure,omitempty"`
}

// String is the finding on one line.
func (f Finding) String() string {
	at := f.Pointer
	if at == "" {
		at = "/"
	}
	text := fmt.Sprintf("%s: %s: %s", f.Severity, at, f.Message)
	if f.Cure != "" {
		text += " (" + f.Cure + ")"
	}
	return text
}

// CheckOptions say what to check a document against.
type CheckOptions struct {
	// Bundle is the directory that a relative root.path starts from; "" when
	// there is none, then nothing is looked up in the rootfs.
	Bundle string
	// Host are the facts of the machine it is to run on; nil for those of
	// ThisHost.
	Host *Host
	// Features is the output of "RUNTIME features"; nil when the runtime has
	// no such command.
	Features []byte
	// SystemdCgroup says that the runtime is told to use systemd for cgroups.
	SystemdCgroup bool
	// NoSchema leaves out the schema.
	NoSchema bool
}

// checker collects the findings of the rules.
type checker struct {
	doc      *Document
	opt      CheckOptions
	host     *Host
	layer    Layer
	findings []Finding
}

// Check looks for what is wrong with a document: by the schema, by rules that
// the schema lacks, by the features of the runtime, and on this host. It
// returns an error only when the features cannot be read.
func Check(doc *Document, opt CheckOptions) ([]Finding, error) {
	c := &checker{doc: doc, opt: opt, host: opt.Host}
	if c.host == nil {
		c.host = ThisHost()
	}
	if !opt.NoSchema {
		found, err := checkSchema(doc)
		if err != nil {
			return nil, err
		}
		c.findings = found
	}
	c.layer = LayerRule
	c.rules()
	c.layer = LayerRuntime
	if err := c.features(); err != nil {
		return nil, err
	}
	c.layer = LayerHost
	c.onHost()
	return c.findings, nil
}

// fail adds an error, warn a warning.
func (c *checker) fail(at []string, cure, format string, args ...any) {
	c.add(SeverityError, at, cure, format, args...)
}

func (c *checker) warn(at []string, cure, format string, args ...any) {
	c.add(SeverityWarning, at, cure, format, args...)
}

func (c *checker) add(severity Severity, at []string, cure, format string, args ...any) {
	c.findings = append(c.findings, Finding{
		Pointer: pointer(at...), Severity: severity, Layer: c.layer, Message: fmt.Sprintf(format, args...), Cure: cure,
	})
}

// keys splits a path of plain keys, process/args/0.
func keys(path string) []string { return strings.Split(path, "/") }
