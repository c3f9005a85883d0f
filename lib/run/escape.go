package run

import "unicode/utf8"

const hexDigits = "0123456789abcdef"

// appendEscaped appends the inside of a JSON string, as encoding/json writes
// it. The pages of that package would be most of a megabyte of the monitor.
// Bytes that are not UTF-8 become U+FFFD: JSON has no other way.
func appendEscaped(out, text []byte) []byte {
	for i := 0; i < len(text); {
		if c := text[i]; c < utf8.RuneSelf {
			out = appendASCII(out, c)
			i++
			continue
		}
		r, size := utf8.DecodeRune(text[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			out = append(out, `\ufffd`...)
		case r == '\u2028' || r == '\u2029': // ends of lines to JavaScript
			out = append(out, `\u202`...)
			out = append(out, hexDigits[r&0xf])
		default:
			out = append(out, text[i:i+size]...)
		}
		i += size
	}
	return out
}

func appendASCII(out []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(out, '\\', c)
	case '\b':
		return append(out, `\b`...)
	case '\f':
		return append(out, `\f`...)
	case '\n':
		return append(out, `\n`...)
	case '\r':
		return append(out, `\r`...)
	case '\t':
		return append(out, `\t`...)
	}
	if c >= ' ' && c != '<' && c != '>' && c != '&' {
		return append(out, c)
	}
	return append(out, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&0xf])
}
