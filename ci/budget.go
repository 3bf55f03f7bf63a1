package ci

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"roost/internal/command"
)

// The budgets of the binary.
const (
	maxBinary  = 25 << 20              // bytes, stripped
	maxModules = 120                   // in the module graph
	maxStart   = 10 * time.Millisecond // of roost --help, over an empty Go program
	startRuns  = 21                    // of each, in turn; the median counts
)

// forbidden are modules that must not be linked: each would outgrow the budgets
// by itself, or bring a world of its own.
var forbidden = []string{"github.com/getsops/sops", "google.golang.org/grpc", "go.opentelemetry.io/otel/exporters", "go.temporal.io"}

const emptyProgram = "package main\n\nfunc main() {}\n"

func budgets(ctx context.Context, t *tree) error {
	dir, err := os.MkdirTemp("", "roost-budget-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	roost, empty := filepath.Join(dir, "roost"), filepath.Join(dir, "empty")
	if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte(emptyProgram), 0o600); err != nil {
		return err
	}
	for out, from := range map[string]string{roost: "./cmd/roost", empty: filepath.Join(dir, "main.go")} {
		err := command.Run(ctx, command.Cmd{Name: "go", Args: []string{"build", "-ldflags=-s -w", "-o", out, from},
			Env: []string{"CGO_ENABLED=0"}, Stdout: t.out, Stderr: t.out})
		if err != nil {
			return err
		}
	}
	info, err := os.Stat(roost)
	if err != nil {
		return err
	}
	modules, err := command.Output(ctx, command.Cmd{Name: "go", Args: []string{"list", "-m", "all"}})
	if err != nil {
		return err
	}
	count := len(strings.Split(strings.TrimSpace(string(modules)), "\n")) - 1 // not ourselves
	over, err := startTime(ctx, roost, empty)
	if err != nil {
		return err
	}
	fmt.Fprintf(t.out, "binary %.1f MB, %d modules, roost --help %.1f ms over an empty program\n",
		float64(info.Size())/(1<<20), count, over.Seconds()*1000)
	for _, name := range forbidden {
		if strings.Contains(string(modules), name) {
			return fmt.Errorf("the module %s must not be in go.mod", name)
		}
	}
	switch {
	case info.Size() > maxBinary:
		return fmt.Errorf("the binary has %d bytes; the budget is %d", info.Size(), maxBinary)
	case count > maxModules:
		return fmt.Errorf("%d modules; the budget is %d", count, maxModules)
	case over > maxStart:
		return fmt.Errorf("roost --help takes %s more than an empty program; the budget is %s", over, maxStart)
	}
	return nil
}

// startTime is how much longer roost --help takes than an empty Go program:
// the median of pairs run in turn, so that what else the machine does hits both.
func startTime(ctx context.Context, roost, empty string) (time.Duration, error) {
	run := func(name string, args ...string) (time.Duration, error) {
		began := time.Now()
		err := command.Run(ctx, command.Cmd{Name: name, Args: args})
		return time.Since(began), err
	}
	var over []time.Duration
	for range startRuns {
		with, err := run(roost, "--help")
		if err != nil {
			return 0, err
		}
		without, err := run(empty)
		if err != nil {
			return 0, err
		}
		over = append(over, with-without)
	}
	slices.Sort(over)
	return over[len(over)/2], nil
}
