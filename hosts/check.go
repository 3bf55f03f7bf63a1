package hosts

import (
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"roost/internal/nearest"
	"roost/internal/tomldoc"
)

// document is one host.toml.
type document struct{ *tomldoc.Document }

// check applies every rule that the types alone do not give. What decode has
// reported already is zero in host, and is not reported twice.
func (d document) check(host *Host, opt *optIn) {
	d.platform(host)
	d.tags(host)
	d.modules(host, opt)
	if ssh := d.Root.Keys["ssh"]; ssh != nil {
		d.ssh(host.SSH, ssh)
	}
	if update := d.Root.Keys["update"]; update != nil {
		for i, c := range host.Update.Health {
			if at := update.Keys["health"].Items[i]; at.Keys != nil {
				d.health(host, c, at)
			}
		}
	}
}

// platform checks system and role, and whether they go together.
func (d document) platform(host *Host) {
	systemIsGood := oneOf(d, "system", host.System, Systems())
	roleIsGood := oneOf(d, "role", host.Role, Roles())
	if systemIsGood && roleIsGood && host.Role == Pi && host.System != AArch64Linux {
		d.Report(d.Root.Keys["role"].Value, "a pi is an %s, not an %s: change role or system", AArch64Linux, host.System)
	}
}

// oneOf checks a required key of the file that has a few allowed values.
func oneOf[T ~string](d document, key string, value T, allowed []T) bool {
	words, at := texts(allowed), d.Root.Keys[key]
	switch {
	case at == nil:
		d.Report(0, "%s is missing: add %s = %q, one of %s", key, key, words[0], strings.Join(words, ", "))
	case value == "": // empty or of a wrong type: decode said so
	case !slices.Contains(allowed, value):
		text := "one of " + strings.Join(words, ", ")
		if near := nearest.Words(string(value), words); len(near) > 0 {
			text += "; " + nearest.DidYouMean(near)
		}
		d.Report(at.Value, "%q is no %s: %s", value, key, text)
	default:
		return true
	}
	return false
}

func (d document) tags(host *Host) {
	for i, tag := range host.Tags {
		at := d.Root.Keys["tags"].Items[i]
		switch {
		case tag == "":
		case !isName(tag):
			d.Report(at.Value, "tag %q: %s", tag, nameRule)
		case slices.Contains(Roles(), Role(tag)):
			d.Report(at.Value, "tag %q is the name of a role: @%s selects by role, choose another word", tag, tag)
		default:
			d.onlyOnce("tag", host.Tags, i, "tags")
		}
	}
}

func (d document) modules(host *Host, opt *optIn) {
	for i, name := range host.Modules {
		if name == "" || !d.onlyOnce("module", host.Modules, i, "modules") {
			continue
		}
		if wrong := opt.check(name); wrong != "" {
			d.Report(d.Root.Keys["modules"].Items[i].Value, "module %q %s", name, wrong)
		}
	}
}

// onlyOnce refuses entry i of a list of the file if it was there before.
func (d document) onlyOnce(noun string, list []string, i int, key string) bool {
	first := slices.Index(list, list[i])
	if first == i {
		return true
	}
	items := d.Root.Keys[key].Items
	d.Report(items[i].Value, "%s %q is given twice: it is on line %d already", noun, list[i], d.Line(items[first].Value))
	return false
}

// What ends up as an argument of ssh or systemctl has no leading dash, no space
// and nothing that those programs read as something else.
var (
	wordRule = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]*$`)
	jumpRule = regexp.MustCompile(`^([A-Za-z0-9_][A-Za-z0-9._-]*@)?([A-Za-z0-9_][A-Za-z0-9._-]*|\[[0-9A-Fa-f:.]+(%[A-Za-z0-9._-]+)?\])(:[0-9]{1,5})?$`)
	unitRule = regexp.MustCompile(`^[A-Za-z0-9:_.\\@][A-Za-z0-9:_.\\@-]*$`)
)

func (d document) ssh(ssh SSH, at *tomldoc.Node) {
	if a := ssh.Address; a != "" && !wordRule.MatchString(a) && !isIP(a) {
		d.Report(at.Keys["address"].Value, "ssh.address %q is neither a host name nor an IP address; the user goes to ssh.user, the port to ssh.port", a)
	}
	if u := ssh.User; u != "" && !wordRule.MatchString(u) {
		d.Report(at.Keys["user"].Value, "ssh.user %q is no user name: letters, digits, dots, dashes and underscores, no dash first", u)
	}
	if ssh.Port < 0 || ssh.Port > 65535 {
		d.Report(at.Keys["port"].Value, "ssh.port %d is no port: 1 to 65535, or 0 to let ssh decide", ssh.Port)
	}
	if ssh.Jump == "" {
		return
	}
	for hop := range strings.SplitSeq(ssh.Jump, ",") {
		if !jumpRule.MatchString(hop) {
			d.Report(at.Keys["jump"].Value, "ssh.jump: %q is no [user@]host[:port]; several are separated by commas, without spaces", hop)
		}
	}
}

func isIP(s string) bool {
	ip, err := netip.ParseAddr(s)
	return err == nil && (ip.Zone() == "" || wordRule.MatchString(ip.Zone()))
}

func (d document) health(host *Host, c HealthCheck, at *tomldoc.Node) {
	http, unit, expect := at.Keys["http"], at.Keys["unit"], at.Keys["expect"]
	switch {
	case http == nil && unit == nil:
		d.Report(at.Value, "a health check needs http or unit")
	case http != nil && unit != nil:
		d.Report(unit.Key, "a health check has http or unit, not both: make two checks of it")
	}
	if c.HTTP != "" {
		if wrong := checkHTTP(c.HTTP); wrong != "" {
			d.Report(http.Value, "http: %s", wrong)
		}
	}
	if expect != nil && http == nil {
		d.Report(expect.Key, "expect goes with http only")
	}
	if unit != nil && host.IsDarwin() {
		d.Report(unit.Key, "there are no systemd units on %s: use http", host.System)
	}
	if c.Unit != "" && !unitRule.MatchString(c.Unit) {
		d.Report(unit.Value, "unit %q is no name of a systemd unit", c.Unit)
	}
}

// checkHTTP says what is wrong with the URL of a health check. It does not
// repeat the URL: somebody may have put a password in it.
func checkHTTP(text string) string {
	const forms = `write "http://HOST/PATH", "https://HOST/PATH" or ":PORT/PATH" for the host itself`
	if strings.HasPrefix(text, ":") {
		text = "http://own" + text
	}
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return "this is no URL; " + forms
	case u.User != nil:
		return "a URL with a user or a password would be readable by everybody; leave it out"
	case u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "":
		return forms
	case strings.HasSuffix(u.Host, ":"):
		return "the port is missing after the colon"
	case u.Port() != "":
		if port, err := strconv.Atoi(u.Port()); err != nil || port < 1 || port > 65535 {
			return "port " + u.Port() + " is not between 1 and 65535"
		}
	}
	return ""
}

const nameRule = "small letters, digits and dashes are allowed, and no dash first"

// isName tells whether s can name a host or a tag.
func isName(s string) bool {
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return s != "" && s[0] != '-'
}
