package remote

import "strings"

// Quote spells an argument vector as one command line for a POSIX shell. ssh
// joins its arguments with spaces and hands them to the login shell of the
// user, so whatever crosses ssh goes through here, and only through here.
//
// The result means the same to sh, bash, zsh, and fish (which knows backslash
// escapes between single quotes, so none are put there). An argument must not
// contain a NUL byte: no program can be given one.
func Quote(args ...string) string {
	words := make([]string, len(args))
	for i, arg := range args {
		words[i] = word(arg)
		// A plain first word could still be a keyword or an alias ("if",
		// "time"); quoted, or with a slash, it is a program.
		if i == 0 && !strings.Contains(arg, "/") {
			words[i] = quoted(arg)
		}
	}
	return strings.Join(words, " ")
}

// word spells one argument that is not the first.
func word(arg string) string {
	if plain(arg) {
		return arg
	}
	return quoted(arg)
}

func quoted(arg string) string {
	return "'" + strings.NewReplacer("'", `'"'"'`, `\`, `'"\\"'`).Replace(arg) + "'"
}

// plain reports whether no shell sees more than text in s.
func plain(s string) bool {
	for _, c := range []byte(s) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case strings.IndexByte("-_./:,@+", c) >= 0:
		default:
			return false
		}
	}
	return s != ""
}
