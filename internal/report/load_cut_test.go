package report

import (
	"io"
	"os"
	"path/filepath"
	"testing"
)

// A record that was cut at any byte can still be read, told of and drawn: as
// far as it goes, and never as a run that was done.
func TestLoadOfARecordCutAnywhere(t *testing.T) {
	whole, err := os.ReadFile("testdata/four.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "events.jsonl")
	for n := range len(whole) {
		if err := os.WriteFile(path, whole[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		run, err := Load(path)
		if err != nil {
			t.Fatalf("cut at byte %d: %v", n, err)
		}
		cutInLine := n > 0 && whole[n-1] != '\n' && whole[n] != '\n'
		if (run.Torn == 1) != cutInLine {
			t.Fatalf("cut at byte %d: %d torn lines", n, run.Torn)
		}
		if run.Done && n < len(whole)-1 { // all but the final newline is whole
			t.Fatalf("cut at byte %d of %d: it is taken for done", n, len(whole))
		}
		if n%50 == 0 { // these are slower
			if err := Summary(io.Discard, run, Options{}); err != nil {
				t.Fatalf("cut at byte %d: %v", n, err)
			}
			if err := HTML(io.Discard, run); err != nil {
				t.Fatalf("cut at byte %d: %v", n, err)
			}
		}
	}
}
