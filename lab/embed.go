package lab

import (
	"embed"
	"io/fs"
)

//go:embed fleet/flake.nix fleet/flake.lock fleet/hosts fleet/modules
var embedded embed.FS

// FleetFS is the lab's fleet as it stands in lab/fleet, for a program that runs
// without the source.
func FleetFS() fs.FS {
	fleet, err := fs.Sub(embedded, "fleet")
	if err != nil {
		panic(err) // the path is valid by construction
	}
	return fleet
}
