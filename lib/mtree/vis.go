package mtree

import "github.com/vbatts/go-mtree/pkg/govis"

// visFlags are the DefaultVisFlags of go-mtree. Naming them here saves what that
// package imports and initialises at each start; a test compares the two.
const visFlags = govis.VisWhite | govis.VisOctal | govis.VisGlob

// encode makes a name one word of the manifest. Most names need no encoding,
// and then cost no allocation.
func encode(name string) string {
	for i := range len(name) {
		if !verbatim(name[i]) {
			// Only unknown flags are an error.
			encoded, _ := govis.Vis(name, visFlags)
			return encoded
		}
	}
	return name
}

func verbatim(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
		c == '.' || c == '-' || c == '_' || c == '+' || c == '/' || c == ':' || c == '@' || c == ','
}

// decode is the inverse of encode.
func decode(word string) (string, error) {
	for i := range len(word) {
		if word[i] == '\\' {
			return govis.Unvis(word, visFlags)
		}
	}
	return word, nil
}
