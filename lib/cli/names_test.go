package cli

import (
	"context"
	"slices"
	"testing"
)

func TestNamedFlagsKeepTheirBehaviour(t *testing.T) {
	var got []any
	c := &Command{
		Name: "oci-x", MaxOperands: 0,
		Flags: []Flag{
			&BoolFlag{Name: "on", Aliases: []string{"o"}}, &StringFlag{Name: "text", Value: "default"}, &StringSliceFlag{Name: "list", Aliases: []string{"l"}},
			&IntFlag{Name: "int"}, &Int64Flag{Name: "int64"}, &UintFlag{Name: "uint"}, &StringFlag{Name: "env", EnvVars: []string{"OCI_TEST_NAMED"}},
		},
		Run: func(_ context.Context, inv *Invocation) error {
			got = append(got, inv.Bool("on"), inv.String("text"), inv.StringSlice("list"), inv.Int("int"), inv.Int64("int64"), inv.Uint("uint"),
				inv.IsSet("text"), inv.IsSet("on"), inv.IsSet("o"), inv.IsSet("env"), inv.Count("verbose"))
			return nil
		},
	}
	t.Setenv("OCI_TEST_NAMED", "x")
	if code := Main(c, []string{"-o", "-l", "a,b", "--list=c\xff", "--int=-1", "--int64", "-2", "--uint", "3", "-vv"}, Stdio{Err: t.Output()}); code != 0 {
		t.Fatalf("Main = %d, want 0", code)
	}
	list, ok := got[2].([]string)
	if !ok || !slices.Equal(list, []string{"a,b", "c\xff"}) {
		t.Errorf("a list = %q, want the commas and each byte kept", got[2])
	}
	got = slices.Delete(got, 2, 3)
	if want := []any{true, "default", -1, int64(-2), uint(3), false, true, true, true, 2}; !slices.Equal(got, want) {
		t.Errorf("values = %v, want %v", got, want)
	}
}
