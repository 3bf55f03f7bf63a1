package hosts

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/pelletier/go-toml/v2"
)

func TestFolders(t *testing.T) {
	const host = "system = 'x86_64-linux'\nrole = 'server'\n"
	create := `; create hosts/NAME/host.toml, at least: system = "x86_64-linux" and role = "server"`
	for _, c := range []struct {
		name  string
		files map[string]string
		want  []string // DIR is the fleet folder; none where the fleet is good
	}{
		{"no hosts folder", nil, []string{"hosts: cannot be read: no such file or directory (the fleet folder is DIR)" + create}},
		{"hosts is a file", map[string]string{"hosts": ""}, []string{"hosts: cannot be read: not a directory (the fleet folder is DIR)" + create}},
		{"no host", map[string]string{"hosts/README": ""}, []string{"hosts: there is no host here (the fleet folder is DIR)" + create}},
		{"Go code is no host", map[string]string{"hosts/gen/main.go": "", "hosts/testdata/x": "", "hosts/a/host.toml": host}, nil},
		{"Go code and host.toml is a host", map[string]string{"hosts/gen/main.go": "", "hosts/gen/host.toml": "role = 'pi'\nsystem = 'aarch64-linux'\nx = 1"},
			[]string{`hosts/gen/host.toml:3:1: unknown key "x"; known keys: system, role, tags, modules, ssh, update`}},
		{"no host.toml", map[string]string{"hosts/a/x": "", "hosts/b/host.toml": host},
			[]string{"hosts/a: this folder has no host.toml: create hosts/a/host.toml, or move the folder out of hosts/"}},
		{"host.toml is a folder", map[string]string{"hosts/a/host.toml/x": ""}, []string{"hosts/a/host.toml: cannot be read: is a directory"}},
		{"dash first", map[string]string{"hosts/-a/host.toml": host},
			[]string{`hosts/-a: "-a" is no name for a host: small letters, digits and dashes are allowed, and no dash first`}},
		{"reserved", map[string]string{"hosts/fleet/host.toml": host},
			[]string{`hosts/fleet: "fleet" is no name for a host: the word has a meaning of its own (so have fleet, not, and, or)`}},
		{"three broken hosts", map[string]string{"hosts/a/host.toml": "x", "hosts/b/host.toml": host + "tag = []", "hosts/c/host.toml": "role = 'pi'", "hosts/d/host.toml": host},
			[]string{
				"hosts/a/host.toml:1:1: this is not TOML: expected '=' after key; the rest of the file is not checked yet",
				`hosts/b/host.toml:3:1: unknown key "tag"; did you mean "tags"?`,
				`hosts/c/host.toml:1:1: system is missing: add system = "x86_64-linux", one of x86_64-linux, aarch64-linux, aarch64-darwin`,
			}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := writeFleet(t, c.files)
			if c.want == nil {
				if _, err := Load(dir); err != nil {
					t.Fatal(err)
				}
				return
			}
			var got []string
			for _, p := range problemsOf(t, dir) {
				got = append(got, strings.ReplaceAll(p.String(), dir, "DIR"))
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSymbolicLinks(t *testing.T) {
	dir := writeFleet(t, map[string]string{
		"hosts/a/host.toml": "system = 'x86_64-linux'\nrole = 'server'\n", "note": "", "elsewhere/host.toml": "",
	})
	link := func(name, target string) {
		t.Helper()
		if err := os.Symlink(target, filepath.Join(dir, "hosts", name)); err != nil {
			t.Fatal(err)
		}
	}
	link("note", "../note")
	if _, err := Load(dir); err != nil {
		t.Errorf("a link to a file is no host: %v", err)
	}
	link("b", "../elsewhere")
	link("c", "../gone")
	problems := problemsOf(t, dir)
	if len(problems) != 2 || problems[0].File != "hosts/b" || problems[1].File != "hosts/c" {
		t.Errorf("got %v", problems)
	}
}

func TestInvalidErrorSaysWhatToDo(t *testing.T) {
	one := &InvalidError{[]Problem{{File: "hosts", Message: "no"}}}
	if want := "hosts: no\n1 problem in 1 place, nothing was run: correct it and run the same command again"; one.Error() != want {
		t.Errorf("got %q", one.Error())
	}
	two := &InvalidError{[]Problem{{"a", 1, 2, "no"}, {"a", 3, 4, "no"}}}
	if want := "a:1:2: no\na:3:4: no\n2 problems in 1 place, nothing was run: correct them and run the same command again"; two.Error() != want {
		t.Errorf("got %q", two.Error())
	}
}

// FuzzLoad: whatever is in host.toml, Load gives a fleet or an *InvalidError
// that points into the file. What it accepts, go-toml's own strict and typed
// decoding reads as the same host.
func FuzzLoad(f *testing.F) {
	nasty, err := filepath.Glob("testdata/nasty/hosts/*/host.toml")
	if err != nil || len(nasty) == 0 {
		f.Fatal(nasty, err)
	}
	for _, file := range nasty {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	for _, r := range rules {
		f.Add([]byte(base + r.text))
	}
	for _, s := range []string{
		"a.b.c = 1\n[a.b.d]\n[[x.y]]\n[[x.y]]\n[x.y.z]\nq = [[{a = [1]}]]", "[[ssh]]", "[update]\nhealth = [[]]",
		"[ssh]\r\nport = 1\r\n", "'' = {}", "\"a\\u0000\" = 1", "update.health = [{}]\n", "x = {a = 1 # }\n}",
	} {
		f.Add([]byte(s))
	}
	dir := writeFleet(f, map[string]string{"hosts/a/host.toml": "", "modules/opt-in/desktop/plasma.nix": ""})
	file := filepath.Join(dir, "hosts/a/host.toml")
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		fleet, err := Load(dir)
		if err == nil {
			var want Host
			d := toml.NewDecoder(bytes.NewReader(data)).DisallowUnknownFields()
			if err := d.Decode(&want); err != nil {
				t.Fatalf("Load accepts what go-toml refuses: %v", err)
			}
			want.Name, want.File = "a", "hosts/a/host.toml"
			want.setDefaults()
			if diff := cmp.Diff(&want, fleet.Hosts[0], cmpopts.EquateEmpty()); diff != "" {
				t.Fatalf("go-toml reads another host (-go-toml +Load):\n%s", diff)
			}
			return
		}
		var invalid *InvalidError
		if fleet != nil || !errors.As(err, &invalid) || len(invalid.Problems) == 0 {
			t.Fatalf("Load = %v, %v", fleet, err)
		}
		lines := bytes.Split(data, []byte("\n"))
		for _, p := range invalid.Problems {
			if p.Line < 1 || p.Line > len(lines) || p.Column < 1 || p.Column > len(lines[p.Line-1])+1 {
				t.Errorf("%s is not in the file", p)
			}
		}
	})
}

// writeThousand writes a fleet of 1,000 hosts as people have them.
func writeThousand(t testing.TB) string {
	files := map[string]string{"modules/opt-in/desktop/plasma.nix": "", "modules/opt-in/services/web.nix": ""}
	for i := range 1000 {
		files[fmt.Sprintf("hosts/host%03d/host.toml", i)] = fmt.Sprintf(`# A machine of the fleet.
system  = %q
role    = %q
tags    = ["home", "rack%d"]
modules = ["desktop/plasma", "services/web"]

[ssh]
address = "10.0.%d.%d"
port    = 22

[[update.health]]
http   = ":8080/version"
expect = "1.2"

[[update.health]]
unit = "sshd.service"
`, Systems()[i%2], Roles()[i%3], i%20, i/250, i%250)
	}
	return writeFleet(t, files)
}

func BenchmarkLoad1000(b *testing.B) {
	dir := writeThousand(b)
	for b.Loop() {
		if _, err := Load(dir); err != nil {
			b.Fatal(err)
		}
	}
}
