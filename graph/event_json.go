package graph

import (
	"maps"
	"slices"
	"strconv"
)

// AppendJSON appends the event as one JSON object without a newline: the bytes
// that encoding/json makes of it, but without reflection and without an
// allocation for the events of tasks. What JSON cannot hold becomes null: a
// number that is not finite, a time after the year 9999, a Result that is no
// JSON.
func (e *Event) AppendJSON(b []byte) []byte {
	return e.appendTo(b, func(b []byte) []byte { return b })
}

// appendTo is AppendJSON for a writer that need not hold a whole plan: drain is
// given what there is after each task of it, and returns where to go on.
func (e *Event) appendTo(b []byte, drain func([]byte) []byte) []byte {
	b = append(b, `{"v":`...)
	b = strconv.AppendInt(b, int64(e.Version), 10)
	b = append(b, `,"seq":`...)
	b = strconv.AppendInt(b, int64(e.Seq), 10)
	b = append(b, `,"time":`...)
	b = appendTime(b, e.Time)
	b = append(b, `,"kind":`...)
	b = appendString(b, string(e.Kind))
	b = appendText(b, `,"task":`, e.Task)
	b = appendText(b, `,"task_kind":`, string(e.TaskKind))
	b = appendText(b, `,"decision":`, string(e.Decision))
	b = appendText(b, `,"status":`, string(e.Status))
	b = appendText(b, `,"reason":`, e.Reason)
	b = appendText(b, `,"cause":`, e.Cause)
	b = appendText(b, `,"text":`, e.Text)
	b = appendNumber(b, `,"seconds":`, e.Seconds)
	if e.Attempt != 0 {
		b = append(b, `,"attempt":`...)
		b = strconv.AppendInt(b, int64(e.Attempt), 10)
	}
	b = appendText(b, `,"error":`, e.Error)
	b = appendList(b, `,"tail":`, e.Tail)
	if len(e.Result) > 0 {
		b = append(b, `,"result":`...)
		b = appendRaw(b, e.Result)
	}
	if e.Run != nil {
		b = append(b, `,"run":`...)
		b = e.Run.appendJSON(b)
	}
	if e.Plan != nil {
		b = append(b, `,"plan":`...)
		b = e.Plan.appendJSON(b, "", drain)
	}
	if len(e.Counts) > 0 {
		b = append(b, `,"counts":`...)
		before := byte('{')
		for _, status := range slices.Sorted(maps.Keys(e.Counts)) {
			b = append(b, before)
			b = appendString(b, string(status))
			b = append(b, ':')
			b = strconv.AppendInt(b, int64(e.Counts[status]), 10)
			before = ','
		}
		b = append(b, '}')
	}
	return append(b, '}')
}

func (r *RunInfo) appendJSON(b []byte) []byte {
	b = append(b, '{')
	if r.ID != "" {
		b = append(appendText(b, `"id":`, r.ID), ',')
	}
	if r.Verb != "" {
		b = append(appendText(b, `"verb":`, r.Verb), ',')
	}
	if len(r.Args) > 0 {
		b = append(appendList(b, `"args":`, r.Args), ',')
	}
	if r.Dry {
		b = append(b, `"dry":true,`...)
	}
	b = append(b, `"tasks":`...)
	b = strconv.AppendInt(b, int64(r.Tasks), 10)
	return append(b, '}')
}

// appendJSON appends the plan with between before each task.
func (p *Plan) appendJSON(b []byte, between string, drain func([]byte) []byte) []byte {
	b = append(b, `{"version":`...)
	b = strconv.AppendInt(b, int64(p.Version), 10)
	b = append(b, `,"tasks":`...)
	if p.Tasks == nil {
		return append(b, `null}`...)
	}
	b = append(b, '[')
	for i := range p.Tasks {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, between...)
		b = drain(p.Tasks[i].appendJSON(b))
	}
	b = append(b, between...)
	return append(b, `]}`...)
}

func (t *Planned) appendJSON(b []byte) []byte {
	b = append(b, `{"task":`...)
	b = appendString(b, t.Task)
	b = append(b, `,"kind":`...)
	b = appendString(b, string(t.Kind))
	b = append(b, `,"decision":`...)
	b = appendString(b, string(t.Decision))
	b = appendText(b, `,"reason":`, t.Reason)
	b = appendText(b, `,"cause":`, t.Cause)
	b = appendText(b, `,"key":`, t.Key)
	b = appendList(b, `,"record":`, t.Record)
	b = appendList(b, `,"needs":`, t.Needs)
	b = appendNumber(b, `,"expect":`, t.Expect)
	return append(b, '}')
}

// appendText appends a field, unless it is empty.
func appendText(b []byte, field, text string) []byte {
	if text == "" {
		return b
	}
	return appendString(append(b, field...), text)
}

func appendList(b []byte, field string, texts []string) []byte {
	if len(texts) == 0 {
		return b
	}
	b = append(b, field...)
	before := byte('[')
	for _, text := range texts {
		b = appendString(append(b, before), text)
		before = ','
	}
	return append(b, ']')
}

func appendNumber(b []byte, field string, f float64) []byte {
	if f == 0 {
		return b
	}
	return appendFloat(append(b, field...), f)
}
