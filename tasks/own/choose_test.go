package own

import (
	"strings"
	"testing"
)

func TestChoose(t *testing.T) {
	fleet := newFleet(t, nil)
	tasks, err := read(fleet, []byte(`
[task.one]
run    = ["true"]
always = true
[task.web]
on     = "@server"
run    = ["true"]
always = true
needs  = ["one"]
[task.all]
run    = ["true"]
always = true
needs  = ["web"]
[task.exact]
on     = "*"
run    = ["true"]
always = true
needs  = ["rook/web"]
`))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		names, on   string
		goals, rest string // rest: what comes along
		says        string // of the error
	}{
		{names: "", goals: "fleet/all heron/exact malphas/exact rook/exact fleet/one heron/web rook/web"},
		{names: "one", goals: "fleet/one"},
		{names: "fleet/one one", goals: "fleet/one"},
		{names: "web", goals: "heron/web rook/web", rest: "fleet/one"},
		{names: "rook/web", goals: "rook/web", rest: "fleet/one"},
		{names: "*/web", goals: "heron/web rook/web", rest: "fleet/one"},
		{names: "all", goals: "fleet/all", rest: "fleet/one heron/web rook/web"},
		{names: "all", on: "heron", goals: "fleet/all", rest: "fleet/one heron/web"}, // narrowed
		{names: "all", on: "malphas", goals: "fleet/all"},
		{names: "exact", on: "rook", goals: "rook/exact", rest: "fleet/one rook/web"},
		{names: "exact", on: "heron", says: "heron/exact waits for rook/web, and --on does not select rook: select it too"},
		{names: "rook/web", on: "heron", says: `task "rook/web": --on does not select rook`},
		{names: "web", on: "malphas", says: "--on selects no host that has one of these tasks"},
		{names: "wbe", says: `task "wbe": there is no task "wbe"; known tasks: all, exact, one, web`},
		{names: "malphas/web", says: `task "malphas/web": "web" is on none of these hosts, it is on "@server"`},
		{names: "nobody/web", says: `no host "nobody"`},
		{names: "rook/one", says: `"one" is on no host: write "one"`},
		{names: "fleet/web", says: `"web" is on hosts: write "web"`},
		{names: "(/web", says: "expected a host here"},
	} {
		selected, err := fleet.Select(c.on)
		if err != nil {
			t.Fatal(err)
		}
		chosen, err := tasks.Choose(strings.Fields(c.names), selected)
		if c.says != "" || err != nil {
			if err == nil || c.says == "" || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%q on %q: %v, want %q", c.names, c.on, err, c.says)
			}
			continue
		}
		if got := strings.Join(chosen.Goals(), " "); got != c.goals {
			t.Errorf("%q on %q: goals %s, want %s", c.names, c.on, got, c.goals)
		}
		place := map[string]int{}
		var rest []string
		for i, in := range chosen.all {
			place[in.name] = i + 1
			for _, other := range in.waitsFor() {
				if before, chosen := place[other.name]; chosen && before > i {
					t.Errorf("%s comes before %s", in.name, other.name)
				}
			}
			if !strings.Contains(" "+c.goals+" ", " "+in.name+" ") {
				rest = append(rest, in.name)
			}
		}
		if got := strings.Join(rest, " "); got != c.rest {
			t.Errorf("%q on %q: %s come along, want %s", c.names, c.on, got, c.rest)
		}
	}
}
