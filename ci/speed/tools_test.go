package speed

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// fakeTools puts programs on PATH, and nothing else, which say their version.
func fakeTools(t *testing.T, says map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range says {
		ok(t, os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\necho '"+text+"'\n"), 0o700))
	}
	t.Setenv("PATH", dir)
	return dir
}

// What is here is taken, what is not is installed, and what cannot be had is said.
func TestFind(t *testing.T) {
	dir := fakeTools(t, map[string]string{"ninja": "1.11.1", "make": "GNU Make 4.3", "task": "3.53.0", "unversioned": "hello"})
	var wanted []string
	install := func(_ context.Context, packages ...string) error {
		wanted = append(wanted, packages...)
		if packages[0] == "samurai" {
			return errors.New("no package samurai\nand more")
		}
		return os.WriteFile(filepath.Join(dir, "ansible-playbook"), []byte("#!/bin/sh\necho 'ansible-playbook [core 2.14.18]'\n"), 0o700)
	}
	p := programs{}
	versions, missing := p.find(t.Context(), t.TempDir(), install)
	type found struct {
		Versions, Missing, Wanted []string
		Programs                  programs
	}
	want := found{
		[]string{"ninja 1.11.1", "GNU make 4.3", "go-task 3.53.0", "Ansible 2.14.18"},
		[]string{"samurai (no package samurai)", "OpenTofu (`go install` refuses its module, and Debian has no package)"},
		[]string{"samurai", "ansible-core"},
		programs{"ninja": dir + "/ninja", "make": dir + "/make", "task": dir + "/task", "ansible-playbook": dir + "/ansible-playbook"},
	}
	if diff := cmp.Diff(want, found{versions, missing, wanted, p}); diff != "" {
		t.Error(diff)
	}
	if version, err := versionOf(t.Context(), filepath.Join(dir, "unversioned")); err == nil {
		t.Errorf("a program without a version has %q", version)
	}
}
