package registry

import "strings"

// challenge is one of a WWW-Authenticate header (RFC 9110, section 11.6.1).
type challenge struct {
	scheme     string // in lower case
	parameters map[string]string
}

// parseChallenges reads the headers leniently: what is not understood is left
// out, as no credential is sent for it.
func parseChallenges(headers []string) []challenge {
	var all []challenge
	for _, h := range headers {
		for h = strings.TrimSpace(h); h != ""; {
			scheme, rest, _ := strings.Cut(h, " ")
			c := challenge{scheme: strings.ToLower(strings.TrimSuffix(scheme, ",")), parameters: make(map[string]string)}
			h = c.readParameters(strings.TrimLeft(rest, " "))
			all = append(all, c)
		}
	}
	return all
}

// readParameters reads name=value pairs and returns where the next challenge
// begins.
func (c *challenge) readParameters(s string) string {
	for s != "" {
		name, rest, ok := strings.Cut(s, "=")
		name = strings.TrimSpace(name)
		if !ok || name == "" || strings.ContainsAny(name, " ,") {
			return s
		}
		value, after := readValue(rest)
		c.parameters[strings.ToLower(name)] = value
		s = strings.TrimLeft(after, " ,")
	}
	return ""
}

// readValue reads a token or a quoted string.
func readValue(s string) (value, rest string) {
	if !strings.HasPrefix(s, `"`) {
		end := strings.IndexAny(s, ", ")
		if end < 0 {
			return s, ""
		}
		return s[:end], s[end:]
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s):
			i++
			b.WriteByte(s[i])
		case s[i] == '"':
			return b.String(), s[i+1:]
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String(), ""
}
