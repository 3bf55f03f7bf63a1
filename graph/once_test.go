package graph

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"pgregory.net/rapid"
)

// mailbox is a world in which a deed leaves a mail.
type mailbox struct {
	journal string
	text    string // declared: another text is another mail
	sent    []string
	run     func(m *mailbox) error               // instead of sending, if set
	look    func(m *mailbox) (State[int], error) // nil: there is no Look
	declare func(*Task)
	ids     int
}

func (m *mailbox) send() error { m.sent = append(m.sent, m.text); return nil }

// sees is a Look that knows the truth.
func (m *mailbox) sees() (State[int], error) {
	n := slices.Index(m.sent, m.text) + 1
	return State[int]{Done: n > 0, Value: n, Reason: "it is in the box"}, nil
}

func (m *mailbox) graph() (*Graph, Ref[int]) {
	g := New()
	ref := Once(g, "h/mail", func(t *Task) OnceOnly[int] {
		t.Value("text", m.text)
		if m.declare != nil {
			m.declare(t)
		}
		o := OnceOnly[int]{Run: func(context.Context) (int, error) {
			do := (*mailbox).send
			if m.run != nil {
				do = m.run
			}
			return len(m.sent) + 1, do(m)
		}}
		if m.look != nil {
			o.Look = func(context.Context) (State[int], error) { return m.look(m) }
		}
		return o
	})
	return g, ref
}

// process runs the graph as a new process would: from the journal on disk.
func (m *mailbox) process(t failer, o Options) (*Result, Ref[int], error) {
	t.Helper()
	g, ref := m.graph()
	o.Intents = openIntents(t, m.journal)
	m.ids++
	o.Info.ID = fmt.Sprintf("run%d", m.ids)
	before, _ := os.ReadFile(m.journal)
	result, err := g.Run(context.Background(), o)
	if result == nil {
		t.Fatal(err)
	}
	if after, _ := os.ReadFile(m.journal); o.Dry && !bytes.Equal(before, after) {
		t.Fatal("a dry run wrote into the journal")
	}
	return result, ref, err
}

func (m *mailbox) want(t testing.TB, o Options, status Status, reason string) {
	t.Helper()
	result, _, err := m.process(t, o)
	is, why := result.Status("h/mail")
	if is != status || !strings.Contains(why, reason) {
		t.Errorf("%s: %s (%v); want %s: %s", is, why, err, status, reason)
	}
}

func newMailbox(t *testing.T) *mailbox {
	return &mailbox{journal: filepath.Join(t.TempDir(), "intents"), text: "hello"}
}

func TestOnceIsDoneOnce(t *testing.T) {
	m := newMailbox(t)
	m.want(t, Options{Dry: true}, StatusPlanned, "never done")
	if _, err := os.Stat(m.journal); err == nil {
		t.Error("a dry run made the journal")
	}
	m.want(t, Options{}, StatusRan, "never done")
	m.want(t, Options{}, StatusSatisfied, "done on 20")
	m.want(t, Options{Fresh: true}, StatusSatisfied, " in run run2")
	result, ref, _ := m.process(t, Options{})
	if n, ok := ValueOf(result, ref); !ok || n != 1 {
		t.Errorf("the result is %d", n)
	}
	m.text = "hello again"
	m.want(t, Options{Dry: true}, StatusPlanned, `text changed from hello to hello again; before: done on`)
	m.want(t, Options{}, StatusRan, "text changed")
	m.text = "hello"
	m.want(t, Options{}, StatusSatisfied, "in run run2")
	if fmt.Sprint(m.sent) != "[hello hello again]" {
		t.Errorf("sent %q", m.sent)
	}
}

func TestOnceNeedsAJournal(t *testing.T) {
	m := newMailbox(t)
	g, _ := m.graph()
	for _, dry := range []bool{true, false} {
		if result, err := g.Run(t.Context(), Options{Dry: dry}); result != nil || err == nil || !strings.Contains(err.Error(), "h/mail is once-only, and Options.Intents") {
			t.Errorf("dry %v: %v", dry, err)
		}
	}
	m.declare = (*Task).Interruptible
	g, _ = m.graph()
	if _, err := g.Run(t.Context(), Options{Intents: openIntents(t, m.journal)}); err == nil || !strings.Contains(err.Error(), "cannot be Interruptible") {
		t.Error(err)
	}
}

// TestUnknownEnd: an error that does not say, a panic, and a stop in the middle
// leave a deed that is not tried again until someone has said how it ended.
func TestUnknownEnd(t *testing.T) {
	broken := errors.New("the line broke")
	sentAnd := func(err error) func(*mailbox) error { return func(m *mailbox) error { m.send(); return err } }
	noted := func(m *mailbox) error { panic("killed") }
	tests := []struct {
		name   string
		run    func(*mailbox) error
		look   func(*mailbox) (State[int], error)
		first  Status
		says   string // in the first run's error
		second Status
		reason string
		sent   int // after both
	}{
		{"sent, and an error", sentAnd(broken), nil, StatusFailed, "not known whether it happened: the line broke\n  Find out, and say so: roost intents:settle h/mail --done", StatusRefused, "not known whether it happened: it began on ", 1},
		{"transient", sentAnd(Transient(broken)), nil, StatusFailed, "the line broke", StatusRefused, "in run run1", 1},
		{"deferred", sentAnd(Defer(broken)), nil, StatusFailed, "the line broke", StatusRefused, "", 1},
		{"exhausted", sentAnd(Exhausted("memory", broken)), nil, StatusFailed, "the line broke", StatusRefused, "", 1},
		{"panic", noted, nil, StatusFailed, "panic: killed", StatusRefused, "", 0},
		{"a look cannot tell", sentAnd(broken), func(*mailbox) (State[int], error) { return State[int]{}, errors.New("no answer") },
			StatusFailed, "a look cannot tell: no answer", StatusRefused, "a look cannot tell: no answer", 1},
		{"a look is deferred later", func(m *mailbox) error { m.send(); panic("killed") }, func(*mailbox) (State[int], error) { return State[int]{}, Defer(errors.New("away")) },
			StatusFailed, "killed", StatusDeferred, "away", 1},
		{"a look says yes at once", sentAnd(broken), (*mailbox).sees, StatusRan, "", StatusSatisfied, "as a look found: it is in the box", 1},
		{"a look says yes later", func(m *mailbox) error { m.send(); panic("killed") }, (*mailbox).sees, StatusFailed, "killed", StatusSatisfied, "as a look found", 1},
		{"a look says no", noted, (*mailbox).sees, StatusFailed, "killed", StatusRan, "did not happen, as a look found", 1},
		{"nothing happened", func(*mailbox) error { return NotDone(broken) }, nil, StatusFailed, "the line broke", StatusRan, "did not happen: the line broke", 1},
		{"refused", func(*mailbox) error { return Refuse(broken) }, nil, StatusRefused, "the line broke", StatusRan, "did not happen: the line broke", 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m := newMailbox(t)
			m.run, m.look, m.declare = test.run, test.look, func(t *Task) { t.Retries(3); t.Pool("memory", 1) }
			result, _, err := m.process(t, Options{Pools: map[string]int{"memory": 2}})
			if is, why := result.Status("h/mail"); is != test.first || test.says != "" && !strings.Contains(err.Error(), test.says) {
				t.Errorf("first %s: %s\n%v", is, why, err)
			}
			m.run = nil
			dry := test.second
			if dry == StatusRan {
				dry = StatusPlanned
			}
			m.want(t, Options{Dry: true}, dry, test.reason)
			m.want(t, Options{}, test.second, test.reason)
			if len(m.sent) != test.sent {
				t.Errorf("sent %q", m.sent)
			}
		})
	}
}

// TestOnceIsTriedAgain only where nothing happened.
func TestOnceIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMailbox(t)
		tries := 0
		m.declare = func(t *Task) { t.Retries(3) }
		m.run = func(m *mailbox) error {
			if tries++; tries < 3 {
				return Transient(NotDone(errors.New("no line")))
			}
			return m.send()
		}
		m.want(t, Options{}, StatusRan, "never done")
		if tries != 3 || len(m.sent) != 1 {
			t.Errorf("%d tries, sent %q", tries, m.sent)
		}
	})
}

func TestOnceSettledByHand(t *testing.T) {
	m := newMailbox(t)
	m.run = func(m *mailbox) error { m.send(); return errors.New("the line broke") }
	m.process(t, Options{})
	settle := func(state DeedState, result string) {
		t.Helper()
		i := openIntents(t, m.journal)
		var raw []byte
		if result != "" {
			raw = []byte(result)
		}
		if err := i.Settle("h/mail", i.Deeds()[0].Key, state, raw, intentsTime); err != nil {
			t.Fatal(err)
		}
	}
	settle(DeedUndone, "")
	m.want(t, Options{}, StatusFailed, "not known")
	settle(DeedDone, "")
	m.want(t, Options{}, StatusSatisfied, "as was settled by hand")
	settle(DeedDone, `"x"`)
	m.want(t, Options{}, StatusFailed, "its recorded result does not fit this task")
	settle(DeedDone, "7")
	result, ref, _ := m.process(t, Options{})
	if n, ok := ValueOf(result, ref); !ok || n != 7 || len(m.sent) != 2 {
		t.Errorf("the result is %d, sent %q", n, m.sent)
	}
}

func TestOnceInputsMovedSinceThePlan(t *testing.T) {
	m := newMailbox(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "text")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("one")
	m.declare = func(t *Task) { t.Files(dir, "text") }
	result, _, err := m.process(t, Options{Watch: []func(Event){func(e Event) {
		if e.Kind == PlanReady {
			write("another")
		}
	}}})
	if is, _ := result.Status("h/mail"); is != StatusFailed || !strings.Contains(err.Error(), "text changed since it was planned; nothing was done") || len(m.sent) != 0 {
		t.Errorf("%s: %v; sent %q", is, err, m.sent)
	}
	m.want(t, Options{}, StatusRan, "never done")
}

func TestSavedPlanOfOnce(t *testing.T) {
	tests := []struct {
		name  string
		move  func(*testing.T, *mailbox)
		moved string
		sent  int
	}{
		{"nothing", func(*testing.T, *mailbox) {}, "", 1},
		{"another deed", func(_ *testing.T, m *mailbox) { m.text = "bye" }, "h/mail: text changed from hello to bye", 0},
		{"done by another run", func(t *testing.T, m *mailbox) { m.process(t, Options{}) },
			"h/mail: planned: run (never done); now: satisfied (done on", 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m := newMailbox(t)
			planned, _, err := m.process(t, Options{Dry: true, Records: true})
			if err != nil {
				t.Fatal(err)
			}
			test.move(t, m)
			_, _, err = m.process(t, Options{Expect: planned.Plan, Records: true})
			if test.moved == "" && err != nil || test.moved != "" && (err == nil || !strings.Contains(err.Error(), test.moved)) {
				t.Errorf("%v, want %q", err, test.moved)
			}
			if len(m.sent) != test.sent {
				t.Errorf("sent %q", m.sent)
			}
		})
	}
	// What a look found is the same plan, written down or not.
	m := newMailbox(t)
	m.look, m.run = (*mailbox).sees, func(m *mailbox) error { m.send(); panic("killed") }
	m.process(t, Options{})
	planned, _, _ := m.process(t, Options{Dry: true, Records: true})
	m.want(t, Options{}, StatusSatisfied, "as a look found")
	if _, _, err := m.process(t, Options{Expect: planned.Plan, Records: true}); err != nil {
		t.Error(err)
	}
}

// onceModel says what a deed's journal should say, and what the world is.
type onceModel struct {
	state map[string]DeedState // by the text of the mail
	times map[string]int       // how often it was really sent
}

// TestOnceAgainstAModel kills runs before and after the intent, the deed and the
// result, tears the last entry, edits, looks, and settles by hand truly.
func TestOnceAgainstAModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "roost-once")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		m := &mailbox{journal: filepath.Join(dir, "intents"), text: "a"}
		model := onceModel{map[string]DeedState{}, map[string]int{}}
		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			m.text = rapid.SampledFrom([]string{"a", "a", "b"}).Draw(t, "text")
			m.look = rapid.SampledFrom([]func(*mailbox) (State[int], error){nil, (*mailbox).sees,
				func(*mailbox) (State[int], error) { return State[int]{}, errors.New("no answer") }}).Draw(t, "look")
			if rapid.IntRange(0, 3).Draw(t, "by hand") == 0 {
				model.settle(t, m)
				continue
			}
			model.step(t, m)
		}
	})
}

// ends are how a deed goes on once its intent is written.
var onceEnds = map[string]func(*mailbox) error{
	"whole":                   (*mailbox).send,
	"power cut in the intent": func(*mailbox) error { panic("killed") },
	"killed before the deed":  func(*mailbox) error { panic("killed") },
	"killed after the deed":   func(m *mailbox) error { m.send(); panic("killed") },
	"power cut in the result": (*mailbox).send,
	"failed, but done":        func(m *mailbox) error { m.send(); return Transient(errors.New("fails")) },
	"failed before":           func(m *mailbox) error { return errors.New("fails") },
	"nothing happened":        func(m *mailbox) error { return NotDone(errors.New("fails")) },
}

func (model *onceModel) step(t *rapid.T, m *mailbox) {
	names := []string{}
	for name := range onceEnds {
		names = append(names, name)
	}
	slices.Sort(names)
	how := rapid.SampledFrom(names).Draw(t, "end")
	m.run = onceEnds[how]
	was, hadSent := model.state[m.text], len(m.sent)
	looks, knows := m.look != nil, false
	if looks {
		_, err := m.look(m)
		knows = err == nil
	}
	if was == DeedUnknown && knows {
		was = DeedUndone
		if model.times[m.text] > 0 {
			was = DeedDone
		}
	}
	want := map[DeedState]Status{DeedDone: StatusSatisfied, DeedUnknown: StatusRefused, DeedUndone: StatusPlanned, "": StatusPlanned}[was]
	dry, _, _ := m.process(t, Options{Dry: true})
	if is, why := dry.Status("h/mail"); is != want || len(m.sent) != hadSent {
		t.Fatalf("planned %s: %s; want %s", is, why, want)
	}
	result, _, err := m.process(t, Options{})
	is, why := result.Status("h/mail")
	model.state[m.text] = was
	if want != StatusPlanned {
		if is != want || len(m.sent) != hadSent {
			t.Fatalf("%s: %s; want %s", is, why, want)
		}
		return
	}
	model.times[m.text] += len(m.sent) - hadSent
	if model.times[m.text] > 1 {
		t.Fatalf("%q was sent %d times", m.text, model.times[m.text])
	}
	ends := DeedUnknown
	switch {
	case how == "whole":
		ends = DeedDone
	case how == "nothing happened":
		ends = DeedUndone
	case strings.HasPrefix(how, "failed") && knows:
		ends = DeedUndone
		if model.times[m.text] > 0 {
			ends = DeedDone
		}
	case how == "power cut in the intent":
		ends = was // it was never begun; what stood there before still counts
		tear(t, m.journal)
	case how == "power cut in the result":
		tear(t, m.journal)
	}
	model.state[m.text] = ends
	status := map[bool]Status{true: StatusRan, false: StatusFailed}[ends == DeedDone || how == "power cut in the result"]
	if is != status {
		t.Fatalf("%s: %s (%v); want %s", is, why, err, status)
	}
	model.compare(t, m)
}

// tear cuts the last entry of the journal somewhere.
func tear(t *rapid.T, path string) {
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	begin := strings.LastIndexByte(string(data[:len(data)-1]), '\n') + 1
	cut := rapid.IntRange(begin, len(data)-1).Draw(t, "cut")
	if err := os.Truncate(path, int64(cut)); err != nil {
		t.Fatal(err)
	}
}

// settle says of every unknown deed what is true of it.
func (model *onceModel) settle(t *rapid.T, m *mailbox) {
	i := openIntents(t, m.journal)
	for _, d := range i.Deeds() {
		if d.State != DeedUnknown {
			continue
		}
		text := "a"
		if strings.Contains(fmt.Sprint(d.record), `"b"`) {
			text = "b"
		}
		state := DeedUndone
		if model.times[text] > 0 {
			state = DeedDone
		}
		if err := i.Settle(d.Task, d.Key, state, nil, intentsTime); err != nil {
			t.Fatal(err)
		}
		model.state[text] = state
	}
	model.compare(t, m)
}

// compare holds the journal against the model: each deed stands as it should.
func (model *onceModel) compare(t *rapid.T, m *mailbox) {
	states := map[DeedState]int{}
	for _, d := range openIntents(t, m.journal).Deeds() {
		states[d.State]++
	}
	for _, s := range model.state {
		states[s]--
	}
	for s, n := range states {
		if n != 0 && s != "" {
			t.Fatalf("%d deeds too many are %s; the model: %v", n, s, model.state)
		}
	}
}
