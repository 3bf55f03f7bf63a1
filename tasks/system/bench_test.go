package system

import (
	"fmt"
	"testing"

	"roost/hosts"
)

// The files of a host's stage are picked for each host of each run.
func BenchmarkStage(b *testing.B) {
	tree := &Tree{Dir: "/fleet"}
	for i := range 1000 {
		tree.Files = append(tree.Files, fmt.Sprintf("hosts/host%03d/host.toml", i), fmt.Sprintf("modules/opt-in/m%03d.nix", i))
	}
	host := &hosts.Host{Name: "host500", Modules: []string{"m001", "m500"}}
	for b.Loop() {
		if got := len(tree.Stage(host)); got != 3 {
			b.Fatal(got)
		}
	}
}
