package cli

import "github.com/urfave/cli/v2"

// The flag types, so that only this package knows the library behind them.
type (
	// Flag is any of the types below.
	Flag = cli.Flag
	// BoolFlag is on or off.
	BoolFlag = cli.BoolFlag
	// StringFlag takes one word.
	StringFlag = cli.StringFlag
	// StringSliceFlag may be repeated; commas do not split.
	StringSliceFlag = cli.StringSliceFlag
	// IntFlag takes an integer.
	IntFlag = cli.IntFlag
	// Int64Flag takes a 64-bit integer.
	Int64Flag = cli.Int64Flag
	// UintFlag takes an unsigned integer.
	UintFlag = cli.UintFlag
	// DurationFlag takes a duration such as 30s, or a number of seconds.
	DurationFlag = cli.DurationFlag
	// GenericFlag takes a word that its Value parses.
	GenericFlag = cli.GenericFlag
)

// Common returns the flags that all six tools share.
func Common() []Flag {
	return []Flag{
		&BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "print errors only"},
		&BoolFlag{Name: "verbose", Aliases: []string{"v"}, Usage: "print more detail; repeat for still more", Count: new(int)},
		&StringFlag{Name: "log-format", Usage: "messages on stderr as `FORMAT`: text or json", Value: "text"},
		&StringFlag{Name: "color", Usage: "colour on stderr: `WHEN` is auto, always or never", Value: "auto"},
		&BoolFlag{Name: "json", Usage: "print records as JSON objects"},
		&BoolFlag{Name: "null", Aliases: []string{"0"}, Usage: "end records with NUL, not newline, in and out"},
		&BoolFlag{Name: "dry-run", Aliases: []string{"n"}, Usage: "print the steps as a runnable sh script, and change nothing"},
		&BoolFlag{Name: "explain", Aliases: []string{"x"}, Usage: "print each step as the command a person would type, with the reason"},
		&BoolFlag{Name: "step", Usage: "with --explain: wait for Enter on the terminal before each step"},
		&StringFlag{Name: "root", Usage: "state directory `DIR`", EnvVars: []string{"OCI_ROOT"}, DefaultText: "/var/lib/oci-plumbing, or $XDG_DATA_HOME/oci-plumbing"},
		&BoolFlag{Name: "version", Usage: "print the version"},
		&BoolFlag{Name: "help", Aliases: []string{"h"}, Usage: "print this help"},
	}
}
