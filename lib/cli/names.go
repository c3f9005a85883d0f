package cli

import (
	"strings"

	"github.com/urfave/cli/v2"
)

// The flag types of the library work out their names with a regular
// expression at each question, and it asks for all names of all flags once
// per flag: with 150 flags that is 20 000 expressions, and most of the time a
// small tool takes. These ask once.
type (
	namedBool struct {
		*cli.BoolFlag
		names
	}
	namedString struct {
		*cli.StringFlag
		names
	}
	namedStringSlice struct {
		*cli.StringSliceFlag
		names
	}
	namedInt struct {
		*cli.IntFlag
		names
	}
	namedInt64 struct {
		*cli.Int64Flag
		names
	}
	namedUint struct {
		*cli.UintFlag
		names
	}
)

type names struct{ list []string }

func (f namedBool) Names() []string        { return f.list }
func (f namedString) Names() []string      { return f.list }
func (f namedStringSlice) Names() []string { return f.list }
func (f namedInt) Names() []string         { return f.list }
func (f namedInt64) Names() []string       { return f.list }
func (f namedUint) Names() []string        { return f.list }

// namesOf returns the name of the flag and its aliases.
func namesOf(f Flag) []string {
	switch f := f.(type) {
	case *cli.BoolFlag:
		return append([]string{f.Name}, f.Aliases...)
	case *cli.StringFlag:
		return append([]string{f.Name}, f.Aliases...)
	case *cli.StringSliceFlag:
		return append([]string{f.Name}, f.Aliases...)
	case *cli.IntFlag:
		return append([]string{f.Name}, f.Aliases...)
	case *cli.Int64Flag:
		return append([]string{f.Name}, f.Aliases...)
	case *cli.UintFlag:
		return append([]string{f.Name}, f.Aliases...)
	default:
		return f.Names()
	}
}

// needed returns those of the flags that the library has to know for this
// command line: the given ones, and those with a value of their own. It
// answers for any other with the zero value, which is theirs, and setting up
// 150 flags takes it longer than the work of a small tool.
func needed(flags []Flag, given []string) []Flag {
	set := make(map[string]bool, len(given))
	for _, name := range flagNames(given) {
		set[name] = true
	}
	var out []Flag
	for _, f := range flags {
		if set[namesOf(f)[0]] || hasValue(f) {
			out = append(out, f)
		}
	}
	return out
}

// hasValue reports whether the flag is more than zero when it is not given: by
// a default, or by a variable of the environment.
func hasValue(f Flag) bool {
	switch f := f.(type) {
	case *cli.BoolFlag:
		return f.Value || len(f.EnvVars) > 0
	case *cli.StringFlag:
		return f.Value != "" || len(f.EnvVars) > 0
	case *cli.StringSliceFlag:
		return f.Value != nil || len(f.EnvVars) > 0
	case *cli.IntFlag:
		return f.Value != 0 || len(f.EnvVars) > 0
	case *cli.Int64Flag:
		return f.Value != 0 || len(f.EnvVars) > 0
	case *cli.UintFlag:
		return f.Value != 0 || len(f.EnvVars) > 0
	default:
		return true
	}
}

// named returns the flags with their names worked out. The types are embedded,
// not the interface, for the library asks them for further methods.
func named(flags []Flag) []Flag {
	out := make([]Flag, len(flags))
	for i, f := range flags {
		n := names{namesOf(f)}
		switch f := f.(type) {
		case *cli.BoolFlag:
			out[i] = namedBool{f, n}
		case *cli.StringFlag:
			out[i] = namedString{f, n}
		case *cli.StringSliceFlag:
			// With a second name the library copies the list by way of JSON,
			// which turns what is not UTF-8 into U+FFFD. canonical leaves no
			// use of the second name.
			out[i] = namedStringSlice{f, names{n.list[:1]}}
		case *cli.IntFlag:
			out[i] = namedInt{f, n}
		case *cli.Int64Flag:
			out[i] = namedInt64{f, n}
		case *cli.UintFlag:
			out[i] = namedUint{f, n}
		default:
			out[i] = f
		}
	}
	return out
}

// canonical replaces each alias among the flags of a command line by the name
// of its flag: the library refuses a list that is given as -e and as --env.
func canonical(words []string, flags []Flag) []string {
	first := make(map[string]string)
	for _, f := range flags {
		list := namesOf(f)
		for _, name := range list {
			first[name] = list[0]
		}
	}
	out := make([]string, len(words))
	for i, w := range words {
		name, value, hasValue := strings.Cut(strings.TrimPrefix(w, "--"), "=")
		out[i] = "--" + first[name]
		if hasValue {
			out[i] += "=" + value
		}
	}
	return out
}

// flagNames are the names of the flags among canonical words.
func flagNames(given []string) []string {
	list := make([]string, len(given))
	for i, w := range given {
		list[i], _, _ = strings.Cut(strings.TrimPrefix(w, "--"), "=")
	}
	return list
}
