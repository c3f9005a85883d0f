package confine

import (
	"encoding/json"
	"errors"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// Argument is the one word on the command line of a confined child. A main
// function that sees it alone calls Serve.
const Argument = "--confined-child"

// order is what the child is told, on its standard input.
type order struct {
	// Dir is the directory that it may write, with its identity: a path can
	// be made to lead elsewhere between the parent's look and the child's. It
	// need not be UTF-8, so that JSON holds its bytes.
	Dir    []byte          `json:"dir"`
	Device uint64          `json:"device"`
	Inode  uint64          `json:"inode"`
	Wall   bool            `json:"wall"`
	Job    json.RawMessage `json:"job"`
}

// answer is one line from the child.
type answer struct {
	Message json.RawMessage `json:"message,omitempty"`
	Result  json.RawMessage `json:"result,omitempty"`
	Error   *failure        `json:"error,omitempty"`
}

// failure is an error with its kind, for the way between the processes.
type failure struct {
	Text  string   `json:"text"`
	Kind  string   `json:"kind,omitempty"`
	Hints []string `json:"hints,omitempty"`
}

// kinds are the errors' kinds by name.
func kinds() map[string]error {
	return map[string]error{
		"usage": fault.ErrUsage, "not-found": fault.ErrNotFound,
		"temporary": fault.ErrTemporary, "refused": fault.ErrRefused,
	}
}

func pack(err error) *failure {
	f := &failure{Text: err.Error(), Hints: fault.Hints(err)}
	kind := fault.Kind(err)
	for name, k := range kinds() {
		if errors.Is(kind, k) {
			f.Kind = name
		}
	}
	return f
}

func (f *failure) unpack() error {
	err := errors.New(f.Text)
	if kind := kinds()[f.Kind]; kind != nil {
		err = fault.As(kind, err)
	}
	for _, hint := range f.Hints {
		err = fault.Hint(err, "%s", hint)
	}
	return err
}
