package main

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"roost/lab"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"roost": main})
}

// TestScripts types commands as a user does: testdata/script/*.txtar. Each
// script has the lab's fleet in $WORK/fleet, and no variable of ours set.
// `exits 2 roost …` holds the exit code; `json` wants stdout to be JSON lines.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("XDG_STATE_HOME", filepath.Join(e.WorkDir, "state"))
			e.Setenv("GORACE", "atexit_sleep_ms=0") // the race detector's second at each exit
			e.Setenv("TMPDIR", filepath.Join(e.WorkDir, "tmp"))
			e.Setenv("BIN", filepath.SplitList(e.Getenv("PATH"))[0]) // where roost is, and nothing else
			if err := os.Mkdir(filepath.Join(e.WorkDir, "tmp"), 0o700); err != nil {
				return err
			}
			return os.CopyFS(filepath.Join(e.WorkDir, "fleet"), lab.FleetFS())
		},
		Condition: func(name string) (bool, error) {
			if name == "root" {
				return os.Geteuid() == 0, nil
			}
			return false, errors.New("no such condition: " + name)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exits": exits, "json": jsonLines, "fillcache": fillCache, "fillintents": fillIntents},
	})
}

func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE program [args...]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	err = ts.Exec(args[1], args[2:]...)
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

func jsonLines(ts *testscript.TestScript, neg bool, args []string) {
	out := ts.ReadFile("stdout")
	if neg || len(args) > 0 || out == "" {
		ts.Fatalf("usage: json, after a command that printed some")
	}
	for line := range strings.Lines(out) {
		if !json.Valid([]byte(line)) {
			ts.Fatalf("stdout has a line that is no JSON: %s", line)
		}
	}
}
