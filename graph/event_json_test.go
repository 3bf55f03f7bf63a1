package graph

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// oddTexts are pieces of text that JSON, HTML or JavaScript make something of.
var oddTexts = []string{"", "a", "malphas/eval", `"`, `\`, "\x00", "\x1f", "\b\f\n\r\t", "\x7f", "<a>&", "\u2028", "\u2029", "\u202a", "é", "日本", "😀", "\xff", "\xe2\x80", "\xed\xa0\x80", "\ufffd", "\u00a0"}

func drawText(rt *rapid.T) string {
	if rapid.Bool().Draw(rt, "free") {
		return string(rapid.SliceOf(rapid.Byte()).Draw(rt, "bytes"))
	}
	return strings.Join(rapid.SliceOf(rapid.SampledFrom(oddTexts)).Draw(rt, "odd"), "")
}

var oddFloats = []float64{0, math.Copysign(0, -1), 1, -1, 0.1, 1e-6, 9.999e-7, 1e-7, 1e-10, -1e-100, 1e20, 1e21, 1e22, -1.5e21, math.MaxFloat64, math.SmallestNonzeroFloat64}

func drawFloat(rt *rapid.T) float64 {
	if rapid.Bool().Draw(rt, "odd") {
		return rapid.SampledFrom(oddFloats).Draw(rt, "float")
	}
	return rapid.Float64().Draw(rt, "float")
}

func drawTime(rt *rapid.T) time.Time {
	zone := time.FixedZone("", rapid.IntRange(-23*60, 23*60).Draw(rt, "zone")*60)
	return time.Unix(rapid.Int64Range(-6e10, 2.5e11).Draw(rt, "seconds"), rapid.Int64Range(0, 999999999).Draw(rt, "nanos")).In(zone)
}

// drawJSON draws a JSON value as somebody may have written it.
func drawJSON(rt *rapid.T, deep int) string {
	space := rapid.SampledFrom([]string{"", "", "", " ", "\n\t"})
	kinds := 6
	if deep == 0 {
		kinds = 4
	}
	s := space.Draw(rt, "space")
	switch rapid.IntRange(0, kinds-1).Draw(rt, "value") {
	case 0:
		return s + rapid.SampledFrom([]string{"null", "true", "false", "0", "-0", "-0.5e+07", "1E3", "12345678901234567890", "1.0"}).Draw(rt, "word")
	case 1:
		data, err := json.Marshal(drawText(rt))
		if err != nil {
			rt.Fatal(err)
		}
		return s + string(data) + space.Draw(rt, "space")
	case 2: // a string that encoding/json would not write like this
		return s + rapid.SampledFrom([]string{`"<>&"`, "\"\u2028\"", `"\/\u0041\ud83d"`, "\"\xff\"", "\"\xe2\x82\xac\"", `"\n\\\""`}).Draw(rt, "foreign")
	case 3:
		return s + fmt.Sprint(rapid.Float64().Draw(rt, "number"))
	case 4:
		var all []string
		for range rapid.IntRange(0, 3).Draw(rt, "items") {
			all = append(all, drawJSON(rt, deep-1))
		}
		return s + "[" + strings.Join(all, ",") + "]"
	}
	var all []string
	for range rapid.IntRange(0, 3).Draw(rt, "members") {
		name, _ := json.Marshal(drawText(rt))
		all = append(all, string(name)+space.Draw(rt, "space")+":"+drawJSON(rt, deep-1))
	}
	return s + "{" + strings.Join(all, ",") + space.Draw(rt, "space") + "}"
}

// fillDrawn fills a value of any type that an event is made of, so that a field
// which is new, and which the encoder does not know, fails the test.
func fillDrawn(rt *rapid.T, v reflect.Value) {
	if rapid.IntRange(0, 3).Draw(rt, "empty") == 0 {
		return
	}
	switch v.Interface().(type) {
	case time.Time:
		v.Set(reflect.ValueOf(drawTime(rt)))
		return
	case json.RawMessage:
		v.SetBytes([]byte(drawJSON(rt, 3)))
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(drawText(rt))
	case reflect.Int:
		v.SetInt(rapid.Int64().Draw(rt, "int"))
	case reflect.Float64:
		v.SetFloat(drawFloat(rt))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fillDrawn(rt, v.Elem())
	case reflect.Struct:
		for i := range v.NumField() {
			fillDrawn(rt, v.Field(i))
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 0, 3))
		for range rapid.IntRange(0, 3).Draw(rt, "length") {
			item := reflect.New(v.Type().Elem()).Elem()
			fillDrawn(rt, item)
			v.Set(reflect.Append(v, item))
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for range rapid.IntRange(0, 3).Draw(rt, "length") {
			key, item := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			fillDrawn(rt, key)
			fillDrawn(rt, item)
			v.SetMapIndex(key, item)
		}
	default:
		rt.Fatalf("an event has a %s: teach this test, and AppendJSON", v.Type())
	}
}

// sameAsJSON holds AppendJSON to encoding/json, where that can encode the event.
func sameAsJSON(t interface {
	Fatalf(string, ...any)
	Helper()
}, e *Event) {
	t.Helper()
	got := e.AppendJSON([]byte("before"))[len("before"):]
	want, err := json.Marshal(e)
	if err == nil && !bytes.Equal(got, want) {
		t.Fatalf("AppendJSON and encoding/json differ:\n%s\n%s", got, want)
	}
	if !json.Valid(got) || bytes.ContainsAny(got, "\n\r") {
		t.Fatalf("this is no JSON on one line: %s", got)
	}
}

func TestAppendJSONIsEncodingJSON(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		e := &Event{}
		fillDrawn(rt, reflect.ValueOf(e).Elem())
		if e.Plan != nil && len(e.Counts) == 2 { // two keys that JSON cannot tell apart have no order
			clean := map[Status]int{}
			for k, v := range e.Counts {
				clean[Status(strings.ToValidUTF8(string(k), "?"))] = v
			}
			e.Counts = clean
		}
		sameAsJSON(rt, e)
	})
}

func FuzzAppendJSON(f *testing.F) {
	for _, text := range oddTexts {
		f.Add(text, 0.1, []byte(`{"a":[1,"`+"\u2028"+`"]}`), int64(1), int64(2), 90)
	}
	for _, x := range oddFloats {
		f.Add("x", x, []byte(` { "<" : -0.5e-07 } `), int64(-62135596800), int64(0), -90)
	}
	f.Add("x", math.NaN(), []byte(`{"a":`), int64(253402300800), int64(0), 24*60)
	f.Add("x", math.Inf(1), []byte(`"\ud800\`), int64(0), int64(0), 0)
	f.Fuzz(func(t *testing.T, text string, x float64, result []byte, seconds, nanos int64, zone int) {
		sameAsJSON(t, &Event{
			Version: int(nanos), Seq: zone, Time: time.Unix(seconds, nanos).In(time.FixedZone("", zone%(1<<20)*60)),
			Kind: EventKind(text), Task: text, Error: text + "\xe2" + text, Tail: []string{text}, Seconds: x, Result: result,
			Run: &RunInfo{Args: []string{text}}, Counts: map[Status]int{Status(text): zone},
		})
	})
}

// A value is taken as it is only if encoding/json would not change a byte of it.
func FuzzCompactValue(f *testing.F) {
	for _, text := range []string{`{}`, `{"a":[1,-0.5e+7,"é\n\\\""],"b":{}}`, `[]]`, `01`, `{"a"}`, `[1,]`, `"<"`, "\"\u20ac\"", `nul`, `{"a":1,}`, "\x80", `]`, `-`, `"`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if compactValue(data, 0, 0) != len(data) {
			return
		}
		want, err := json.Marshal(json.RawMessage(data))
		if err != nil || !bytes.Equal(data, want) {
			t.Fatalf("%q was taken as it is; encoding/json: %q, %v", data, want, err)
		}
	})
}

// finished is an event as a run sends most of them.
func finished() Event {
	return Event{
		Version: 1, Seq: 123456, Time: time.Date(2026, 11, 22, 21, 33, 13, 962619053, time.UTC), Kind: TaskFinished,
		Task: "malphas/build", TaskKind: KindPure, Status: StatusRan, Reason: "the result of malphas/eval changed", Seconds: 0.75045128,
		Result: json.RawMessage(`{"drv":"/nix/store/715f143b417vi9qr24pwlj6ajqvd1gjq-nixos-system-heron-26.05.lab.drv"}`),
	}
}

func TestEventsOfTasksCostNoAllocation(t *testing.T) {
	e, w := finished(), NewEventWriter(io.Discard)
	watch := func(e Event) { w.Write(&e) }
	if n := testing.AllocsPerRun(1000, func() { watch(e) }); n > 0 {
		t.Errorf("an event costs %v allocations", n)
	}
}

func BenchmarkEventWriter(b *testing.B) {
	e, w := finished(), NewEventWriter(io.Discard)
	b.SetBytes(int64(len(e.AppendJSON(nil))))
	b.ReportAllocs()
	for b.Loop() {
		w.Write(&e)
	}
}

// kept keeps what is written, a write an entry.
type kept struct {
	mu     sync.Mutex
	writes []string
	full   error
}

func (k *kept) Write(p []byte) (int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.writes = append(k.writes, string(p))
	return len(p), k.full
}

func (k *kept) count() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.writes)
}

func TestEventWriterIsNearlyCurrent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &kept{}
		w := NewEventWriter(out)
		e := finished()
		for range 2 { // the second time with a timer that is there already
			before := out.count()
			w.Write(&e)
			w.Write(&e)
			time.Sleep(eventsLate - time.Nanosecond)
			synctest.Wait()
			if n := out.count() - before; n != 0 {
				t.Fatalf("%d writes at once, want them gathered", n)
			}
			time.Sleep(time.Nanosecond)
			synctest.Wait()
			if n := out.count() - before; n != 1 {
				t.Fatalf("%d writes after %s, want one", n, eventsLate)
			}
		}
		w.Write(&e)
		if err := w.Close(); err != nil || out.count() != 3 {
			t.Errorf("%d writes after Close (%v), want 3", out.count(), err)
		}
		time.Sleep(2 * eventsLate)
		synctest.Wait()
		line := string(e.AppendJSON(nil)) + "\n"
		if got, want := strings.Join(out.writes, ""), strings.Repeat(line, 5); got != want {
			t.Errorf("written is\n%swant\n%s", got, want)
		}
	})
}

// A plan is passed on while it is written, and is the same bytes.
func TestEventWriterHoldsNoWholePlan(t *testing.T) {
	e := Event{Kind: PlanReady, Plan: &Plan{Version: PlanVersion}, Counts: map[Status]int{StatusRan: 1}}
	for i := range 10_000 {
		e.Plan.Tasks = append(e.Plan.Tasks, Planned{Task: fmt.Sprintf("h/%d", i), Kind: KindPure, Needs: []string{"h/x"}})
	}
	out := &kept{}
	w := NewEventWriter(out)
	w.Write(&e)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	want, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Join(out.writes, "") != string(want)+"\n" {
		t.Error("it is not what encoding/json makes of it")
	}
	for _, text := range out.writes {
		if len(text) > 2*eventsHeld {
			t.Errorf("%d bytes were held", len(text))
		}
	}
	var lines bytes.Buffer
	if err := e.Plan.WriteLines(&lines); err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(lines.Bytes(), []byte("\n")); n != len(e.Plan.Tasks)+1 {
		t.Errorf("%d ends of lines, want one a task and one", n)
	}
	var back Plan
	if err := json.Unmarshal(lines.Bytes(), &back); err != nil || !reflect.DeepEqual(&back, e.Plan) {
		t.Errorf("the plan in lines is another plan (%v)", err)
	}
}

func TestEventWriterKeepsTheFirstError(t *testing.T) {
	out := &kept{full: errors.New("no space left")}
	w := NewEventWriter(out)
	e := finished()
	for range 2000 {
		w.Write(&e)
	}
	if err := w.Close(); !errors.Is(err, out.full) {
		t.Errorf("Close: %v, want %v", err, out.full)
	}
	if n := out.count(); n != 1 {
		t.Errorf("%d writes were tried, want none after the first that failed", n)
	}
	if err := (&Plan{Tasks: make([]Planned, 5000)}).WriteLines(out); !errors.Is(err, out.full) || out.count() != 2 {
		t.Errorf("WriteLines: %v after %d writes", err, out.count()-1)
	}
}
