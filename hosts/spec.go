package hosts

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"time"
)

// The toml tags below are the keys that Load accepts: the decoder and the JSON
// Schema both read them. The comments become the descriptions in the schema.

// Host is one machine of the fleet, declared in hosts/NAME/host.toml.
type Host struct {
	// Name is the name of the host's folder.
	Name string `toml:"-"`
	// File is the path of host.toml, relative to the fleet folder, with slashes.
	File string `toml:"-"`

	// The platform the host runs on.
	System System `toml:"system" jsonschema:"required"`
	// What the machine is. A pi is always aarch64-linux.
	Role Role `toml:"role" jsonschema:"required"`
	// Free words to select hosts by, as in @canary: small letters, digits and dashes. The name of a role is no tag.
	Tags []string `toml:"tags" jsonschema:"uniqueItems=true,pattern=^[a-z0-9][a-z0-9-]*$"`
	// The opt-in modules this host subscribes to: "desktop/plasma" is modules/opt-in/desktop/plasma.nix, or default.nix in a folder of that name.
	Modules []string `toml:"modules" jsonschema:"uniqueItems=true,minLength=1"`
	// How the host is reached.
	SSH SSH `toml:"ssh"`
	// How updates of this host are proved.
	Update Update `toml:"update"`
}

// IsDarwin tells whether the host is a Mac.
func (h *Host) IsDarwin() bool { return h.System == AArch64Darwin }

// IsLocal says that the host is this machine.
func (h *Host) IsLocal() bool {
	name, err := os.Hostname()
	return err == nil && h.SSH.Address == h.Name && name == h.Name
}

// SSH is how a host is reached. Everything else is for the ssh config to decide.
type SSH struct {
	// A host name, an address, or a Host entry of the ssh config. Left out, it is the name of the host.
	Address string `toml:"address" jsonschema:"minLength=1"`
	// The user to log in as.
	User string `toml:"user" jsonschema:"minLength=1,default=root"`
	// The TCP port. 0 lets ssh decide.
	Port int `toml:"port" jsonschema:"minimum=0,maximum=65535,default=0"`
	// The hosts to jump through, as ssh -J takes them: [user@]host[:port], with commas between.
	Jump string `toml:"jump" jsonschema:"minLength=1"`
}

// Update says how an update of the host is proved.
type Update struct {
	// What must hold after an update.
	Health []HealthCheck `toml:"health"`
}

// HealthCheck is one proof that a host works. It asks for a page or for a unit, never both.
type HealthCheck struct {
	// The URL to get: http or https. ":8080/version" means that port of the host's own address.
	HTTP string `toml:"http" jsonschema:"minLength=1,oneof_required=http"`
	// Text that the answer must contain. It goes with http only.
	Expect string `toml:"expect" jsonschema:"minLength=1"`
	// The systemd unit that must be active. There is none on darwin.
	Unit string `toml:"unit" jsonschema:"minLength=1,oneof_required=unit"`
	// How long the check may take, such as "10s" or "1m30s". More than zero.
	Timeout Duration `toml:"timeout" jsonschema:"default=10s"`
}

// URL returns the URL of an http check. address is the host's own, for a check
// such as ":8080/version". The check must come from Load.
func (c HealthCheck) URL(address string) string {
	if !strings.HasPrefix(c.HTTP, ":") {
		return c.HTTP
	}
	u, err := url.Parse("http://own" + c.HTTP)
	if err != nil {
		panic(fmt.Sprintf("hosts: health check %q was not checked by Load", c.HTTP))
	}
	u.Host = net.JoinHostPort(address, u.Port())
	return u.String()
}

// System is the platform of a host, as Nix names it.
type System string

// The platforms a host can have.
const (
	X8664Linux    System = "x86_64-linux"
	AArch64Linux  System = "aarch64-linux"
	AArch64Darwin System = "aarch64-darwin"
)

// Systems returns every platform a host can have.
func Systems() []System { return []System{X8664Linux, AArch64Linux, AArch64Darwin} }

// Role is what a machine is.
type Role string

// The roles a host can have.
const (
	Desktop Role = "desktop"
	Laptop  Role = "laptop"
	Server  Role = "server"
	Pi      Role = "pi"
)

// Roles returns every role a host can have.
func Roles() []Role { return []Role{Desktop, Laptop, Server, Pi} }

// Duration is a length of time above zero, written as text: "10s".
type Duration struct{ time.Duration }

// UnmarshalText reads what time.ParseDuration reads, if it is above zero.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil || v <= 0 {
		return fmt.Errorf(`%q is no duration above zero such as "10s" or "1m30s"`, text)
	}
	d.Duration = v
	return nil
}

// Form says how a duration is written.
func (*Duration) Form() string { return `a duration in quotes, such as "10s"` }

// MarshalText writes what UnmarshalText reads.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

const (
	defaultUser    = "root"
	defaultTimeout = 10 * time.Second
)

// setDefaults fills in what host.toml left out.
func (h *Host) setDefaults() {
	if h.SSH.Address == "" {
		h.SSH.Address = h.Name
	}
	if h.SSH.User == "" {
		h.SSH.User = defaultUser
	}
	for i := range h.Update.Health {
		if c := &h.Update.Health[i]; c.Timeout.Duration == 0 {
			c.Timeout.Duration = defaultTimeout
		}
	}
}
