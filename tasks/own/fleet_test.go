package own

import (
	"os"
	"path/filepath"
	"testing"

	"roost/hosts"
)

// newFleet makes a fleet of three hosts, heron and rook (servers) and malphas (a
// desktop), with more files.
func newFleet(t testing.TB, files map[string]string) *hosts.Fleet {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		writeFile(t, dir, name, text)
	}
	for name, role := range map[string]string{"heron": "server", "rook": "server", "malphas": "desktop"} {
		writeFile(t, dir, "hosts/"+name+"/host.toml", "system = 'x86_64-linux'\nrole = '"+role+"'\nssh.address = '127.0.0.1'\nssh.port = 1\n")
	}
	fleet, err := hosts.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	return fleet
}

func writeFile(t testing.TB, dir, name, text string) {
	t.Helper()
	path := filepath.Join(dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
}
