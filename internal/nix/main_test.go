package nix

import (
	"testing"

	"roost/internal/testneed"
)

// privateStore gives the test a store of its own, without daemon and network,
// and the Nix that works in it.
func privateStore(t *testing.T) *Nix {
	t.Helper()
	testneed.NixStore(t)
	n, err := Detect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return n
}
