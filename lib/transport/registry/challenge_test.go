package registry

import (
	"net/url"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseChallenges(t *testing.T) {
	t.Parallel()
	tests := []struct {
		header string
		want   []challenge
	}{
		{`Basic realm="x"`, []challenge{{"basic", map[string]string{"realm": "x"}}}},
		{
			`Bearer realm="https://a.example/token",service="r.example",scope="repository:a:pull,push"`,
			[]challenge{{"bearer", map[string]string{"realm": "https://a.example/token", "service": "r.example", "scope": "repository:a:pull,push"}}},
		},
		{
			`Digest a=b, c="d\"e", Basic realm=x`,
			[]challenge{{"digest", map[string]string{"a": "b", "c": `d"e`}}, {"basic", map[string]string{"realm": "x"}}},
		},
		{`Negotiate`, []challenge{{"negotiate", map[string]string{}}}},
		{`Bearer realm="unterminated`, []challenge{{"bearer", map[string]string{"realm": "unterminated"}}}},
		{``, nil},
	}
	for _, tt := range tests {
		got := parseChallenges([]string{tt.header})
		if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(challenge{})); diff != "" {
			t.Errorf("parseChallenges(%q): %s", tt.header, diff)
		}
	}
}

func FuzzParseChallenges(f *testing.F) {
	f.Add(`Bearer realm="https://a/token",service="r", Basic realm=x`)
	f.Add(`a b=c,,d "e=f\`)
	f.Fuzz(func(_ *testing.T, header string) { parseChallenges([]string{header}) })
}

func TestMayAuthenticate(t *testing.T) {
	t.Parallel()
	tests := []struct {
		realm, origin string
		named         []string
		want          bool
	}{
		{"https://r.example.com/token", "https://r.example.com", nil, true},
		{"https://auth.docker.io/token", "https://registry-1.docker.io", nil, true},
		{"https://auth.docker.io:444/token", "https://registry-1.docker.io", nil, false},
		{"http://auth.docker.io/token", "https://registry-1.docker.io", nil, false},
		{"https://evil.example.net/token", "https://r.example.com", nil, false},
		{"https://a.github.io/token", "https://b.github.io", nil, false}, // a public suffix
		{"https://127.0.0.1:5001/token", "https://127.0.0.1:5000", nil, false},
		{"https://127.0.0.1:5001/token", "https://127.0.0.1:5000", []string{"127.0.0.1:5001"}, true},
		{"https://auth.example.net/token", "https://r.example.com", []string{"auth.example.net"}, true},
		{"https://auth.example.net:8443/token", "https://r.example.com", []string{"auth.example.net"}, false},
		{"http://127.0.0.1:5000/token", "http://127.0.0.1:5000", nil, true},
	}
	for _, tt := range tests {
		realm, err := url.Parse(tt.realm)
		if err != nil {
			t.Fatal(err)
		}
		origin, err := url.Parse(tt.origin)
		if err != nil {
			t.Fatal(err)
		}
		if got := mayAuthenticate(realm, origin, tt.named); got != tt.want {
			t.Errorf("mayAuthenticate(%s, %s, %q) = %t, want %t", tt.realm, tt.origin, tt.named, got, tt.want)
		}
	}
}
