package cli

import (
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// arguments are the words of a command line, taken apart.
type arguments struct {
	// flags are the flags with their values, as the library wants them.
	flags []string
	// operands are what is neither a flag nor behind "--".
	operands []string
	// trailing is what stands behind the first "--"; nil without one.
	trailing []string
}

// permute sorts the words so that flags may stand anywhere. The library stops
// at the first operand (urfave/cli issues 976, 1177), and drops or keeps "--"
// depending on what is before it; so neither reaches it.
//
// A flag that lacks its value is an error here: the library would take the
// next flag, or the separator, for it.
func permute(words []string, flags []Flag) (arguments, error) {
	takes := valueTakers(flags)
	var out arguments
	for i := 0; i < len(words); i++ {
		w := words[i]
		switch {
		case w == "--":
			out.trailing = append([]string{}, words[i+1:]...)
			return out, nil
		case len(w) < 2 || w[0] != '-':
			out.operands = append(out.operands, w)
			continue
		}
		expanded, needsValue, err := expand(w, takes)
		if err != nil {
			return arguments{}, err
		}
		out.flags = append(out.flags, expanded...)
		if !needsValue {
			continue
		}
		i++
		if i >= len(words) || words[i] == "--" {
			return arguments{}, fault.Usage("flag %s needs a value", w)
		}
		// Joined by "=", so that a value that begins with a dash stays one.
		last := len(out.flags) - 1
		out.flags[last] += "=" + words[i]
	}
	return out, nil
}

// expand turns one word into flags of the long or short form, one each, and
// reports whether the last of them still needs its value.
func expand(w string, takes map[string]bool) (flags []string, needsValue bool, err error) {
	name, value, hasValue := strings.Cut(strings.TrimLeft(w, "-"), "=")
	dashes := len(w) - len(strings.TrimLeft(w, "-"))
	if name == "" || dashes > 2 {
		return nil, false, fault.Usage("unknown flag %q", w)
	}
	if taker, known := takes[name]; known {
		flag := "--" + name
		switch {
		case hasValue:
			return []string{flag + "=" + value}, false, nil
		default:
			return []string{flag}, taker, nil
		}
	}
	if dashes == 2 {
		return nil, false, unknown(w, takes)
	}
	return cluster(w, takes)
}

// cluster takes apart -dtb and -n5: letters, of which only the last may take
// a value; what follows that letter in the word is its value.
func cluster(w string, takes map[string]bool) (flags []string, needsValue bool, err error) {
	letters := w[1:]
	for i := range len(letters) {
		name := letters[i : i+1]
		taker, known := takes[name]
		switch rest := letters[i+1:]; {
		case !known:
			return nil, false, unknown(w, takes)
		case !taker:
			flags = append(flags, "--"+name)
		case rest == "":
			return append(flags, "--"+name), true, nil
		default:
			return append(flags, "--"+name+"="+strings.TrimPrefix(rest, "=")), false, nil
		}
	}
	return flags, false, nil
}

func unknown(w string, takes map[string]bool) error {
	err := fault.Usage("unknown flag %q", w)
	name, _, _ := strings.Cut(strings.TrimLeft(w, "-"), "=")
	if near := nearest(name, takes); near != "" {
		return fault.Hint(err, "did you mean --%s?", near)
	}
	return err
}

// valueTakers maps each name and alias to whether it takes a value.
func valueTakers(flags []Flag) map[string]bool {
	takes := make(map[string]bool, 2*len(flags))
	for _, f := range flags {
		_, isBool := f.(*cli.BoolFlag)
		for _, name := range namesOf(f) {
			takes[name] = !isBool
		}
	}
	return takes
}

// nearest finds the known long name with the least edits, two at most.
func nearest(name string, takes map[string]bool) string {
	best, bestEdits := "", 3
	for known := range takes {
		if len(known) < 3 {
			continue
		}
		if n := edits(name, known); n < bestEdits || n == bestEdits && known < best {
			best, bestEdits = known, n
		}
	}
	return best
}

// edits is the Levenshtein distance.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
