package graph

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// A cache that remembers another content of a file, under the stamp that it
// has, is believed, but for a run that verifies.
func TestVerify(t *testing.T) {
	for _, test := range []struct {
		name   string
		verify bool
		ran    int
	}{{"believed", false, 2}, {"verified", true, 1}} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "in")
			ok(t, os.WriteFile(path, []byte("x"), 0o600))
			c := cacheIn(t, filepath.Join(dir, "cache"))
			ran := 0
			run := func(verify bool) {
				t.Helper()
				g := New()
				pure(g, "h/x", func(context.Context) (string, error) { ran++; return "", nil }, func(t *Task) { t.Files(dir, "in") })
				_, err := g.Run(t.Context(), Options{Cache: c, Verify: verify})
				ok(t, err)
			}
			run(false)
			now, err := statAt(unix.AT_FDCWD, []byte(path+"\x00"), false)
			ok(t, err)
			wrong := content{regular, digest{1}}
			ok(t, c.append(entry{
				kind: recordFile, root: []byte(dir), file: []byte("in"),
				stamp: now.sum(wrong), content: wrong.kind, digest: wrong.digest,
			}))
			run(test.verify)
			if ran != test.ran {
				t.Errorf("it ran %d times, want %d", ran, test.ran)
			}
		})
	}
}
