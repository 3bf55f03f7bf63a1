package graph

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// A task may make the folder in which it makes files, or put another in its place.
func TestFolderMadeByATask(t *testing.T) {
	tests := []struct {
		name   string
		before func(out string) error // before the run
		make   func(out string) error
	}{
		{"it is missing", func(string) error { return nil }, func(out string) error { return os.Mkdir(out, 0o700) }},
		{"it is emptied", func(out string) error { return os.Mkdir(out, 0o700) }, func(out string) error {
			if err := os.RemoveAll(out); err != nil {
				return err
			}
			return os.Mkdir(out, 0o700)
		}},
		{"it is moved away", func(out string) error {
			if err := os.Mkdir(out, 0o700); err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(out, "file"), []byte("old"), 0o600)
		}, func(out string) error {
			if err := os.Rename(out, out+".old"); err != nil {
				return err
			}
			return os.Mkdir(out, 0o700)
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "out")
			ok(t, test.before(out))
			ran := 0
			graph := func() *Graph {
				g := New()
				first := pure(g, "h/make", func(context.Context) (string, error) {
					ran++
					if err := test.make(out); err != nil {
						return "", err
					}
					return "", os.WriteFile(filepath.Join(out, "file"), []byte("new"), 0o600)
				}, func(t *Task) { t.Makes(out, "file") })
				pure(g, "h/use", func(context.Context) (string, error) { ran++; return "", nil }, func(t *Task) {
					Use(t, first)
					t.Files(out, "file")
				})
				return g
			}
			c := cacheIn(t, t.TempDir())
			for range 2 {
				_, err := graph().Run(t.Context(), Options{Cache: c})
				ok(t, err)
			}
			if ran != 2 {
				t.Errorf("two tasks ran %d times", ran)
			}
			text := c.textOf("h/use", mustLast(t, c, "h/use").at)
			if want := line("file", "file", digestValue([]byte("new")).String()); !slices.Contains(text, want) {
				t.Errorf("the key of what uses the file is made of %q", text)
			}
		})
	}
}

func mustLast(t *testing.T, c *Cache, task string) taskRow {
	t.Helper()
	row, is := c.lastOf(task)
	if !is {
		t.Fatalf("%s never ran", task)
	}
	return row
}

// A damaged index may not pass off a file as another one: here, one that is
// there as one that is missing, for which there is a result as well.
func TestDamagedFileKindIsNotBelieved(t *testing.T) {
	defer func(was time.Duration) { rest = was }(rest)
	rest = fileRest
	dir := t.TempDir()
	run := func() string {
		c := cacheIn(t, filepath.Join(dir, "cache"))
		defer c.Close()
		g := New()
		ref := pure(g, "h/x", func(context.Context) (string, error) {
			data, err := os.ReadFile(filepath.Join(dir, "in"))
			if os.IsNotExist(err) {
				return "missing", nil
			}
			return string(data), err
		}, func(t *Task) { t.Files(dir, "in") })
		result, err := g.Run(t.Context(), Options{Cache: c})
		ok(t, err)
		value, _ := ValueOf(result, ref)
		return value
	}
	run()
	ok(t, os.WriteFile(filepath.Join(dir, "in"), []byte("there"), 0o600))
	time.Sleep(fileRest + 5*time.Millisecond)
	run()
	path := filepath.Join(dir, "cache", "index")
	ok(t, os.Remove(path)) // the next run makes it anew, with all that is known by now
	run()
	f, _ := indexLayout.open(path)
	at := int(f.starts[colFileKinds])
	data, err := os.ReadFile(path)
	ok(t, err)
	if contentKind(data[at]) != regular {
		t.Fatalf("the index says %d of the file", data[at])
	}
	data[at] = byte(missing)
	ok(t, os.Remove(path))
	ok(t, os.WriteFile(path, data, 0o600))
	if value := run(); value != "there" {
		t.Errorf("the file is there, and the value is %q", value)
	}
}

// Files of one name below two roots are two inputs: to swap them is a change.
func TestSameNameInTwoFolders(t *testing.T) {
	one, two := t.TempDir(), t.TempDir()
	c := cacheIn(t, t.TempDir())
	write := func(a, b string) {
		ok(t, os.WriteFile(filepath.Join(one, "in"), []byte(a), 0o600))
		ok(t, os.WriteFile(filepath.Join(two, "in"), []byte(b), 0o600))
	}
	for _, contents := range [][2]string{{"a", "b"}, {"b", "a"}, {"a", "a"}, {"a", "b"}} {
		write(contents[0], contents[1])
		g := New()
		ref := pure(g, "h/x", func(context.Context) (string, error) {
			a, err := os.ReadFile(filepath.Join(one, "in"))
			ok(t, err)
			b, err := os.ReadFile(filepath.Join(two, "in"))
			return string(a) + string(b), err
		}, func(t *Task) {
			t.Files(one, "other")
			t.Files(two, "in")
			t.Files(one, "in")
		})
		result, err := g.Run(t.Context(), Options{Cache: c})
		ok(t, err)
		if got, _ := ValueOf(result, ref); got != contents[0]+contents[1] {
			t.Errorf("the files are %q, the value is %q", contents, got)
		}
	}
}

func TestOneMakerAFile(t *testing.T) {
	dir := t.TempDir()
	for _, test := range []struct{ second, error string }{
		{"x", "the task graph is not valid: h/a and h/b both make " + filepath.Join(dir, "x")},
		{"y", ""},
	} {
		g := New()
		for i, rel := range []string{"x", test.second} {
			pure(g, []string{"h/a", "h/b"}[i], constant(""), func(t *Task) {
				t.Makes(dir, rel, "./"+rel) // twice by the same task is no harm
				t.Heavy()
			})
		}
		got := ""
		if _, err := g.Plan(t.Context(), Options{}); err != nil {
			got = err.Error()
		}
		if got != test.error {
			t.Errorf("got %q, want %q", got, test.error)
		}
	}
}
