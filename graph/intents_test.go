package graph

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var intentsTime = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// recordOfDeed is what the n-th deed of a task is known by.
func recordOfDeed(task string, n int) record {
	return record{line("form", recordVersion, ""), line("task", task, ""), line("value", "n", fmt.Sprint(n))}
}

// failer is a test, or a case of a property.
type failer interface {
	Helper()
	Fatal(...any)
}

func openIntents(t failer, path string) *Intents {
	t.Helper()
	i, err := OpenIntents(path)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// journal writes one deed of each kind, and returns the file and what stands in
// it after each entry.
func intentsIn(t *testing.T, path string) (data []byte, after [][]Deed, ends []int) {
	t.Helper()
	i := openIntents(t, path)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		after, ends = append(after, i.Deeds()), append(ends, int(info.Size()))
	}
	a, b, c := recordOfDeed("h/a", 1), recordOfDeed("h/b", 1), recordOfDeed("h/a", 2)
	must(i.begin("h/a", a, "run1", intentsTime))
	must(i.begin("h/b", b, "run1", intentsTime))
	must(i.end("h/a", a.key().String(), "run1", intentsTime.Add(time.Second), ending{state: DeedDone, by: ByRun, value: []byte(`"ä {}"`)}))
	must(i.end("h/b", b.key().String(), "run1", intentsTime.Add(time.Second), ending{state: DeedUndone, by: ByRun, why: "no link"}))
	must(i.begin("h/b", b, "run2", intentsTime.Add(time.Hour)))
	must(i.begin("h/a", c, "run2", intentsTime.Add(time.Hour)))
	must(i.Settle("h/b", b.key().String(), DeedDone, nil, intentsTime.Add(2*time.Hour)))
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data, after, ends
}

func sameDeeds(a, b []Deed) string {
	return cmp.Diff(a, b, cmpopts.EquateEmpty(), cmp.AllowUnexported(Deed{}))
}

// TestIntentsCutAtEveryByte: what is whole counts, what was cut off is said, and
// the next entry stands where it should.
func TestIntentsCutAtEveryByte(t *testing.T) {
	dir := t.TempDir()
	data, after, ends := intentsIn(t, filepath.Join(dir, "whole"))
	path := filepath.Join(dir, "cut")
	rec := recordOfDeed("h/c", 1)
	for cut := range len(data) + 1 {
		if err := os.WriteFile(path, data[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		var want []Deed
		whole := 0
		for at, end := range ends {
			if end <= cut {
				want, whole = after[at], end
			}
		}
		torn := cut != whole && cut != len(intentsHeader)
		i := openIntents(t, path)
		if diff := sameDeeds(want, i.Deeds()); diff != "" {
			t.Fatalf("cut at %d:\n%s", cut, diff)
		}
		if (i.Torn() != "") != torn {
			t.Fatalf("cut at %d: said %q", cut, i.Torn())
		}
		if err := i.begin("h/c", rec, "run3", intentsTime); err != nil {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		again := openIntents(t, path)
		if diff := sameDeeds(i.Deeds(), again.Deeds()); diff != "" || again.Torn() != "" || len(again.Deeds()) != len(want)+1 {
			t.Fatalf("cut at %d and written to: %s\n%s", cut, again.Torn(), diff)
		}
	}
}

// TestIntentsAfterALongTail: nothing is left of a tail that is longer than the
// next entry.
func TestIntentsAfterALongTail(t *testing.T) {
	path := filepath.Join(t.TempDir(), "intents")
	tail := "01234567 {\"what\":\"" + strings.Repeat("x", 5000)
	if err := os.WriteFile(path, []byte(intentsHeader+tail), 0o600); err != nil {
		t.Fatal(err)
	}
	i := openIntents(t, path)
	if !strings.Contains(i.Torn(), fmt.Sprintf("cut off (%d bytes)", len(tail))) {
		t.Errorf("said %q", i.Torn())
	}
	if err := i.begin("h/a", recordOfDeed("h/a", 1), "r", intentsTime); err != nil {
		t.Fatal(err)
	}
	if again := openIntents(t, path); again.Torn() != "" || len(again.Deeds()) != 1 {
		t.Errorf("%s; %v", again.Torn(), again.Deeds())
	}
}

// TestIntentsFlippedAnywhere: damage is an error, whichever byte it hits, and
// also if the last line was cut off as well.
func TestIntentsFlippedAnywhere(t *testing.T) {
	data, _, ends := intentsIn(t, filepath.Join(t.TempDir(), "intents"))
	last := ends[len(ends)-2]
	for _, size := range []int{len(data), last + 40, last + 3} {
		for at := range min(size, len(data)) {
			for _, mask := range []byte{0x01, 0x20, 0x80, 0xff, data[at] ^ '\n', data[at]} {
				if mask == 0 || at >= last && size < len(data) { // in what was cut off anyway
					continue
				}
				flipped := bytes.Clone(data[:size])
				flipped[at] ^= mask
				i := newIntents("flipped")
				_, err := i.read(flipped)
				if _, damaged := errors.AsType[*IntentsDamagedError](err); damaged {
					continue
				}
				t.Fatalf("of %d bytes, byte %d (%q) became %q: %v, and %d deeds stand there", size, at, data[at], flipped[at], err, len(i.Deeds()))
			}
		}
	}
}

func TestIntentsDamageSaysWhatToDo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "intents")
	data, _, _ := intentsIn(t, path)
	lines := bytes.SplitAfter(data, []byte("\n"))
	lines[2] = bytes.Replace(lines[2], []byte("run1"), []byte("run7"), 1)
	if err := os.WriteFile(path, bytes.Join(lines, nil), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := OpenIntents(path)
	for _, want := range []string{path + ":3: its check sum does not fit its text", "backup", "intents:settle"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q in: %v", want, err)
		}
	}
	// As it says: without that line, the intent of h/b, its end still counts.
	if err := os.WriteFile(path, bytes.Join(append(lines[:2:2], lines[3:]...), nil), 0o600); err != nil {
		t.Fatal(err)
	}
	if d := openIntents(t, path).deed("h/b", recordOfDeed("h/b", 1).key().String()); d == nil || d.State != DeedDone {
		t.Errorf("without the line: %+v", d)
	}
}

func TestIntentsFileIsPrivateAndMadeLate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state", "intents")
	i := openIntents(t, path)
	if _, err := os.Stat(filepath.Dir(path)); err == nil {
		t.Error("to open the journal made something")
	}
	if err := i.begin("h/a", recordOfDeed("h/a", 1), "", intentsTime); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]os.FileMode{path: 0o600, filepath.Dir(path): 0o700} {
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
}

// TestIntentsShareAFile has two openings of one journal write in turn and at
// once: nothing is lost, and a deed is begun by one of them only.
func TestIntentsShareAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "intents")
	both := []*Intents{openIntents(t, path), openIntents(t, path)}
	const deeds = 30
	var begun [2]int
	var all sync.WaitGroup
	for who, i := range both {
		all.Go(func() {
			for n := range deeds {
				rec := recordOfDeed("h/a", n)
				if i.begin("h/a", rec, fmt.Sprint(who), intentsTime) != nil {
					continue
				}
				begun[who]++
				if err := i.end("h/a", rec.key().String(), fmt.Sprint(who), intentsTime, ending{state: DeedDone, by: ByRun}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	is := openIntents(t, path).Deeds()
	if len(is) != deeds || begun[0]+begun[1] != deeds {
		t.Errorf("%d deeds stand there; begun: %v", len(is), begun)
	}
	for _, d := range is {
		if d.State != DeedDone {
			t.Errorf("%+v", d)
		}
	}
}

func TestSettle(t *testing.T) {
	path := filepath.Join(t.TempDir(), "intents")
	i := openIntents(t, path)
	rec := recordOfDeed("h/a", 1)
	settle := func(state DeedState, result string, want string) {
		t.Helper()
		var raw []byte
		if result != "" {
			raw = []byte(result)
		}
		err := i.Settle("h/a", rec.key().String(), state, raw, intentsTime)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("settled as %s %s: %v, want %q", state, result, err, want)
		}
	}
	settle(DeedDone, "", "never began")
	if err := i.begin("h/a", rec, "r", intentsTime); err != nil {
		t.Fatal(err)
	}
	settle(DeedUnknown, "", "not as")
	settle(DeedDone, "{", "not JSON")
	settle(DeedUndone, "1", "has no result")
	settle(DeedUndone, "", "")
	settle(DeedDone, "", "nothing to settle")
	if err := i.begin("h/a", rec, "r", intentsTime); err != nil {
		t.Fatal(err)
	}
	settle(DeedDone, "", "")
	settle(DeedUndone, "", "nothing to settle")
	settle(DeedDone, "", "nothing to settle")
	settle(DeedDone, `{"n":1}`, "")
	if d := openIntents(t, path).Deeds()[0]; string(d.Value) != `{"n":1}` || d.By != ByHand {
		t.Errorf("%+v", d)
	}
}

// FuzzIntents: whatever stands in the file, it is refused, or it can be written
// to and read again.
func FuzzIntents(f *testing.F) {
	e := intentEntry{What: intentBegin, Task: "h/a", Key: recordOfDeed("h/a", 1).key().String(), Record: recordOfDeed("h/a", 1)}
	whole, err := e.line()
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(intentsHeader))
	f.Add(append([]byte(intentsHeader), whole...))
	f.Add(append([]byte(intentsHeader), whole[:len(whole)/2]...))
	f.Add([]byte("00000000 {}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "intents")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		i, err := OpenIntents(path)
		if err != nil {
			return
		}
		if err := i.begin("h/b", recordOfDeed("h/b", 1), "r", intentsTime); err != nil {
			t.Fatal(err)
		}
		if diff := sameDeeds(i.Deeds(), openIntents(t, path).Deeds()); diff != "" {
			t.Error(diff)
		}
	})
}
