package nix

import (
	"os"
	"path/filepath"
	"testing"

	"roost/internal/testneed"
)

// privateStore gives the test a store of its own, without daemon and network,
// and the Nix that works in it.
func privateStore(t *testing.T) *Nix {
	t.Helper()
	testneed.Tool(t, "nix")
	testneed.Root(t) // the sandbox of a store that is not at /nix/store needs it
	dir := t.TempDir()
	conf := filepath.Join(dir, "conf")
	if err := os.Mkdir(conf, 0o700); err != nil {
		t.Fatal(err)
	}
	err := os.WriteFile(filepath.Join(conf, "nix.conf"), []byte(`build-users-group =
sandbox = true
sandbox-paths = /bin /usr /lib /lib64
substituters =
`), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("NIX_CONF_DIR", conf)
	t.Setenv("NIX_USER_CONF_FILES", "")
	t.Setenv("NIX_CONFIG", "")
	t.Setenv("HOME", filepath.Join(dir, "home"))
	t.Setenv("XDG_CACHE_HOME", "")
	t.Setenv("NIX_REMOTE", "local?root="+filepath.Join(dir, "root"))
	t.Cleanup(func() { // what is in a store is read-only
		_ = filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				_ = os.Chmod(path, 0o700)
			}
			return nil
		})
	})
	n, err := Detect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return n
}
