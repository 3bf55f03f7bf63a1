package graph

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
	"time"
	"unicode/utf8"
)

// The functions here append what encoding/json would have written, byte by byte:
// also its escapes for HTML, and its marks for bytes that are no UTF-8.

const hexDigits = "0123456789abcdef"

// plainByte holds the ASCII that stands for itself inside a JSON string.
var plainByte = func() (plain [utf8.RuneSelf]bool) {
	for c := ' '; c < utf8.RuneSelf; c++ {
		plain[c] = c != '"' && c != '\\' && c != '<' && c != '>' && c != '&'
	}
	return plain
}()

func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			if plainByte[c] {
				i++
				continue
			}
			b = append(b, s[from:i]...)
			b = appendEscaped(b, c)
			i++
			from = i
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			b = append(append(b, s[from:i]...), `\ufffd`...)
			from = i + size
		case r == '\u2028' || r == '\u2029': // line ends to JavaScript
			b = append(append(b, s[from:i]...), `\u202`...)
			b = append(b, hexDigits[r&0xf])
			from = i + size
		}
		i += size
	}
	return append(append(b, s[from:]...), '"')
}

func appendEscaped(b []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(b, '\\', c)
	case '\b':
		return append(b, '\\', 'b')
	case '\f':
		return append(b, '\\', 'f')
	case '\n':
		return append(b, '\\', 'n')
	case '\r':
		return append(b, '\\', 'r')
	case '\t':
		return append(b, '\\', 't')
	}
	return append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&0xf])
}

func appendFloat(b []byte, f float64) []byte {
	if math.IsInf(f, 0) || math.IsNaN(f) {
		return append(b, "null"...)
	}
	// As in ES6: 1e-7 and 1e21, but 0.000001 and 100000000000000000000.
	if size := math.Abs(f); size != 0 && (size < 1e-6 || size >= 1e21) {
		b = strconv.AppendFloat(b, f, 'e', -1, 64)
		if n := len(b); n >= 4 && b[n-4] == 'e' && (b[n-3] == '-' || b[n-3] == '+') && b[n-2] == '0' {
			b[n-2] = b[n-1]
			b = b[:n-1]
		}
		return b
	}
	return strconv.AppendFloat(b, f, 'f', -1, 64)
}

func appendTime(b []byte, t time.Time) []byte {
	text, err := t.AppendText(append(b, '"'))
	if err != nil {
		return append(b, "null"...)
	}
	return append(text, '"')
}

// appendRaw appends a JSON value without the white space in it. Most values were
// made by encoding/json and are what they should be: to see that costs a tenth
// of doing it again.
func appendRaw(b []byte, raw []byte) []byte {
	if end := compactValue(raw, 0, 0); end == len(raw) {
		return append(b, raw...)
	}
	var compact, escaped bytes.Buffer
	if json.Compact(&compact, raw) != nil {
		return append(b, "null"...)
	}
	json.HTMLEscape(&escaped, compact.Bytes())
	return append(b, escaped.Bytes()...)
}

// deepest is how deep a value may be nested for compactValue to look into it.
const deepest = 100

// compactValue returns where the JSON value at i ends if it has the form that
// encoding/json writes: no white space, nothing that it would escape. Otherwise,
// and for what is no JSON, it returns -1. What it is not sure of is -1 as well.
func compactValue(b []byte, i, depth int) int {
	if i >= len(b) || depth > deepest {
		return -1
	}
	switch c := b[i]; {
	case c == '"':
		return compactString(b, i)
	case c == '{' || c == '[':
		return compactMembers(b, i, depth)
	case c == '-' || '0' <= c && c <= '9':
		return compactNumber(b, i)
	}
	for _, word := range [...]string{"true", "false", "null"} {
		if len(b)-i >= len(word) && string(b[i:i+len(word)]) == word {
			return i + len(word)
		}
	}
	return -1
}

// compactMembers is compactValue of an object or an array.
func compactMembers(b []byte, i, depth int) int {
	object, end := b[i] == '{', b[i]+2 // in ASCII the brackets are two apart
	i++
	if i < len(b) && b[i] == end {
		return i + 1
	}
	for {
		if object {
			if i >= len(b) || b[i] != '"' {
				return -1
			}
			i = compactString(b, i)
			if i < 0 || i >= len(b) || b[i] != ':' {
				return -1
			}
			i++
		}
		i = compactValue(b, i, depth+1)
		switch {
		case i < 0 || i >= len(b):
			return -1
		case b[i] == end:
			return i + 1
		case b[i] != ',':
			return -1
		}
		i++
	}
}

// compactString is compactValue of a string. Escapes but for quotes and
// backslashes, and three-byte characters that begin like U+2028, are left to
// encoding/json.
func compactString(b []byte, i int) int {
	for i++; i < len(b); i++ {
		switch c := b[i]; {
		case c == '"':
			return i + 1
		case c == '\\':
			if i++; i >= len(b) || b[i] != '"' && b[i] != '\\' && b[i] != 'n' {
				return -1
			}
		case c >= utf8.RuneSelf:
			if c == 0xe2 {
				return -1
			}
		case !plainByte[c]:
			return -1
		}
	}
	return -1
}

func compactNumber(b []byte, i int) int {
	if b[i] == '-' {
		i++
	}
	digits := func() bool {
		from := i
		for i < len(b) && '0' <= b[i] && b[i] <= '9' {
			i++
		}
		return i > from
	}
	if i < len(b) && b[i] == '0' {
		i++
	} else if !digits() {
		return -1
	}
	if i < len(b) && b[i] == '.' {
		if i++; !digits() {
			return -1
		}
	}
	if i < len(b) && (b[i] == 'e' || b[i] == 'E') {
		if i++; i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		if !digits() {
			return -1
		}
	}
	return i
}
