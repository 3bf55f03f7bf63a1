package hosts

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// base makes the texts below complete: they begin on line 3.
const base = "system = \"x86_64-linux\"\nrole = \"server\"\n"

// rules has every rule both ways. want is "LINE:COLUMN: MESSAGE" for each
// problem, none where the text is good. A text that begins with a newline
// stands alone, without base.
var rules = []struct {
	text string
	want []string
}{
	{"", nil},
	{"\nrole = 'pi'\nsystem = 'aarch64-linux'", nil},
	{"\nrole = 'pi'\nsystem = 'x86_64-linux'", []string{"2:8: a pi is an aarch64-linux, not an x86_64-linux: change role or system"}},
	{"\nrole = 'pi'\nsystem = 'aarch64-darwin'", []string{"2:8: a pi is an aarch64-linux, not an aarch64-darwin: change role or system"}},
	{"\nrole = 'server'\nsystem = 'aarch64-darwin'", nil},
	{"\nrole = 'laptop'\nsystem = 'aarch64-darwin'", nil},
	{"\nrole = 'sever'\nsystem = 'x86_64-linux'", []string{`2:8: "sever" is no role: one of desktop, laptop, server, pi; did you mean "server"?`}},
	{"\nrole = 'server'\nsystem = 'x86_64-darwin'", []string{`3:10: "x86_64-darwin" is no system: one of x86_64-linux, aarch64-linux, aarch64-darwin; did you mean "aarch64-darwin"?`}},
	{"\nsystem = 'x86_64-linux'", []string{`1:1: role is missing: add role = "desktop", one of desktop, laptop, server, pi`}},
	{"\nsystem = 'x86_64-linux'\nrole = ''", []string{"3:8: role is empty; give it a value or leave it out"}},

	{"name = 'x'", []string{`3:1: unknown key "name"; known keys: system, role, tags, modules, ssh, update`}},
	{"Role = 'pi'", []string{`3:1: unknown key "Role"; did you mean "role"?`}},
	{"[ssh]\n  adress = 'x'", []string{`4:3: unknown key "adress" in [ssh]; did you mean "address"?`}},
	{"ssh.prot = 1", []string{`3:5: unknown key "prot" in [ssh]; did you mean "port"?`}},
	{"ssh = { user = 'a', \"zz\" = 1 }", []string{`3:21: unknown key "zz" in [ssh]; known keys: address, user, port, jump`}},
	{"[update]\nwave = 1", []string{`4:1: unknown key "wave" in [update]; known keys: health`}},
	{"[[update.health]]\nhttp = ':80'\nexpct = 'x'", []string{`5:1: unknown key "expct" in [update.health]; did you mean "expect"?`}},
	{"[[update.health]]\nunit = 'x'\n[[update.health]]\nunit = 'y'\n[update.health.more]\na = 1", []string{
		`7:16: unknown key "more" in [update.health]; known keys: http, expect, unit, timeout`}},
	{"[disk]\nlayout = 'x'", []string{`3:2: unknown key "disk"; known keys: system, role, tags, modules, ssh, update`}},

	{"tags = 'home'", []string{"3:8: tags must be an array of strings, not a string"}},
	{"tags = ['home', 1.5,\n true]", []string{
		"3:17: an entry of tags must be a string, not a float", "4:2: an entry of tags must be a string, not a boolean"}},
	{"tags = [['x']]", []string{"3:8: an entry of tags must be a string, not an array"}},
	{"tags = [2024-01-01]", []string{"3:9: an entry of tags must be a string, not a date or time"}},
	{"ssh = 'x'", []string{"3:7: ssh must be a table, not a string"}},
	{"[[ssh]]\nport = 1", []string{"3:3: ssh must be a table, not an array"}},
	{"[ssh]\nport = '22'", []string{"4:8: ssh.port must be an integer, not a string"}},
	{"[update.health]\nunit = 'x'", []string{"3:9: update.health must be an array of tables, [[update.health]], not a table"}},
	{"update.health = ['x']", []string{"3:18: update.health must hold tables, not a string"}},
	{"[[update.health]]\nunit = 'x'\ntimeout = 10", []string{`5:11: update.health.timeout must be a duration in quotes, such as "10s", not an integer`}},
	{"tags = [\"a\\u0000b\"]", []string{"3:9: an entry of tags contains a NUL character"}},

	{"tags = ['home', '2nd-floor', 'a']", nil},
	{"tags = ['Home']", []string{`3:9: tag "Home": small letters, digits and dashes are allowed, and no dash first`}},
	{"tags = ['-a', 'a_b']", []string{
		`3:9: tag "-a": small letters, digits and dashes are allowed, and no dash first`,
		`3:15: tag "a_b": small letters, digits and dashes are allowed, and no dash first`}},
	{"tags = ['é', 'X']", []string{
		`3:9: tag "é": small letters, digits and dashes are allowed, and no dash first`,
		`3:14: tag "X": small letters, digits and dashes are allowed, and no dash first`}},
	{"tags = ['']", []string{"3:9: an entry of tags is empty; give it a value or leave it out"}},
	{"tags = ['pi']", []string{`3:9: tag "pi" is the name of a role: @pi selects by role, choose another word`}},
	{"tags = [\n'a',\n'b',\n'a']", []string{`6:1: tag "a" is given twice: it is on line 4 already`}},

	{"modules = ['desktop/plasma', 'web']", nil},
	{"modules = ['web', 'web']", []string{`3:19: module "web" is given twice: it is on line 3 already`}},
	{"modules = ['../web']", []string{`3:12: module "../web" must be a path below modules/opt-in such as "desktop/plasma"`}},
	{"modules = ['desktop/../web']", []string{`3:12: module "desktop/../web" must be a path below modules/opt-in such as "desktop/plasma"`}},
	{"modules = ['/web']", []string{`3:12: module "/web" must be a path below modules/opt-in such as "desktop/plasma"`}},
	{"modules = ['.']", []string{`3:12: module "." must be a path below modules/opt-in such as "desktop/plasma"`}},
	{"modules = ['desktop']", []string{`3:12: module "desktop" is not found, modules/opt-in has neither desktop.nix nor desktop/default.nix; did you mean "desktop/plasma"?`}},
	{"modules = ['zzz']", []string{`3:12: module "zzz" is not found, modules/opt-in has neither zzz.nix nor zzz/default.nix; known modules: desktop/plasma, twice, web`}},
	{"modules = ['twice']", []string{`3:12: module "twice" is both twice.nix and twice/default.nix in modules/opt-in: keep one of them`}},

	{"ssh = { address = '10.0.0.5', user = 'me', port = 65535, jump = 'a' }", nil},
	{"ssh = { address = 'fe80::1%eth0', port = 0, jump = 'u@a:22,[::1]:22' }", nil},
	{"ssh = { address = 'host.example.org' }", nil},
	{"ssh.address = '-oProxyCommand=x'", []string{`3:15: ssh.address "-oProxyCommand=x" is neither a host name nor an IP address; the user goes to ssh.user, the port to ssh.port`}},
	{"ssh.address = 'a:22'", []string{`3:15: ssh.address "a:22" is neither a host name nor an IP address; the user goes to ssh.user, the port to ssh.port`}},
	{"ssh.address = 'fe80::1%a b'", []string{`3:15: ssh.address "fe80::1%a b" is neither a host name nor an IP address; the user goes to ssh.user, the port to ssh.port`}},
	{"ssh.address = ''", []string{"3:15: ssh.address is empty; give it a value or leave it out"}},
	{"ssh.user = '-l'", []string{`3:12: ssh.user "-l" is no user name: letters, digits, dots, dashes and underscores, no dash first`}},
	{"ssh.port = -1", []string{"3:12: ssh.port -1 is no port: 1 to 65535, or 0 to let ssh decide"}},
	{"ssh.port = 65536", []string{"3:12: ssh.port 65536 is no port: 1 to 65535, or 0 to let ssh decide"}},
	{"ssh.jump = 'a, b'", []string{`3:12: ssh.jump: " b" is no [user@]host[:port]; several are separated by commas, without spaces`}},
	{"ssh.jump = '-x'", []string{`3:12: ssh.jump: "-x" is no [user@]host[:port]; several are separated by commas, without spaces`}},

	{"update.health = []", nil},
	{"update.health = [{ http = ':1' }, { http = 'https://x:443/y', expect = 'é', timeout = '1ms' }, { unit = 'a@b.service' }]", nil},
	{"update.health = [{}]", []string{"3:18: a health check needs http or unit"}},
	{"[[update.health]]", []string{"3:10: a health check needs http or unit"}},
	{"update.health = [{ timeout = '1s' }]", []string{"3:18: a health check needs http or unit"}},
	{"update.health = [{ http = ':80', unit = 'x' }]", []string{"3:34: a health check has http or unit, not both: make two checks of it"}},
	{"update.health = [{ unit = 'x', expect = 'y' }]", []string{"3:32: expect goes with http only"}},
	{"update.health = [{ unit = '-x' }]", []string{`3:27: unit "-x" is no name of a systemd unit`}},
	{"update.health = [{ unit = 'a b' }]", []string{`3:27: unit "a b" is no name of a systemd unit`}},
	{"update.health = [{ http = '/x' }]", []string{`3:27: http: write "http://HOST/PATH", "https://HOST/PATH" or ":PORT/PATH" for the host itself`}},
	{"update.health = [{ http = 'http:///x' }]", []string{`3:27: http: write "http://HOST/PATH", "https://HOST/PATH" or ":PORT/PATH" for the host itself`}},
	{"update.health = [{ http = ':x' }]", []string{`3:27: http: this is no URL; write "http://HOST/PATH", "https://HOST/PATH" or ":PORT/PATH" for the host itself`}},
	{"update.health = [{ http = ':/x' }]", []string{"3:27: http: the port is missing after the colon"}},
	{"update.health = [{ http = ':0/x' }]", []string{"3:27: http: port 0 is not between 1 and 65535"}},
	{"update.health = [{ http = 'http://u:secret@x/' }]", []string{"3:27: http: a URL with a user or a password would be readable by everybody; leave it out"}},
	{"update.health = [{ unit = 'x', timeout = '0s' }]", []string{`3:42: update.health.timeout: "0s" is no duration above zero such as "10s" or "1m30s"`}},
	{"update.health = [{ unit = 'x', timeout = '10' }]", []string{`3:42: update.health.timeout: "10" is no duration above zero such as "10s" or "1m30s"`}},
	{"\nsystem = 'aarch64-darwin'\nrole = 'laptop'\n[[update.health]]\nunit = 'x'", []string{"5:1: there are no systemd units on aarch64-darwin: use http"}},
	{"\nsystem = 'aarch64-darwin'\nrole = 'laptop'\n[[update.health]]\nhttp = ':80'", nil},

	{"a =", []string{"3:3: this is not TOML: expected value, not end of input; the rest of the file is not checked yet"}},
	{"tags = ['é', x]", []string{"3:14: this is not TOML: unexpected character U+0078 'x' at start of value; the rest of the file is not checked yet"}},
	{"role = 'pi'", []string{"3:1: this is not TOML: key role is already defined; the rest of the file is not checked yet"}},
	{"ssh = {\n port = 1 }", []string{"3:7: this inline table goes over several lines; Nix cannot read that: use a [table] or [[array of tables]] instead"}},
	{"ssh = { port = 1 # }\n}", []string{"3:7: this inline table goes over several lines; Nix cannot read that: use a [table] or [[array of tables]] instead"}},
	{"ssh = { port = 1, }", []string{"3:7: this inline table has a comma before its }; Nix cannot read that: use a [table] or [[array of tables]] instead"}},
	{"tags = [\n  'a', # one\n  'b',\n]", nil},
	{"update.health = [\n  { http = ':80', expect = '}' },\n  { unit = 'x' },\n]", nil},
	{`tags = ["\x61"]`, []string{`3:10: Nix cannot read the escape \x: write \u and four hexadecimal digits instead`}},
	{`ssh = { "\x70ort" = 1 }`, []string{`3:10: Nix cannot read the escape \x: write \u and four hexadecimal digits instead`}},
	{`update.health = [{ http = ":80", expect = "\\x \u0061 \\\\e" }]`, nil},
	{`update.health = [{ http = ":80", expect = '\x' }]`, nil},
}

func TestRules(t *testing.T) {
	dir := writeFleet(t, map[string]string{
		"modules/opt-in/desktop/plasma.nix": "", "modules/opt-in/web/default.nix": "",
		"modules/opt-in/twice.nix": "", "modules/opt-in/twice/default.nix": "",
	})
	for _, r := range rules {
		text := r.text
		if !strings.HasPrefix(text, "\n") {
			text = base + text
		}
		host, problems := read("malphas", "hosts/malphas/host.toml", []byte(text), newOptIn(dir))
		var got []string
		for _, p := range problems {
			got = append(got, fmt.Sprintf("%d:%d: %s", p.Line, p.Column, p.Message))
		}
		if diff := cmp.Diff(r.want, got); diff != "" {
			t.Errorf("%s\nproblems (-want +got):\n%s", text, diff)
		}
		if len(got) == 0 && host == nil {
			t.Errorf("%s\nneither host nor problem", text)
		}
	}
}

func TestHintWithoutModules(t *testing.T) {
	want := `is not found, modules/opt-in has neither x.nix nor x/default.nix; there are no modules yet`
	if got := newOptIn(t.TempDir()).check("x"); got != want {
		t.Errorf("got %q", got)
	}
}
