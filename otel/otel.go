// Package otel sends a run of roost to an OpenTelemetry collector.
//
//	exporter, err := otlptracehttp.New(ctx)
//	err = otel.Export(ctx, os.Stdin, exporter)
//
// It reads what `roost update:all --json` prints; ExportRecord reads a recorded
// run. The run is one span, each task a child of it with links to the
// tasks it needs, and each attempt that failed an event of its task's span.
//
// It is the library's own exporter and not a few lines of OTLP/JSON by hand: so
// the endpoint, headers, certificates, compression and repeated attempts are
// set by the variables that everybody's collector is set up for. The module is
// separate because that brings gRPC and protobuf with it.
package otel

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"roost/graph"
)

// batch is how many spans are sent at once.
const batch = 512

// Export reads the events of one run to their end, and sends its spans. A
// record that ends early is sent as far as it goes. The same run has the same
// trace id each time. Export ends the exporter.
func Export(ctx context.Context, events io.Reader, to sdk.SpanExporter) error {
	return export(ctx, events, to, func() (*graph.Plan, error) {
		return nil, errors.New("the plan is not among these events, it lies beside them: give me the path, `roost-otel runs/ID/events.jsonl`")
	})
}

// ExportRecord is Export of the recorded run whose events are in a file, with
// plan.json beside it.
func ExportRecord(ctx context.Context, path string, to sdk.SpanExporter) error {
	f, err := os.Open(path)
	if err != nil {
		return errors.Join(err, to.Shutdown(ctx))
	}
	defer f.Close()
	return export(ctx, f, to, func() (*graph.Plan, error) { return graph.ReadPlan(filepath.Join(filepath.Dir(path), "plan.json")) })
}

// export asks for the plan if the events are without it.
func export(ctx context.Context, events io.Reader, to sdk.SpanExporter, plan func() (*graph.Plan, error)) (err error) {
	defer func() { err = errors.Join(err, to.Shutdown(ctx)) }()
	r, err := read(events, plan)
	if err != nil {
		return err
	}
	about, err := resource.New(ctx, resource.WithAttributes(attribute.String("service.name", "roost")), resource.WithFromEnv())
	if err != nil {
		return fmt.Errorf("read OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	kept := &keeper{}
	provider := sdk.NewTracerProvider(
		sdk.WithResource(about), sdk.WithSampler(sdk.AlwaysSample()), sdk.WithSpanProcessor(kept),
		sdk.WithIDGenerator(&ids{run: r.info.ID}),
		sdk.WithRawSpanLimits(sdk.SpanLimits{ // none: a task of the whole fleet has a link to every host
			AttributeValueLengthLimit: -1, AttributeCountLimit: -1, EventCountLimit: -1, LinkCountLimit: -1,
			AttributePerEventCountLimit: -1, AttributePerLinkCountLimit: -1,
		}))
	r.trace(ctx, provider.Tracer("roost"))
	for len(kept.spans) > 0 {
		n := min(batch, len(kept.spans))
		if err := to.ExportSpans(ctx, kept.spans[:n]); err != nil {
			return fmt.Errorf("send %d of %d spans: %w", n, len(kept.spans), err)
		}
		kept.spans = kept.spans[n:]
	}
	return nil
}

// record is what the events of a run told.
type record struct {
	info       graph.RunInfo
	start, end time.Time
	counts     map[graph.Status]int // nil: the record ends before the run did
	tasks      map[string]*task
	order      []*task // as they first came
}

// task is what they told of one task.
type task struct {
	name       string
	plan       graph.Planned
	start, end time.Time // zero while it has not begun, or ended
	retries    []graph.Event
	last       graph.Event // its end
}

func read(events io.Reader, plan func() (*graph.Plan, error)) (*record, error) {
	r := &record{tasks: map[string]*task{}}
	lines := json.NewDecoder(events)
	for n := 1; ; n++ {
		var e graph.Event
		err := lines.Decode(&e)
		switch {
		case errors.Is(err, io.EOF) && n == 1:
			return nil, errors.New("there are no events: give me what `roost update:all --json` prints, or an events.jsonl")
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF) && n > 1: // or the torn end of a run that was killed
			return r, nil
		case err != nil:
			return nil, fmt.Errorf("event %d: this is no event of roost: %w", n, err)
		case e.Version > graph.EventVersion:
			return nil, fmt.Errorf("event %d: event version %d, this roost-otel knows %d: build the one of your roost", n, e.Version, graph.EventVersion)
		}
		if e.Kind == graph.PlanReady && e.Plan == nil {
			if e.Plan, err = plan(); err != nil {
				return nil, err
			}
		}
		r.add(e)
	}
}

func (r *record) add(e graph.Event) {
	if r.start.IsZero() {
		r.start = e.Time
	}
	r.end = e.Time
	switch e.Kind {
	case graph.RunStarted:
		if e.Run != nil {
			r.info = *e.Run
		}
	case graph.PlanReady:
		for _, planned := range e.Plan.Tasks {
			r.task(planned.Task).plan = planned
		}
	case graph.TaskDecided:
		t := r.task(e.Task)
		t.plan.Decision, t.plan.Reason = e.Decision, e.Reason
	case graph.TaskStarted:
		if t := r.task(e.Task); t.start.IsZero() {
			t.start = e.Time
		}
	case graph.TaskRetrying:
		t := r.task(e.Task)
		t.retries = append(t.retries, e)
	case graph.TaskFinished:
		t := r.task(e.Task)
		if t.start.IsZero() {
			t.start = e.Time.Add(-time.Duration(e.Seconds * float64(time.Second)))
		}
		if t.end.IsZero() { // else it is told again, with a graver cause
			t.end = e.Time
		}
		t.last = e
	case graph.RunFinished:
		r.counts = e.Counts
		if r.counts == nil {
			r.counts = map[graph.Status]int{}
		}
	}
}

func (r *record) task(name string) *task {
	t := r.tasks[name]
	if t == nil {
		t = &task{name: name}
		r.tasks[name] = t
		r.order = append(r.order, t)
	}
	return t
}

// trace makes the spans. A task that neither worked nor ended has none.
func (r *record) trace(ctx context.Context, tracer trace.Tracer) {
	name := r.info.Verb
	if name == "" {
		name = "run"
	}
	ctx, root := tracer.Start(ctx, name, trace.WithTimestamp(r.start), trace.WithNewRoot(), trace.WithAttributes(
		attribute.String("roost.run", r.info.ID), attribute.StringSlice("roost.args", r.info.Args), attribute.Bool("roost.dry", r.info.Dry)))
	spans := map[string]trace.Span{}
	for _, t := range r.order {
		if !t.start.IsZero() {
			_, spans[t.name] = tracer.Start(ctx, t.name, trace.WithTimestamp(t.start))
		}
	}
	for _, t := range r.order {
		if span := spans[t.name]; span != nil {
			for _, need := range t.plan.Needs {
				if before := spans[need]; before != nil {
					span.AddLink(trace.Link{SpanContext: before.SpanContext(), Attributes: []attribute.KeyValue{attribute.String("roost.needs", need)}})
				}
			}
			t.tell(span, r.end)
		}
	}
	switch bad := r.counts[graph.StatusFailed] + r.counts[graph.StatusRefused]; {
	case r.counts == nil:
		root.SetStatus(codes.Error, "the record ends before the run did")
	case bad > 0:
		root.SetStatus(codes.Error, fmt.Sprintf("tasks that failed or were refused: %d", bad))
	}
	root.End(trace.WithTimestamp(r.end))
}

// tell puts into the span what is known of the task, and ends it.
func (t *task) tell(span trace.Span, runEnd time.Time) {
	host, step, _ := strings.Cut(t.name, "/")
	kind, reason, status := t.last.TaskKind, t.last.Reason, string(t.last.Status)
	if kind == "" {
		kind = t.plan.Kind
	}
	if reason == "" {
		reason = t.plan.Reason
	}
	if t.end.IsZero() {
		status, t.end = "not ended", runEnd
		span.SetStatus(codes.Error, "the record ends before the task did")
	}
	for _, a := range []struct{ key, value string }{
		{"roost.group", host}, {"roost.step", step}, {"roost.kind", string(kind)}, {"roost.decision", string(t.plan.Decision)},
		{"roost.reason", reason}, {"roost.cause", t.last.Cause}, {"roost.status", status},
	} {
		if a.value != "" {
			span.SetAttributes(attribute.String(a.key, a.value))
		}
	}
	for _, e := range t.retries {
		span.AddEvent("attempt failed", trace.WithTimestamp(e.Time), trace.WithAttributes(
			attribute.Int("roost.attempt", e.Attempt), attribute.String("roost.error", e.Error)))
	}
	if t.last.Status == graph.StatusFailed || t.last.Status == graph.StatusRefused {
		span.SetStatus(codes.Error, t.last.Error)
	}
	span.End(trace.WithTimestamp(t.end))
}

// keeper keeps the spans that have ended, so that an error of sending them is
// ours to return: the library's own processors only log it.
type keeper struct{ spans []sdk.ReadOnlySpan }

func (k *keeper) OnStart(context.Context, sdk.ReadWriteSpan) {}
func (k *keeper) OnEnd(s sdk.ReadOnlySpan)                   { k.spans = append(k.spans, s) }
func (k *keeper) Shutdown(context.Context) error             { return nil }
func (k *keeper) ForceFlush(context.Context) error           { return nil }

// ids gives the spans of a run ids that follow from the run's own, so that a
// run which is sent twice is one trace.
type ids struct {
	run string
	n   int
}

func (i *ids) NewIDs(ctx context.Context) (trace.TraceID, trace.SpanID) {
	sum := sha256.Sum256([]byte("roost run " + i.run))
	id := trace.TraceID(sum[:16])
	return id, i.NewSpanID(ctx, id)
}

func (i *ids) NewSpanID(_ context.Context, id trace.TraceID) trace.SpanID {
	i.n++
	sum := sha256.Sum256(fmt.Appendf(id[:], " span %d", i.n))
	return trace.SpanID(sum[:8])
}
