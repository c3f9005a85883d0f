package spec

import "testing"

// Rules of one system call with one action are alternatives; between actions
// the order counts.
func TestDiffOfSeccompRules(t *testing.T) {
	rules := func(list string) *Document { return parse(t, `{"linux":{"seccomp":{"syscalls":[`+list+`]}}}`) }
	const (
		one   = `{"names":["socket"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":1,"op":"SCMP_CMP_EQ"}]}`
		same  = `{"action":"SCMP_ACT_ALLOW","args":[{"op":"SCMP_CMP_EQ","value":1,"index":0}],"names":["socket"]}`
		two   = `{"names":["socket"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":2,"op":"SCMP_CMP_EQ"}]}`
		other = `{"names":["socket"],"action":"SCMP_ACT_ERRNO","errnoRet":1}`
	)
	for _, tt := range []struct {
		a, b string
		want int
	}{
		{one + "," + two, two + "," + same, 0},
		{one + "," + two + "," + other, two + "," + one + "," + other, 0},
		{one + "," + other, other + "," + one, 1},
		{one, two, 1},
	} {
		if got := Diff(rules(tt.a), rules(tt.b)); len(got) != tt.want {
			t.Errorf("Diff of %s and %s = %v, want %d differences", tt.a, tt.b, got, tt.want)
		}
	}
}
