package lab

import (
	"encoding/json"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestParseAptSources(t *testing.T) {
	list := `# deb http://off.example/debian trixie main
deb [arch=amd64 signed-by=/usr/share/keyrings/Some.gpg] https://a.example/debian bookworm main contrib # why not
deb-src http://src.example/debian bookworm main
deb  http://b.example/debian	trixie main
deb [signed-by=/etc/apt/keyrings/x.asc] http://flat.example/ ./
`
	want := []source{
		{"https://a.example/debian", []string{"bookworm"}, []string{"main", "contrib"}, "/usr/share/keyrings/Some.gpg"},
		{"http://b.example/debian", []string{"trixie"}, []string{"main"}, ""},
		{"http://flat.example/", []string{"./"}, []string{}, ""},
	}
	if diff := cmp.Diff(want, parseList(list)); diff != "" {
		t.Error(diff)
	}
	deb822 := `Types: deb deb-src
# a comment inside
URIs: http://a.example/debian
  https://b.example/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian.gpg

Types: deb
Enabled: no
URIs: http://off.example/debian
Suites: trixie
Components: main

Types: deb-src
URIs: http://src.example/debian
Suites: trixie
Components: main

Types: deb
URIs: http://key.example
Suites: stable
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 mQINBF`
	both := []string{"bookworm", "bookworm-updates"}
	want = []source{
		{"http://a.example/debian", both, []string{"main"}, "/usr/share/keyrings/debian.gpg"},
		{"https://b.example/debian", both, []string{"main"}, "/usr/share/keyrings/debian.gpg"},
		{"http://key.example", []string{"stable"}, []string{"main"}, ""},
	}
	if diff := cmp.Diff(want, parseDeb822(deb822)); diff != "" {
		t.Error(diff)
	}
}

func TestPickMirror(t *testing.T) {
	main := []string{"main"}
	for name, c := range map[string]struct {
		sources []source
		want    string // a part of the error after !
	}{
		"add-ons and security are none": {[]source{
			{"http://sec.example", []string{"bookworm-security"}, main, ""},
			{"http://node.example", []string{"nodistro"}, main, ""},
			{"http://docker.example", []string{"bookworm"}, []string{"stable"}, ""},
			{"http://good.example", []string{"bookworm", "bookworm-updates"}, main, ""}}, "http://good.example"},
		"password": {[]source{{"http://u:hunter2@x.example/debian", []string{"sid"}, main, ""}}, "!x.example has a password"},
		"mirror+":  {[]source{{"mirror+file:/etc/apt/m.list", []string{"sid"}, main, ""}}, "!none for debootstrap"},
		"nothing":  {nil, "!ROOST_LAB_MIRROR"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := pickMirror(c.sources)
			if part, bad := strings.CutPrefix(c.want, "!"); bad {
				if err == nil || !strings.Contains(err.Error(), part) || !errors.Is(err, ErrNotReady) || strings.Contains(err.Error(), "hunter2") {
					t.Errorf("error %v", err)
				}
			} else if err != nil || got.URI != c.want {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}

func TestFilterAptConfig(t *testing.T) {
	conf, env := filterAptConfig(`Acquire "";
Acquire::http "";
Acquire::http::Proxy "http://proxy.example:3128";
Acquire::http::Proxy::local.example "DIRECT";
Acquire::https::Proxy "DIRECT";
Acquire::https::CaInfo "/etc/own.pem";
Acquire::http::Proxy-Auto-Detect "/usr/bin/detect";
Acquire::Check-Valid-Until "false";
Acquire::IndexTargets::deb::DEP-11::ShortDescription "x";
DPkg::Post-Invoke:: "rm -rf /";
`)
	want := `Acquire::http::Proxy "http://proxy.example:3128";
Acquire::http::Proxy::local.example "DIRECT";
Acquire::https::Proxy "DIRECT";
Acquire::Check-Valid-Until "false";
`
	if diff := cmp.Diff(want, conf); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"http_proxy=http://proxy.example:3128"}, env); diff != "" {
		t.Error(diff)
	}
}

func FuzzParseAptSources(f *testing.F) {
	f.Add("deb [signed-by=/a.gpg] http://x y z")
	f.Add("Types: deb\nURIs: a\n b\nSigned-By:\n .\n")
	f.Fuzz(func(t *testing.T, text string) {
		for _, s := range append(parseList(text), parseDeb822(text)...) {
			if s.URI == "" || strings.ContainsAny(s.URI, " \n") {
				t.Errorf("source without a plain address: %+v", s)
			}
		}
	})
}

func TestFreeNumber(t *testing.T) {
	taken := func(texts ...string) (all []netip.Prefix) {
		for _, text := range texts {
			all = append(all, netip.MustParsePrefix(text))
		}
		return all
	}
	for name, c := range map[string]struct {
		claimed map[int]bool
		taken   []netip.Prefix
		links   []string
		want    int // -1: none
	}{
		"first":             {want: 0},
		"claimed":           {claimed: map[int]bool{0: true, 1: true}, want: 2},
		"bridge there":      {links: []string{"roost0", "roost1-0"}, want: 1},
		"address in it":     {taken: taken("10.213.0.7/32"), want: 1},
		"route over some":   {taken: taken("10.213.0.0/23", "192.0.2.0/24"), want: 2},
		"route over all":    {taken: taken("10.0.0.0/8"), want: -1},
		"all three at once": {map[int]bool{0: true}, taken("10.213.1.0/24"), []string{"roost2"}, 3},
	} {
		got, err := freeNumber(c.claimed, c.taken, c.links)
		if (err != nil) != (c.want < 0) || err == nil && got != c.want {
			t.Errorf("%s: %d, %v; want %d", name, got, err, c.want)
		}
	}
}

func TestNames(t *testing.T) {
	if got := linkName(255, maxHosts-1); len(got) > 15 {
		t.Errorf("interface name %s is longer than the kernel takes", got)
	}
	if got := addressOf(255, maxHosts-1); got != "10.213.255.249" {
		t.Errorf("last address of the last lab: %s", got)
	}
	if got := macOf("10.213.7.10"); got != "02:00:0a:d5:07:0a" {
		t.Errorf("card %s", got)
	}
}

func TestParseRoutes(t *testing.T) {
	got, err := parseRoutes([]byte(`[{"dst":"default","gateway":"192.0.2.1"},{"dst":"192.0.2.0/24"},{"type":"local","dst":"10.213.3.1"}]`))
	want := []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("10.213.3.1/32")}
	if err != nil || len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := parseRoutes([]byte("Error: x")); err == nil {
		t.Error("no error for what is no JSON")
	}
}

func TestReplay(t *testing.T) {
	line := func(r record) string { data, _ := json.Marshal(r); return string(data) + "\n" }
	boot := func(id string) string { return line(record{Kind: kindBoot, Name: id}) }
	link, claim := record{Kind: kindLink, Name: "roost0"}, record{Kind: kindClaim}
	proc := record{Kind: kindProcess, process: process{7, 99}}
	for name, c := range map[string]struct {
		text string
		want []record
	}{
		"empty":                        {"", nil},
		"in order":                     {boot("b") + line(claim) + line(proc), []record{claim, proc}},
		"equal ones once":              {boot("b") + line(link) + line(link) + boot("b") + line(link), []record{link}},
		"the machine was booted since": {boot("a") + line(link), nil},
		"and the lab too":              {boot("a") + line(link) + boot("b") + line(claim), []record{claim}},
		"torn end":                     {boot("b") + line(claim) + `{"kind":"link","na`, []record{claim}},
		"torn and repaired":            {boot("b") + `{"kind":"li` + "\n" + line(claim), []record{claim}},
	} {
		got := replay([]byte(c.text), "b")
		if diff := cmp.Diff(c.want, got, cmp.AllowUnexported(record{}, process{})); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// A journal cut anywhere gives the records which were complete then.
func TestReplayCut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "journal")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		j := &journal{path: filepath.Join(dir, "journal")}
		must := func(err error) {
			if err != nil {
				t.Fatal(err)
			}
		}
		must(j.add(record{Kind: kindBoot, Name: "b"}))
		n := rapid.IntRange(1, 6).Draw(t, "n")
		for i := range n {
			must(j.add(record{Kind: kindProcess, process: process{i + 1, rapid.Uint64().Draw(t, "start")}}))
		}
		data, err := os.ReadFile(j.path)
		must(err)
		cut := rapid.IntRange(0, len(data)).Draw(t, "cut")
		must(os.WriteFile(j.path, data[:cut], 0o600))
		whole := strings.Count(string(data[:cut]), "\n") - 1
		must(j.repair())
		must(j.add(record{Kind: kindBoot, Name: "b"}))
		must(j.add(record{Kind: kindLink, Name: "after"}))
		got, err := j.records("b")
		must(err)
		// A cut just before the newline left a whole record: repair kept it.
		if extra := len(got) - 1 - max(0, whole); extra < 0 || extra > 1 || got[len(got)-1].Name != "after" {
			t.Fatalf("%d whole lines, %d records: %+v", whole, len(got), got)
		}
	})
}

func TestFaultsOf(t *testing.T) {
	on := func(host, name string) record { return record{Kind: kindFault, Host: host, Name: name, On: true} }
	off := func(host, name string) record { return record{Kind: kindFault, Host: host, Name: name} }
	records := []record{on("a", faultCut), on("a", faultFull), on("b", faultCut), off("a", faultCut), on("a", faultSlow), off("a", faultKey), on("a", faultFull)}
	if diff := cmp.Diff([]string{faultSlow, faultFull}, faultsOf(records, "a")); diff != "" {
		t.Error(diff)
	}
}

func TestProcess(t *testing.T) {
	stat := "12 (a) b (c) d) S 1 12 12 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4711 5 6"
	if state, start, ok := parseStat(stat); state != "S" || start != 4711 || !ok {
		t.Errorf("%s %d %v", state, start, ok)
	}
	for _, bad := range []string{"", "12 (x", "12 (x) S 1"} {
		if _, _, ok := parseStat(bad); ok {
			t.Errorf("%q is read", bad)
		}
	}
	me, found := processOf(os.Getpid())
	if !found {
		t.Skip("no /proc here")
	}
	if !me.alive() || (process{me.PID, me.Start + 1}).alive() || (process{}).alive() {
		t.Error("a process is not known by its id and start time")
	}
	if got := unescapeMount(`/a\040b\134c\0`); got != `/a b\c\0` {
		t.Errorf("mount point %s", got)
	}
	if got := sinceStart("1000.50 1.0\n", 99_050); got != 10*time.Second {
		t.Errorf("uptime %s", got)
	}
}

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"lab.json", ".lab.json123", "client_key.new.pub", "logs"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Open(dir); err != nil {
		t.Errorf("a lab's own folder: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "thesis.tex"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir); !errors.Is(err, ErrNotReady) || !strings.Contains(err.Error(), "thesis.tex") {
		t.Errorf("a folder with other things: %v", err)
	}
	for _, bad := range []string{"/tmp/a b", "/tmp/a,b", "/tmp/a:b", `/tmp/"x`, "/tmp/%h"} {
		if _, err := Open(bad); !errors.Is(err, ErrNotReady) {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

func TestFleetHosts(t *testing.T) {
	got, err := fleetHosts("testdata/fleet")
	if err != nil || !cmp.Equal(got, []string{"alpha", "beta"}) {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := fleetHosts(t.TempDir()); err == nil || !strings.Contains(err.Error(), "host.toml") {
		t.Errorf("an empty fleet: %v", err)
	}
	bad := t.TempDir()
	dir := filepath.Join(bad, "hosts", "Not_A_Name")
	if err := errors.Join(os.MkdirAll(dir, 0o700), os.WriteFile(filepath.Join(dir, "host.toml"), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	if _, err := fleetHosts(bad); err == nil || !strings.Contains(err.Error(), "Not_A_Name") {
		t.Errorf("a bad name: %v", err)
	}
}

func TestQueueArgs(t *testing.T) {
	for want, got := range map[string][]string{
		"netem delay 1500us":                         queueArgs(1500*time.Microsecond, 0),
		"netem delay 20000us rate 64000bit":          queueArgs(20*time.Millisecond, 64_000),
		"tbf rate 64000bit burst 32kb latency 400ms": queueArgs(0, 64_000),
	} {
		if strings.Join(got, " ") != want {
			t.Errorf("%v, want %s", got, want)
		}
	}
}
