// Command roost-otel sends a run of roost to an OpenTelemetry collector, over
// OTLP/HTTP:
//
//	roost update:all --json | roost-otel
//	roost-otel runs/ID/events.jsonl
//
// It has no flags: where and how it sends is set by OTEL_EXPORTER_OTLP_ENDPOINT
// and its kin, as for everything else that sends to the collector. It sends when
// its input has ended, so Ctrl-C is left to roost: what roost tells of its stop
// is sent, too.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"

	"roost/otel"
)

func main() {
	signal.Ignore(os.Interrupt)
	if err := send(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "roost-otel:", err)
		os.Exit(1)
	}
}

func send(ctx context.Context) error {
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return fmt.Errorf("set up the exporter: %w", err)
	}
	switch len(os.Args) {
	case 1:
		return otel.Export(ctx, os.Stdin, exporter)
	case 2:
		return otel.ExportRecord(ctx, os.Args[1], exporter)
	}
	return fmt.Errorf("usage: roost-otel [runs/ID/events.jsonl]; without a file it reads events from stdin")
}
