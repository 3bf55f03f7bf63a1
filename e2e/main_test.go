package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"roost/internal/testneed"
	"roost/lab"
)

// shared is the one lab of the package, booted by the first test that asks.
var shared struct {
	once  sync.Once
	dir   string
	fleet *fleet
	err   error
}

func TestMain(m *testing.M) {
	lab.MaybeSupervise()
	code := m.Run()
	if err := takeDown(); err != nil {
		fmt.Fprintln(os.Stderr, "take the lab down:", err)
		code = 1
	}
	os.Exit(code)
}

func takeDown() error {
	if shared.dir == "" {
		return nil
	}
	if f := shared.fleet; f != nil {
		if err := f.lab.Down(context.Background(), os.Stderr); err != nil {
			return err
		}
	}
	return os.RemoveAll(shared.dir)
}

// booted returns the fleet as lab/fleet has it, and sees to it that the test
// leaves no fault and no edit behind. What the hosts run is what the last test
// left, so the test changes every host or asks for a settled fleet.
func booted(t *testing.T) *fleet {
	t.Helper()
	testneed.Lab(t)
	shared.once.Do(func() { shared.err = boot(t) })
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	f := shared.fleet
	t.Cleanup(func() { f.restore(t) })
	if f.first == nil {
		f.first = f.run(t)
	}
	return f
}

// settled returns a booted fleet whose hosts run what it declares.
func settled(t *testing.T) *fleet {
	t.Helper()
	f := booted(t)
	f.run(t).want(t, 0)
	return f
}

func boot(t *testing.T) (err error) {
	if shared.dir, err = os.MkdirTemp("", "roost-e2e-"); err != nil {
		return err
	}
	roost := filepath.Join(shared.dir, "roost")
	if out, err := exec.Command("go", "build", "-o", roost, "roost/cmd/roost").CombinedOutput(); err != nil {
		return fmt.Errorf("build roost: %w\n%s", err, out)
	}
	l, err := lab.Open(filepath.Join(shared.dir, "lab"))
	if err != nil {
		return err
	}
	f := &fleet{lab: l, roost: roost, address: map[string]string{}}
	shared.fleet = f
	if err := l.Up(t.Context(), "../lab/fleet", t.Output()); err != nil {
		return err
	}
	all, err := l.Status(t.Context())
	if err != nil {
		return err
	}
	for _, h := range all {
		f.address[h.Name] = h.Address
	}
	f.files, err = readTree(l.Fleet())
	return err
}

// readTree reads every file below a folder; of a link, where it points.
func readTree(dir string) (map[string]string, error) {
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		if entry.Type()&os.ModeSymlink != 0 {
			files[rel], err = os.Readlink(path)
			return err
		}
		data, err := os.ReadFile(path)
		files[rel] = string(data)
		return err
	})
	return files, err
}

// changed names the files that differ between two trees.
func changed(before, after map[string]string) []string {
	var names []string
	for name, text := range before {
		if now, ok := after[name]; !ok || now != text {
			names = append(names, name)
		}
	}
	for name := range after {
		if _, ok := before[name]; !ok {
			names = append(names, name)
		}
	}
	return names
}
