package spec

import "testing"

// Swap follows the memory limit unless somebody has limited it otherwise, or
// the kernel cannot.
func TestSwapFollowsTheMemoryLimit(t *testing.T) {
	for _, tt := range []struct {
		memory, flag string
		host         *Host
		want         string
	}{
		{`{}`, "64m", fixedHost(), `{"limit":67108864,"swap":134217728}`},
		{`{"limit":1048576,"swap":2097152}`, "64m", fixedHost(), `{"limit":67108864,"swap":134217728}`},
		{`{"limit":1048576,"swap":2097153}`, "2m", fixedHost(), `{"limit":2097152,"swap":2097153}`},
		{`{"limit":1048576,"swap":-1}`, "64m", fixedHost(), `{"limit":67108864,"swap":-1}`},
		{`{"limit":1048576,"swap":2097152,"swappiness":1}`, "0", fixedHost(), `{"swappiness":1}`},
		{`{}`, "-1", fixedHost(), `{"limit":-1}`},
		{`{}`, "8191p", fixedHost(), `{"limit":9222246136947933184}`},
		{`{}`, "64m", &Host{}, `{"limit":67108864}`},
	} {
		doc := parse(t, `{"linux":{"resources":{"memory":`+tt.memory+`}}}`)
		res, err := Filter(doc, Input{Host: tt.host}, Options{ResourceOptions: ResourceOptions{Memory: tt.flag}})
		must(t, err)
		if got := res.Document.get("linux", "resources", "memory").compact(); got != tt.want {
			t.Errorf("%s with --memory %s: %s, want %s", tt.memory, tt.flag, got, tt.want)
		}
	}
}
