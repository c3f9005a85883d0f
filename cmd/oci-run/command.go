package main

import (
	"context"
	"slices"
	"strings"

	"github.com/oci-plumbing/oci-plumbing/lib/cli"
	"github.com/oci-plumbing/oci-plumbing/lib/run"
)

const name = "oci-run"

func command() *cli.Command {
	return &cli.Command{
		Name:     name,
		Operands: "[ID] [-- CMD [ARG...]] | --list | --wait|--stop|--delete|--logs|--attach ID",
		Summary: "Launches a bundle through an OCI runtime (runc, crun, youki, runsc) and ends with the exit status of " +
			"its program. With an ID the bundle is the current directory or that of -b; without an ID, -b and -c the " +
			"name of the bundle is read from standard input. The container shows in the runtime's own list, exec, " +
			"state, kill and delete.",
		Examples: []cli.Example{
			{Line: "oci-copy docker://busybox oci:store:busybox | oci-mount | oci-genspec -t -- sh | oci-run --rm", Why: "a shell in an image, and nothing left behind"},
			{Line: "cd bundle && oci-run test --detach && runc exec test ps", Why: "in the background; the runtime knows it as test"},
			{Line: "oci-genspec -t -o - bundle -- sh | jq '.hostname=\"lab\"' | oci-run -c - demo", Why: "change the config on its way"},
		},
		Flags:           flags(),
		MaxOperands:     1,
		TrailingCommand: true,
		OwnFailure:      run.StatusFailed,
		OwnSignals:      true,
		Run:             dispatch,
	}
}

func flags() []cli.Flag {
	return slices.Concat(inputFlags(), processFlags(), outputFlags(), verbFlags())
}

func inputFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "bundle", Aliases: []string{"b"}, Usage: "run the bundle `DIR`; - reads its name from standard input"},
		&cli.StringFlag{Name: "config", Aliases: []string{"c"}, Usage: "take the config from `FILE`, - for standard input, not from the bundle"},
		&cli.StringFlag{Name: "runtime", Usage: "use the runtime `NAME|PATH`", EnvVars: []string{"OCI_RUNTIME"}, DefaultText: "runc, crun or youki from PATH, or the pinned runc"},
		&cli.StringSliceFlag{Name: "runtime-arg", Usage: "give the runtime the global argument `ARG`; may be repeated"},
		&cli.BoolFlag{Name: "replace", Usage: "kill and delete the container that has the ID"},
		&cli.BoolFlag{Name: "rm", Usage: "at the end undo what the bundle records: unmount it, delete its changes, and it; with --stop likewise"},
		&cli.StringFlag{Name: "pid-file", Usage: "write the pid of the program's process to `FILE`"},
		&cli.IntFlag{Name: "preserve-fds", Usage: "hand `N` descriptors from 3 on to the program"},
	}
}

func processFlags() []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{Name: "tty", Aliases: []string{"t"}, Usage: "give the program a terminal, whatever the config says"},
		&cli.BoolFlag{Name: "no-tty", Usage: "give it none"},
		&cli.BoolFlag{Name: "stdin", Aliases: []string{"i"}, Usage: "after a record: hand the rest of standard input to the program, not /dev/null"},
		&cli.StringSliceFlag{Name: "env", Aliases: []string{"e"}, Usage: "set `NAME=VALUE` for the program; NAME alone takes the value from here; may be repeated"},
		&cli.StringFlag{Name: "cwd", Usage: "start the program in `DIR` of the container"},
		&cli.BoolFlag{Name: "init", Usage: "put a small init before the program, as pid 1, that passes on signals and reaps orphans"},
		&cli.StringFlag{Name: "stop-signal", Usage: "ask the program to end with `SIGNAL`", DefaultText: "the image's STOPSIGNAL, or TERM"},
		&cli.DurationFlag{Name: "timeout", Usage: "stop the program after `DURATION`: seconds, or such as 1m30s"},
		&cli.DurationFlag{Name: "time", Usage: "wait `DURATION` between the stop signal and KILL", Value: defaultGrace},
	}
}

func outputFlags() []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{Name: "detach", Aliases: []string{"d"}, Usage: "run in the background, watched by a monitor, and print the ID"},
		&cli.StringFlag{Name: "container-log", Usage: "with --detach: output to `FILE`, to none, or to journald", DefaultText: "a file in the directory of run state"},
		&cli.StringFlag{Name: "container-log-format", Usage: "`FORMAT` of the log: raw, written by the program itself; json or cri, written by the monitor", Value: run.LogRaw},
		&cli.Int64Flag{Name: "container-log-size", Usage: "rotate a json or cri log at `BYTES`", Value: defaultLogSize},
		&cli.IntFlag{Name: "container-log-files", Usage: "keep `N` files of a json or cri log", Value: defaultLogFiles},
	}
}

func verbFlags() []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{Name: "wait", Usage: "wait for the end of container ID, and end with its status"},
		&cli.BoolFlag{Name: "stop", Usage: "stop container ID: the stop signal, then KILL; with --rm delete it, and undo its bundle"},
		&cli.BoolFlag{Name: "delete", Usage: "kill container ID and delete all that is known of it, but not its bundle"},
		&cli.BoolFlag{Name: "logs", Usage: "print the log of container ID"},
		&cli.BoolFlag{Name: "follow", Aliases: []string{"f"}, Usage: "with --logs: go on until the container ends"},
		&cli.BoolFlag{Name: "attach", Usage: "connect to container ID and end with its status; Ctrl-P Ctrl-Q leaves it"},
		&cli.BoolFlag{Name: "list", Usage: "list the containers that were started by oci-run, of all runtimes"},
	}
}

// verb is a flag that does something with a container that is there.
type verb struct {
	do func(context.Context, *cli.Invocation) error
	// takes are the flags that go with it.
	takes []string
}

var verbs = map[string]verb{
	"wait":   {do: wait},
	"stop":   {do: stop, takes: []string{"stop-signal", "time", "rm"}},
	"delete": {do: remove},
	"logs":   {do: logs, takes: []string{"follow"}},
	"attach": {do: attach},
	"list":   {do: list},
}

// dispatch finds the one thing that is to be done.
func dispatch(ctx context.Context, inv *cli.Invocation) error {
	var chosen []string
	for name := range verbs {
		if inv.Bool(name) {
			chosen = append(chosen, name)
		}
	}
	slices.Sort(chosen)
	switch {
	case len(chosen) > 1:
		return inv.Usage("--%s exclude each other", strings.Join(chosen, " and --"))
	case len(chosen) == 0:
		return start(ctx, inv)
	case inv.Trailing != nil:
		return inv.Usage("--%s takes no command", chosen[0])
	case chosen[0] != "list" && inv.Operand(0) == "":
		return inv.Usage("--%s needs the ID of a container", chosen[0])
	case chosen[0] == "list" && inv.Operand(0) != "":
		return inv.Usage("--list takes no operand")
	}
	v := verbs[chosen[0]]
	if err := inv.CheckBeside(chosen[0], v.takes...); err != nil {
		return err
	}
	return v.do(ctx, inv)
}
