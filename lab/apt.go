package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A source is one archive in the machine's apt sources.
type source struct {
	URI        string
	Suites     []string
	Components []string
	Keyring    string // path, or empty for debootstrap's own
}

// findMirror takes the Debian archive that this machine's apt uses.
// ROOST_LAB_MIRROR is for machines which have none, such as Ubuntu.
func findMirror() (source, error) {
	if uri := os.Getenv("ROOST_LAB_MIRROR"); uri != "" {
		return source{URI: uri}, nil
	}
	files, err := filepath.Glob("/etc/apt/sources.list.d/*")
	if err != nil {
		return source{}, err
	}
	var sources []source
	for _, file := range append([]string{"/etc/apt/sources.list"}, files...) {
		data, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return source{}, fmt.Errorf("apt sources: %w", err)
		}
		switch filepath.Ext(file) {
		case ".list":
			sources = append(sources, parseList(string(data))...)
		case ".sources":
			sources = append(sources, parseDeb822(string(data))...)
		}
	}
	return pickMirror(sources)
}

// parseList reads the one-line format: deb [options] uri suite component...
func parseList(text string) []source {
	var sources []source
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		kind, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		if kind != "deb" {
			continue
		}
		var s source
		rest = strings.TrimSpace(rest)
		if options, after, ok := strings.Cut(rest, "]"); ok && strings.HasPrefix(rest, "[") {
			for _, option := range strings.Fields(options[1:]) {
				if file, ok := strings.CutPrefix(strings.ToLower(option), "signed-by="); ok {
					s.Keyring = keyringPath(option[len(option)-len(file):])
				}
			}
			rest = after
		}
		fields := strings.Fields(rest)
		if len(fields) < 2 {
			continue
		}
		s.URI, s.Suites, s.Components = fields[0], fields[1:2], fields[2:]
		sources = append(sources, s)
	}
	return sources
}

// parseDeb822 reads the paragraphs of a .sources file.
func parseDeb822(text string) []source {
	var sources []source
	fields := map[string]string{}
	key := ""
	end := func() {
		on := !slices.Contains([]string{"no", "false", "0", "off"}, strings.ToLower(strings.TrimSpace(fields["enabled"])))
		if on && slices.Contains(strings.Fields(fields["types"]), "deb") {
			for _, uri := range strings.Fields(fields["uris"]) {
				sources = append(sources, source{uri, strings.Fields(fields["suites"]),
					strings.Fields(fields["components"]), keyringPath(fields["signed-by"])})
			}
		}
		fields, key = map[string]string{}, ""
	}
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		switch {
		case strings.HasPrefix(line, "#"):
		case strings.TrimSpace(line) == "":
			end()
		case line[0] == ' ' || line[0] == '\t':
			fields[key] += "\n" + line
		default:
			name, value, _ := strings.Cut(line, ":")
			key = strings.ToLower(strings.TrimSpace(name))
			fields[key] = value
		}
	}
	end()
	return sources
}

// keyringPath takes the first file of a Signed-By. A key written out in place
// or in ASCII is nothing for gpgv: debootstrap's own keyring is used then.
func keyringPath(signedBy string) string {
	for _, word := range strings.FieldsFunc(signedBy, func(r rune) bool { return strings.ContainsRune(", \t\n", r) }) {
		if strings.HasPrefix(word, "/") && strings.HasSuffix(word, ".gpg") {
			return word
		}
	}
	return ""
}

var debianSuites = []string{"trixie", "forky", "duke", "bookworm", "bullseye", "sid", "unstable", "testing", "stable", "oldstable"}

// pickMirror takes the archive which has a whole Debian release: every Debian
// mirror has all of them. Add-on archives of other people have other suites.
func pickMirror(sources []source) (source, error) {
	var why []string
	for _, s := range sources {
		whole := slices.ContainsFunc(s.Suites, func(suite string) bool { return slices.Contains(debianSuites, suite) })
		if !whole || !slices.Contains(s.Components, "main") {
			continue
		}
		u, err := url.Parse(s.URI)
		switch {
		case err != nil || !slices.Contains([]string{"http", "https", "file"}, u.Scheme):
			why = append(why, "the address of a Debian archive is none for debootstrap (http, https, file)")
		case u.User != nil:
			// debootstrap would show it to every user of the machine in ps.
			why = append(why, "the archive at "+u.Host+" has a password in its address")
		default:
			return s, nil
		}
	}
	text := "no Debian archive in /etc/apt/sources.list or sources.list.d"
	if len(why) > 0 {
		text += ": " + strings.Join(why, "; ")
	}
	return source{}, fmt.Errorf("%w: %s\nName one: ROOST_LAB_MIRROR=http://HOST/debian", ErrNotReady, text)
}

// aptSettings gives the machine's own apt settings for reaching the archive
// (proxies, time-outs, date checks) in the form of apt.conf, and the proxies as
// environment for debootstrap, which does not read apt.conf.
func aptSettings(ctx context.Context) (conf string, env []string, err error) {
	dump, err := finish(command(ctx, "apt-config", "dump", "Acquire"))
	if err != nil {
		return "", nil, err
	}
	conf, env = filterAptConfig(string(dump))
	return conf, env, nil
}

func filterAptConfig(dump string) (conf string, env []string) {
	var kept strings.Builder
	for line := range strings.Lines(dump) {
		name, value, ok := strings.Cut(strings.TrimSuffix(strings.TrimSpace(line), ";"), " ")
		value = strings.Trim(value, `"`)
		if !ok || value == "" || !aptKeyWanted(name) {
			continue
		}
		kept.WriteString(strings.TrimSpace(line) + "\n")
		if value == "DIRECT" {
			continue
		}
		switch strings.ToLower(name) {
		case "acquire::http::proxy":
			env = append(env, "http_proxy="+value)
		case "acquire::https::proxy":
			env = append(env, "https_proxy="+value)
		}
	}
	return kept.String(), env
}

// Files and programs which a setting names do not exist in the chroot.
func aptKeyWanted(name string) bool {
	name = strings.ToLower(name)
	for _, bad := range []string{"auto-detect", "autodetect", "cainfo", "capath", "sslcert", "sslkey", "crlfile"} {
		if strings.Contains(name, bad) {
			return false
		}
	}
	for _, good := range []string{"acquire::http::", "acquire::https::", "acquire::check-", "acquire::retries", "acquire::forceipv"} {
		if strings.HasPrefix(name, good) {
			return true
		}
	}
	return false
}
