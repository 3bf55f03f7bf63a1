package otel

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// events is a run: a copy that was tried twice, an activation that failed, and
// a health check that was told to be blocked twice.
const events = `{"v":1,"seq":1,"time":"2026-03-14T09:26:53Z","kind":"run.started","run":{"id":"r1","verb":"update:all","args":["--on","m"],"tasks":5}}
{"v":1,"seq":2,"time":"2026-03-14T09:26:53.5Z","kind":"task.finished","task":"m/eval","task_kind":"pure","status":"cached","reason":"nothing changed","seconds":0.25}
{"v":1,"seq":3,"time":"2026-03-14T09:26:54Z","kind":"plan.ready","plan":{"version":1,"tasks":[{"task":"m/eval","kind":"pure","decision":"cached"},{"task":"m/copy","kind":"effect","decision":"run","reason":"the host does not have it","needs":["m/eval"]},{"task":"m/activate","kind":"effect","decision":"run","needs":["m/copy","m/eval"]},{"task":"m/health","kind":"observe","decision":"read","needs":["m/activate"]},{"task":"n/copy","kind":"effect","decision":"unneeded"}]}}
{"v":1,"seq":4,"time":"2026-03-14T09:26:55Z","kind":"task.started","task":"m/copy","task_kind":"effect","attempt":1}
{"v":1,"seq":5,"time":"2026-03-14T09:26:56Z","kind":"task.retrying","task":"m/copy","task_kind":"effect","attempt":1,"error":"the link broke","seconds":1}
{"v":1,"seq":6,"time":"2026-03-14T09:26:57Z","kind":"task.started","task":"m/copy","task_kind":"effect","attempt":2}
{"v":1,"seq":7,"time":"2026-03-14T09:26:58Z","kind":"task.log","task":"m/copy","text":"copying"}
{"v":1,"seq":8,"time":"2026-03-14T09:26:59Z","kind":"task.finished","task":"m/copy","task_kind":"effect","status":"ran","seconds":2}
{"v":1,"seq":9,"time":"2026-03-14T09:27:00Z","kind":"task.started","task":"m/activate","task_kind":"effect","attempt":1}
{"v":1,"seq":10,"time":"2026-03-14T09:27:03Z","kind":"task.finished","task":"m/activate","task_kind":"effect","status":"failed","seconds":3,"error":"web.service failed"}
{"v":1,"seq":11,"time":"2026-03-14T09:27:03Z","kind":"task.finished","task":"m/health","task_kind":"observe","status":"blocked","cause":"m/copy"}
{"v":1,"seq":12,"time":"2026-03-14T09:27:04Z","kind":"task.finished","task":"m/health","task_kind":"observe","status":"blocked","cause":"m/activate"}
{"v":1,"seq":13,"time":"2026-03-14T09:27:05Z","kind":"run.finished","seconds":12,"counts":{"failed":1}}
`

// sent exports events to a collector of our own, and returns what it got.
func sent(t *testing.T, events string) ([]*otlp.Span, error) {
	t.Helper()
	var mu sync.Mutex
	var spans []*otlp.Span
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var request collector.ExportTraceServiceRequest
		if err == nil {
			err = proto.Unmarshal(body, &request)
		}
		if err != nil || r.URL.Path != "/v1/traces" {
			t.Errorf("%s: %v", r.URL.Path, err)
		}
		mu.Lock()
		defer mu.Unlock()
		for _, resource := range request.ResourceSpans {
			if text := fmt.Sprint(resource.Resource.Attributes); !strings.Contains(text, "service.name") || !strings.Contains(text, "roost") {
				t.Errorf("the resource is %s", text)
			}
			for _, scope := range resource.ScopeSpans {
				spans = append(spans, scope.Spans...)
			}
		}
	}))
	defer server.Close()
	exporter, err := otlptracehttp.New(t.Context(), otlptracehttp.WithEndpointURL(server.URL+"/v1/traces"))
	if err != nil {
		t.Fatal(err)
	}
	if path, ok := strings.CutPrefix(events, "file:"); ok {
		err = ExportRecord(t.Context(), path, exporter)
	} else {
		err = Export(t.Context(), strings.NewReader(events), exporter)
	}
	return spans, err
}

// brief is a span in words, with the names of the spans it is tied to.
func brief(spans []*otlp.Span) map[string]string {
	names := map[string]string{}
	for _, s := range spans {
		names[string(s.SpanId)] = s.Name
	}
	said := map[string]string{}
	for _, s := range spans {
		at := func(nano uint64) string { return time.Unix(0, int64(nano)).UTC().Format("04:05.00") }
		text := fmt.Sprintf("%s-%s in %q", at(s.StartTimeUnixNano), at(s.EndTimeUnixNano), names[string(s.ParentSpanId)])
		for _, a := range s.Attributes {
			if value := a.Value.GetStringValue(); value != "" && a.Key != "roost.group" && a.Key != "roost.step" {
				text += " " + strings.TrimPrefix(a.Key, "roost.") + "=" + value
			}
		}
		for _, link := range s.Links {
			text += " needs " + names[string(link.SpanId)]
		}
		for _, e := range s.Events {
			text += fmt.Sprintf(" %s %s %v", at(e.TimeUnixNano), e.Name, e.Attributes[1].Value.GetStringValue())
		}
		if s.Status.GetCode() == otlp.Status_STATUS_CODE_ERROR {
			text += " ERROR " + s.Status.Message
		}
		said[s.Name] = text
	}
	return said
}

func TestExport(t *testing.T) {
	spans, err := sent(t, events)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"update:all": `26:53.00-27:05.00 in "" run=r1 ERROR tasks that failed or were refused: 1`,
		"m/eval":     `26:53.25-26:53.50 in "update:all" kind=pure decision=cached reason=nothing changed status=cached`,
		"m/copy":     `26:55.00-26:59.00 in "update:all" kind=effect decision=run reason=the host does not have it status=ran needs m/eval 26:56.00 attempt failed the link broke`,
		"m/activate": `27:00.00-27:03.00 in "update:all" kind=effect decision=run status=failed needs m/copy needs m/eval ERROR web.service failed`,
		"m/health":   `27:03.00-27:03.00 in "update:all" kind=observe decision=read cause=m/activate status=blocked needs m/activate`,
	}
	if diff := cmp.Diff(want, brief(spans)); diff != "" {
		t.Error(diff)
	}
	again, err := sent(t, events)
	if err != nil || len(again) != len(spans) {
		t.Fatalf("%d spans, then %d: %v", len(spans), len(again), err)
	}
	for i := range spans {
		if !proto.Equal(spans[i], again[i]) {
			t.Errorf("sent again, %s is another span", spans[i].Name)
		}
	}
}

func TestExportOfOddInput(t *testing.T) {
	lines := strings.SplitAfter(events, "\n")
	cut, err := sent(t, strings.Join(lines[:9], "")+lines[9][:40])
	if err != nil {
		t.Fatal(err)
	}
	got := brief(cut)
	for name, want := range map[string]string{
		"update:all": `ERROR the record ends before the run did`,
		"m/activate": `27:00.00-27:00.00 in "update:all" kind=effect decision=run status=not ended needs m/copy needs m/eval ERROR the record ends before the task did`,
	} {
		if !strings.HasSuffix(got[name], want) {
			t.Errorf("%s: %s; want %s", name, got[name], want)
		}
	}
	for input, want := range map[string]string{
		"":                        "there are no events",
		"Report: /x":              "event 1: this is no event of roost",
		lines[0] + "Report: /x":   "event 2: this is no event of roost",
		`{"v":99,"kind":"later"}`: "event version 99",
	} {
		if spans, err := sent(t, input); err == nil || !strings.Contains(err.Error(), want) || len(spans) > 0 {
			t.Errorf("%q: %v and %d spans, want %q", input, err, len(spans), want)
		}
	}
}

// More than one batch, and a collector that says no.
func TestExportOfManyToNobody(t *testing.T) {
	var many strings.Builder
	for i := range 1200 {
		fmt.Fprintf(&many, `{"v":1,"time":"2026-03-14T09:26:53Z","kind":"task.finished","task":"h%d/eval","status":"cached"}`+"\n", i)
	}
	spans, err := sent(t, many.String())
	if err != nil || len(spans) != 1201 {
		t.Errorf("%d spans arrived: %v", len(spans), err)
	}
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	exporter, err := otlptracehttp.New(t.Context(), otlptracehttp.WithEndpointURL(server.URL))
	if err != nil {
		t.Fatal(err)
	}
	if err := Export(t.Context(), strings.NewReader(events), exporter); err == nil || !strings.Contains(err.Error(), "send 5 of 5 spans") {
		t.Errorf("nobody took the spans, and the error is %v", err)
	}
}

// A recorded run has its plan in a file of its own.
func TestExportRecord(t *testing.T) {
	dir := t.TempDir()
	before, rest, _ := strings.Cut(events, `,"plan":`)
	plan, after, _ := strings.Cut(rest, "}\n")
	path := filepath.Join(dir, "events.jsonl")
	bare := before + "}\n" + after
	for name, text := range map[string]string{"events.jsonl": bare, "plan.json": plan} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := sent(t, events)
	if err != nil {
		t.Fatal(err)
	}
	got, err := sent(t, "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(brief(want), brief(got)); diff != "" {
		t.Errorf("another trace than from the stream (-stream +file):\n%s", diff)
	}
	if _, err := sent(t, bare); err == nil || !strings.Contains(err.Error(), "roost-otel runs/ID/events.jsonl") {
		t.Errorf("events without the plan: %v", err)
	}
	if err := os.Remove(filepath.Join(dir, "plan.json")); err != nil {
		t.Fatal(err)
	}
	if _, err := sent(t, "file:"+path); err == nil || !strings.Contains(err.Error(), "plan.json") {
		t.Errorf("a record without its plan: %v", err)
	}
}
