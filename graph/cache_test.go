package graph

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func cacheIn(t testing.TB, dir string) *Cache {
	t.Helper()
	c, err := OpenCache(dir)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// keyOf is the key of the result number i.
func keyOf(i int) digest { return digestValue([]byte{byte(i)}) }

// success is an entry of a result, computed at a time.
func success(task string, key digest, value string, at time.Time) entry {
	return entry{kind: recordSuccess, task: []byte(task), key: key, digest: digestValue([]byte(value)), value: []byte(value), time: at.Unix()}
}

// filled is a cache with n results of one size, number i of use i days ago.
func filled(t *testing.T, n int, now time.Time) *Cache {
	t.Helper()
	c := cacheIn(t, t.TempDir())
	now = now.Truncate(time.Second) // as exact as the journal is
	for i := range n {
		c.now = func() time.Time { return now.AddDate(0, 0, -i) }
		ok(t, c.append(success(fmt.Sprintf("h/t%d", i), keyOf(i), `"x"`, now)))
	}
	c.now = func() time.Time { return now }
	return c
}

func tasksOf(kept []Kept) (names []string) {
	for _, k := range kept {
		names = append(names, k.Task)
	}
	return names
}

func TestPrune(t *testing.T) {
	const day, ever, huge = 24 * time.Hour, 1 << 62, 1 << 62
	size := func() int64 {
		kept, err := filled(t, 1, time.Now()).Entries()
		if err != nil {
			t.Fatal(err)
		}
		return kept[0].Bytes
	}()
	tests := []struct {
		name string
		o    PruneOptions
		want []string // what goes, in order
	}{
		{"nothing is old or big", PruneOptions{OlderThan: ever, MaxSize: huge}, nil},
		{"old", PruneOptions{OlderThan: 2 * day, MaxSize: huge}, []string{"h/t4", "h/t3"}},
		{"big", PruneOptions{OlderThan: ever, MaxSize: 2*size + 1}, []string{"h/t4", "h/t3", "h/t2"}},
		{"just as big as allowed", PruneOptions{OlderThan: ever, MaxSize: 5 * size}, nil},
		{"both", PruneOptions{OlderThan: 3 * day, MaxSize: 3 * size}, []string{"h/t4", "h/t3"}},
		{"in use, though old", PruneOptions{OlderThan: 2 * day, MaxSize: huge, Keep: map[string]bool{keyOf(4).String(): true}}, []string{"h/t3"}},
		{"in use, though big", PruneOptions{OlderThan: ever, MaxSize: size, Keep: map[string]bool{keyOf(4).String(): true, keyOf(0).String(): true}},
			[]string{"h/t3", "h/t2", "h/t1"}},
		{"everything", PruneOptions{OlderThan: ever, MaxSize: 0}, []string{"h/t4", "h/t3", "h/t2", "h/t1", "h/t0"}},
	}
	for _, test := range tests {
		for _, test.o.Dry = range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/dry=%v", test.name, test.o.Dry), func(t *testing.T) {
				c := filled(t, 5, time.Now())
				removed, left, err := c.Prune(test.o)
				if diff := cmp.Diff(test.want, tasksOf(removed)); diff != "" || err != nil || len(removed)+len(left) != 5 {
					t.Fatalf("%v, %d left\n%s", err, len(left), diff)
				}
				kept, err := cacheIn(t, c.dir).Entries()
				want := 5 - len(removed)
				if test.o.Dry {
					want = 5
				}
				if len(kept) != want || err != nil {
					t.Errorf("%d are there, want %d (%v)", len(kept), want, err)
				}
			})
		}
	}
}

func TestPruneTakesLeftoversAndLeavesStrangers(t *testing.T) {
	now := time.Now()
	c := filled(t, 1, now)
	old, young, strange := filepath.Join(c.dir, ".columns-123"), filepath.Join(c.dir, ".journal-456"), filepath.Join(c.dir, "notes")
	for path, used := range map[string]time.Time{old: now.Add(-25 * time.Hour), young: now.Add(-time.Minute), strange: now.Add(-25 * time.Hour)} {
		ok(t, os.WriteFile(path, []byte("half"), 0o600))
		ok(t, os.Chtimes(path, used, used))
	}
	if _, left, err := c.Prune(PruneOptions{OlderThan: time.Hour, MaxSize: 1 << 40}); err != nil || len(left) != 1 {
		t.Fatalf("%v, %v", left, err)
	}
	if _, err := os.Stat(old); err == nil {
		t.Error("what a killed process left is still there")
	}
	for _, path := range []string{young, strange} {
		if _, err := os.Stat(path); err != nil {
			t.Error("what is not left over was removed:", err)
		}
	}
}

func TestNoCacheIsEmpty(t *testing.T) {
	c := cacheIn(t, filepath.Join(t.TempDir(), "none"))
	kept, err := c.Entries()
	removed, left, errPrune := c.Prune(PruneOptions{})
	if len(kept)+len(removed)+len(left) > 0 || err != nil || errPrune != nil || len(c.Tasks()) > 0 {
		t.Error(kept, removed, left, err, errPrune)
	}
}

// A hit keeps a result young, to the day; a dry run writes nothing.
func TestHitIsNoted(t *testing.T) {
	tests := []struct {
		name  string
		later time.Duration
		dry   bool
		noted bool
	}{
		{"an hour later", time.Hour, false, false},
		{"the next day", 25 * time.Hour, false, true},
		{"in a dry run", 25 * time.Hour, true, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := cacheIn(t, t.TempDir())
			began := time.Now().Truncate(time.Hour)
			c.now = func() time.Time { return began }
			g := New()
			pure(g, "h/x", constant("x"))
			_, err := g.Run(t.Context(), Options{Cache: c})
			ok(t, err)
			now := began.Add(test.later)
			c.now = func() time.Time { return now }
			result, err := g.Run(t.Context(), Options{Cache: c, Dry: test.dry})
			if err != nil || result.Counts[StatusCached] != 1 {
				t.Fatal(err, result.Counts)
			}
			want := began
			if test.noted {
				want = now
			}
			if kept, err := cacheIn(t, c.dir).Entries(); err != nil || len(kept) != 1 || !kept[0].Used.Equal(want) {
				t.Errorf("last of use %v, want %v (%v)", kept, want, err)
			}
		})
	}
}

func TestRecorded(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a b"), []byte("x"), 0o700); err != nil {
		t.Fatal(err)
	}
	c := cacheIn(t, filepath.Join(dir, "cache"))
	g := New()
	first := pure(g, "h/first", constant("one"))
	pure(g, "h/second", constant("two"), func(t *Task) {
		t.Version(3)
		t.Value(`odd " = "`, "a\nb")
		t.Files(dir, "a b", "none")
		Use(t, first)
	})
	Observe(g, "h/look", func(*Task) func(context.Context) (int, error) {
		return func(context.Context) (int, error) { return 1, nil }
	})
	if _, err := g.Run(t.Context(), Options{Cache: c}); err != nil {
		t.Fatal(err)
	}
	got, ok := cacheIn(t, filepath.Join(dir, "cache")).Recorded("h/second")
	want := []string{
		"the form of this record: roost-key-1",
		"the task: h/second",
		"roost's own code for this task: version 3",
		"the file a b: executable " + digestValue([]byte("x")).String(),
		"the file none: missing",
		"the result of h/first: sha256 " + digestValue([]byte(`"one"`)).String(),
		`the value "odd \" = \"": "a\nb"`,
	}
	if diff := cmp.Diff(want, got.Words); diff != "" || !ok {
		t.Error(diff)
	}
	if len(got.Lines) != len(got.Words) || record(got.Lines).key().String() != got.Key {
		t.Errorf("the key is not of the lines: %q", got.Lines)
	}
	if look, ok := c.Recorded("h/look"); !ok || look.Key != "" {
		t.Errorf("an observation has the key %q (%v)", look.Key, ok)
	}
	if _, ok := c.Recorded("h/none"); ok {
		t.Error("a task that never ran has a success")
	}
	if diff := cmp.Diff([]string{"h/first", "h/look", "h/second"}, c.Tasks()); diff != "" {
		t.Error(diff)
	}

	state := func(want ResultState) {
		t.Helper()
		if got := c.State("h/second", got.Key); got != want {
			t.Errorf("the result is %s, want %s", got, want)
		}
	}
	state(ResultKept)
	if _, _, err := c.Prune(PruneOptions{}); err != nil {
		t.Fatal(err)
	}
	state(ResultMissing)
	if again, _ := c.Recorded("h/second"); again.Key != got.Key {
		t.Error("why it ran last is forgotten with its result")
	}
	if got := c.State("h/second", "../x"); got != ResultMissing {
		t.Errorf("an odd key is %s", got)
	}
}

// Processes that share a cache folder, and a prune at the same time: each run
// is right, and none forgets what the others did.
func TestProcessesShareACache(t *testing.T) {
	dir := t.TempDir()
	s := newShelf(t)
	var all sync.WaitGroup
	for i := range 4 {
		c := cacheIn(t, dir) // each process opens its own
		remote := openRemote(t, s.URL, RemoteOptions{})
		all.Go(func() {
			for round := range 5 {
				g := New()
				for n := range 20 {
					value := fmt.Sprint(n, round)
					pure(g, fmt.Sprintf("h/t%d", n), constant(value), func(t *Task) { t.Value("round", fmt.Sprint(round)) })
				}
				pure(g, fmt.Sprintf("own%d/x", i), constant("x"), func(t *Task) { t.Value("round", fmt.Sprint(round)) })
				result, err := g.Run(context.Background(), Options{Cache: c, Remote: remote})
				if err != nil {
					t.Error(err)
					return
				}
				for n := range int32(20) {
					if got, want := valueOf(result, n), fmt.Sprint(n, round); got != want {
						t.Errorf("task %d is %s, want %s", n, got, want)
					}
				}
				if i == 0 {
					if _, _, err := c.Prune(PruneOptions{OlderThan: time.Hour, MaxSize: 500}); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	all.Wait()
}

// What another process kept in the meantime is not lost, whoever makes the index.
func TestSaveKeepsWhatOthersKept(t *testing.T) {
	dir := t.TempDir()
	a, b := cacheIn(t, dir), cacheIn(t, dir)
	ok(t, a.append(success("a/x", keyOf(1), `"1"`, time.Now())))
	ok(t, b.append(success("b/x", keyOf(2), `"2"`, time.Now())))
	for _, c := range []*Cache{a, b} {
		c.index.hour = 0 // so that it is made anew
		ok(t, c.save(&texts{}, &fileNames{}, nil))
	}
	again := cacheIn(t, dir)
	if diff := cmp.Diff([]string{"a/x", "b/x"}, again.Tasks()); diff != "" || again.tail.records != 0 {
		t.Error(diff, again.tail.records)
	}
}

// FuzzParseRemoteEntry: no bytes pass for an entry but one of this task, key and version.
func FuzzParseRemoteEntry(f *testing.F) {
	key := keyOf(1).String()
	for _, e := range []remoteEntry{
		{Version: remoteVersion, Task: "h/x", Key: key, Digest: digestValue([]byte(`{"a":1}`)).String()},
		{Version: remoteVersion, Task: "h/y", Key: key, Digest: key},
		{Version: 2, Task: "h/x", Key: key},
	} {
		data, err := json.Marshal(e)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(`null`))
	f.Add([]byte(`{"Version":1,"TASK":"h/x"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if e, ok := parseRemoteEntry(data, "h/x", key); ok && (e.Task != "h/x" || e.Key != key || e.Version != remoteVersion) {
			t.Fatalf("took %+v", e)
		}
	})
}

// FuzzWords: a line in words never loses a line that is not ours.
func FuzzWords(f *testing.F) {
	f.Add(line("file", `a "b" = c`, "missing"))
	f.Add(line("value", "\x00", "\n"))
	f.Add(`file "`)
	f.Add("")
	f.Fuzz(func(t *testing.T, l string) {
		if got := words(l); got == "" && l != "" || strings.Contains(got, "\n") && !strings.Contains(l, "\n") {
			t.Fatalf("%q became %q", l, got)
		}
	})
}

// What a hit costs: from this machine's folder, and from a server on it.
func BenchmarkCacheGet(b *testing.B) {
	value, _ := json.Marshal(map[string]string{"drv": "/nix/store/" + strings.Repeat("a", 60), "out": "/nix/store/" + strings.Repeat("b", 56)})
	key := keyOf(1).String()
	b.Run("local", func(b *testing.B) {
		c := cacheIn(b, b.TempDir())
		if err := c.append(success("h/eval", keyOf(1), string(value), time.Now())); err != nil {
			b.Fatal(err)
		}
		if err := c.refresh(); err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			if _, ok := c.result("h/eval", keyOf(1)); !ok {
				b.Fatal("a miss")
			}
		}
	})
	s := newShelf(b)
	remote := openRemote(b, s.URL, RemoteOptions{})
	if err := remote.send(b.Context(), "h/eval", key, value); err != nil {
		b.Fatal(err)
	}
	for _, test := range []struct {
		name, key string
	}{{"remote", key}, {"remote miss", keyOf(2).String()}} {
		b.Run(test.name, func(b *testing.B) {
			for b.Loop() {
				if _, ok := remote.get(b.Context(), "h/eval", test.key); ok != (test.key == key) {
					b.Fatal(ok, remote.Report())
				}
			}
		})
	}
	b.Run("switched off", func(b *testing.B) {
		s.breaks(func(w http.ResponseWriter, _ *http.Request, _ *shelf) bool { w.WriteHeader(500); return true })
		for b.Loop() {
			remote.get(b.Context(), "h/eval", key)
		}
	})
}
