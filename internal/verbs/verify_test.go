package verbs

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"hash/crc32"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"roost/graph"
	"roost/internal/ledger"
	"roost/internal/testneed"
)

// TestVerify: what the cache knows of a file is believed by its time stamp, even
// if it is wrong, but with Verify; a run that is resumed verifies again.
func TestVerify(t *testing.T) {
	testneed.Tool(t, "sh")
	sh, err := exec.LookPath("sh") // a file that nobody has touched for longer than 2 s
	if err == nil {
		sh, err = filepath.EvalSymlinks(sh)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name           string
		verify, resume bool
		ran            int
	}{
		{"believed", false, false, 2},
		{"verified", true, false, 1},
		{"verified by the run that is resumed", true, true, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := emptyFleet(t)
			ran := 0
			hash := Verb{"hash", func(_ context.Context, w *Work) error {
				graph.Pure(w.Graph, "fleet/hash", func(t *graph.Task) graph.Compute[int] {
					t.Files(filepath.Dir(sh), filepath.Base(sh))
					return graph.Compute[int]{Run: func(context.Context) (int, error) { ran++; return ran, nil }}
				})
				return nil
			}}
			ctx, signals := NotifySignals(t.Context(), false)
			defer signals.Stop()
			o.Verify = c.resume
			if err := Do(ctx, signals, o, hash); err != nil {
				t.Fatal(err)
			}
			forgetContent(t, o.Fleet, sh)
			o.Verify = c.verify && !c.resume
			if c.resume {
				err = Resume(ctx, signals, o, "", hash)
			} else {
				err = Do(ctx, signals, o, hash)
			}
			if err != nil || ran != c.ran {
				t.Errorf("it ran %d times (%v), want %d", ran, err, c.ran)
			}
		})
	}
}

// emptyFleet makes a fleet of one host, with a state of its own.
func emptyFleet(t *testing.T) Options {
	t.Helper()
	fleet := t.TempDir()
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	t.Setenv("STATE_DIRECTORY", "")
	host := filepath.Join(fleet, "hosts", "rook")
	if err := os.MkdirAll(host, 0o700); err != nil {
		t.Fatal(err)
	}
	for path, text := range map[string]string{
		filepath.Join(fleet, "flake.nix"): "{ }\n",
		filepath.Join(host, "host.toml"):  "system = \"x86_64-linux\"\nrole = \"server\"\n",
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { out.Close() })
	return Options{Fleet: fleet, Stdout: out, Stderr: out}
}

// forgetContent makes the cache of a fleet remember another content of a file,
// under the stamp that it has.
func forgetContent(t *testing.T, fleet, file string) {
	t.Helper()
	state, err := ledger.Open(fleet)
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	path := state.Path("cache", "journal")
	journal, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256(data)
	at := bytes.Index(journal, digest[:])
	frame := bytes.LastIndex(journal[:max(at, 0)], []byte("\x00roo"))
	if at < 0 || frame < 0 {
		t.Fatalf("the journal does not know %s", file)
	}
	journal[at]++
	payload := journal[frame+12:][:binary.LittleEndian.Uint32(journal[frame+4:])]
	binary.LittleEndian.PutUint32(journal[frame+8:], crc32.Checksum(payload, crc32.MakeTable(crc32.Castagnoli)))
	if err := os.WriteFile(path, journal, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(state.Path("cache", "index")); err != nil { // it is made of the journal
		t.Fatal(err)
	}
}
