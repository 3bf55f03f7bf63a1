package ledger

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// open opens and makes the state of a fleet in folders of the test's own.
func open(t *testing.T) *State {
	t.Helper()
	t.Setenv("STATE_DIRECTORY", "")
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	s, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Make(); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestOpenFindsTheFolder(t *testing.T) {
	tests := []struct {
		name              string
		systemd, xdg      string
		want              string // the parent of the state folder
		missingHomeFolder bool
	}{
		{name: "XDG_STATE_HOME", xdg: "/x", want: "/x/roost"},
		{name: "systemd goes first", systemd: "/s", xdg: "/x", want: "/s"},
		{name: "the first of several", systemd: "/s/one:/s/two", xdg: "/x", want: "/s/one"},
		{name: "home", want: "/h/.local/state/roost"},
		{name: "nowhere", missingHomeFolder: true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Setenv("STATE_DIRECTORY", test.systemd)
			t.Setenv("XDG_STATE_HOME", test.xdg)
			t.Setenv("HOME", "/h")
			if test.missingHomeFolder {
				t.Setenv("HOME", "")
			}
			s, err := Open("/fleets/mine")
			if test.missingHomeFolder {
				if err == nil || !strings.Contains(err.Error(), "set XDG_STATE_HOME") {
					t.Fatalf("want an error that says what to set, got %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := filepath.Dir(s.Dir); got != test.want {
				t.Errorf("state in %s, want it in %s", s.Dir, test.want)
			}
			if got := filepath.Base(s.Dir); !strings.HasPrefix(got, "mine-") {
				t.Errorf("state folder %s does not name its fleet", got)
			}
		})
	}
}

func TestFleetsDoNotShareState(t *testing.T) {
	t.Setenv("STATE_DIRECTORY", "")
	t.Setenv("XDG_STATE_HOME", "/x")
	dir := t.TempDir()
	for _, sub := range []string{"a/fleet", "b/fleet"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(filepath.Join(dir, "a/fleet"), filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	at := func(path string) string {
		s, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		return s.Dir
	}
	t.Chdir(filepath.Join(dir, "a"))
	a := at(filepath.Join(dir, "a/fleet"))
	if b := at(filepath.Join(dir, "b/fleet")); a == b {
		t.Errorf("two fleets of one base name share %s", a)
	}
	if link := at(filepath.Join(dir, "link")); link != a {
		t.Errorf("by a symbolic link %s, by its own path %s", link, a)
	}
	if relative := at("fleet"); relative != a {
		t.Errorf("by a relative path %s, by its own path %s", relative, a)
	}
}

func TestOddFleetNames(t *testing.T) {
	t.Setenv("STATE_DIRECTORY", "/s")
	for _, fleet := range []string{"/", "/fleets/my fleet", "/fleets/größe", "/fleets/a:b\n"} {
		s, err := Open(fleet)
		if err != nil {
			t.Fatal(err)
		}
		if base := filepath.Base(s.Dir); filepath.Dir(s.Dir) != "/s" || odd.MatchString(base) {
			t.Errorf("state of %q is in %q", fleet, s.Dir)
		}
	}
}

func TestOpenMakesNothing(t *testing.T) {
	t.Setenv("STATE_DIRECTORY", "")
	base := t.TempDir()
	t.Setenv("XDG_STATE_HOME", base)
	s, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if runs, err := s.Runs(); len(runs) > 0 || err != nil {
		t.Errorf("Runs of no state: %v, %v", runs, err)
	}
	if id, err := s.CutOff(); id != "" || err != nil {
		t.Errorf("CutOff of no state: %q, %v", id, err)
	}
	entries, err := os.ReadDir(base)
	if err != nil || len(entries) > 0 {
		t.Errorf("a dry run would leave %v (%v)", entries, err)
	}
	if err := s.Make(); err != nil {
		t.Fatal(err)
	}
	if got := modes(t, s.Dir); strings.ContainsAny(got, "-") || got == "" {
		t.Errorf("folders that others may enter: %s", got)
	}
}

// modes lists what below dir others may read, after a dash each; what is
// private is listed without.
func modes(t *testing.T, dir string) string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		mark, want := "", os.FileMode(0o600)
		if e.IsDir() {
			want = 0o700
		}
		if info.Mode().Perm() != want {
			mark = "-"
		}
		rel, _ := filepath.Rel(dir, path)
		out = append(out, mark+strings.ReplaceAll(rel, "-", "_"))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(out, " ")
}
