package command

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// A closed environment has nothing of ours, and its PATH is the one that counts.
func TestEnviron(t *testing.T) {
	t.Setenv("ROOST_COMMAND_TEST", "ours")
	ours := t.TempDir()
	for _, name := range []string{"only-ours", "dull"} {
		if err := os.WriteFile(filepath.Join(ours, name), []byte("#!/bin/sh\necho ours\n"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	theirs := t.TempDir()
	if err := os.WriteFile(filepath.Join(theirs, "tool"), []byte("#!/bin/sh\necho \"$A $B $ROOST_COMMAND_TEST\"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(theirs, "dull"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", ours)
	environ := []string{"PATH=/nowhere", "PATH=relative:" + theirs, "A=1"}

	out, err := Output(t.Context(), Cmd{Name: "tool", Environ: environ, Env: []string{"B=2"}})
	if err != nil || string(out) != "1 2 \n" {
		t.Errorf("got %q, %v", out, err)
	}
	if out, err := Output(t.Context(), Cmd{Name: "./tool", Dir: theirs, Environ: []string{}}); err != nil || string(out) != "  \n" {
		t.Errorf("by its place: got %q, %v", out, err)
	}
	for _, name := range []string{"only-ours", "dull"} {
		if err := Run(t.Context(), Cmd{Name: name, Environ: environ}); !errors.Is(err, exec.ErrNotFound) {
			t.Errorf("%s, which is no program on that PATH: %v", name, err)
		}
	}
}
