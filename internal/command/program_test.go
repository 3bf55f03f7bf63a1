package command

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestEnviron(t *testing.T) {
	t.Setenv("ROOST_TEST_OURS", "x")
	c := Cmd{Name: "env", Environ: []string{"A=1", "B=two words"}}
	out, err := Output(t.Context(), c)
	if err != nil || string(out) != "A=1\nB=two words\n" {
		t.Errorf("got %q, %v", out, err)
	}
	c.Environ = []string{}
	if out, err = Output(t.Context(), c); err != nil || len(out) != 0 {
		t.Errorf("an empty environment: got %q, %v", out, err)
	}
	c.Environ, c.Dir, c.Env = nil, t.TempDir(), []string{"A=3"}
	out, err = Output(t.Context(), c)
	for _, want := range []string{"A=3\n", "ROOST_TEST_OURS=x\n", "PWD=" + c.Dir + "\n"} {
		if err != nil || !strings.Contains(string(out), want) {
			t.Errorf("no %q in %q, %v", want, out, err)
		}
	}
}

func TestNotStarted(t *testing.T) {
	dir := t.TempDir()
	plain := filepath.Join(dir, "plain")
	if err := os.WriteFile(plain, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	nowhere := filepath.Join(dir, "nowhere")
	tests := []struct {
		name  string
		cmd   Cmd
		is    error
		words string
	}{
		{"no name", Cmd{}, nil, `"": no command`},
		{"not in PATH", Cmd{Name: "no-such-program-here"}, exec.ErrNotFound, "no-such-program-here: executable file not found in $PATH"},
		{"no file", Cmd{Name: nowhere}, fs.ErrNotExist, nowhere + ": fork/exec " + nowhere + ": no such file or directory"},
		{"not executable", Cmd{Name: plain}, fs.ErrPermission, "permission denied"},
		{"no folder", Cmd{Name: "true", Dir: nowhere}, fs.ErrNotExist, "true: stat " + nowhere + ": no such file or directory"},
		{"two environments", Cmd{Name: "true", Env: []string{"A=1"}, Environ: []string{"A=1"}}, nil, "both Env and Environ are set"},
		{"NUL in Env", Cmd{Name: "true", Env: []string{"A=secret\x00"}}, nil, `the environment variable "A" contains a NUL byte`},
		{"NUL in Environ", Cmd{Name: "true", Environ: []string{"A=secret\x00"}}, nil, `the environment variable "A" contains a NUL byte`},
		{"NUL in an argument", Cmd{Name: "true", Args: []string{"a\x00b"}}, nil, "invalid argument"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.cmd.Stdin, tt.cmd.Stdout = strings.NewReader("x"), io.Discard // their pipes are closed again
			err := Run(t.Context(), tt.cmd)
			var e *Error
			if !errors.As(err, &e) || e.ExitCode != -1 || tt.is != nil && !errors.Is(err, tt.is) {
				t.Fatalf("got %#v", err)
			}
			if !strings.Contains(err.Error(), tt.words) || strings.Contains(err.Error(), "secret") {
				t.Errorf("message %q does not contain %q", err, tt.words)
			}
		})
	}
}

// A program may be moved or updated while we run.
func TestProgramMoves(t *testing.T) {
	one, two := t.TempDir(), t.TempDir()
	t.Setenv("PATH", one+":"+two+":"+os.Getenv("PATH"))
	install := func(dir, word string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, "moving"), []byte("#!/bin/sh\necho "+word+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	says := func(want string) {
		t.Helper()
		if out, err := Output(t.Context(), Cmd{Name: "moving"}); err != nil || string(out) != want+"\n" {
			t.Errorf("got %q, %v, want %q", out, err, want)
		}
	}
	install(one, "first")
	says("first")
	install(two, "second")
	if err := os.Remove(filepath.Join(one, "moving")); err != nil {
		t.Fatal(err)
	}
	says("second")
	if err := os.Remove(filepath.Join(two, "moving")); err != nil {
		t.Fatal(err)
	}
	if err := Run(t.Context(), Cmd{Name: "moving"}); !errors.Is(err, exec.ErrNotFound) {
		t.Errorf("got %v", err)
	}
	install(two, "back")
	says("back")
	t.Setenv("PATH", one)
	if err := Run(t.Context(), Cmd{Name: "moving"}); !errors.Is(err, exec.ErrNotFound) {
		t.Errorf("remembered for another PATH: %v", err)
	}
}

func TestOrder(t *testing.T) {
	var both, want strings.Builder
	for i := range 300 {
		fmt.Fprintf(&want, "out %d\nerr %d\n", i, i)
	}
	c := sh(`i=0; while [ $i -lt 300 ]; do echo out $i; echo err $i >&2; i=$((i+1)); done; exit 4`)
	c.Stdout, c.Stderr = &both, &both
	var e *Error
	if err := Run(t.Context(), c); !errors.As(err, &e) || e.ExitCode != 4 {
		t.Errorf("got %v", err)
	}
	if both.String() != want.String() {
		t.Error("not in the program's order")
	}
	if !strings.HasSuffix(e.Stderr, "out 299\nerr 299\n") {
		t.Errorf("the error has %q", e.Stderr)
	}
}

// answers closes a program's input as soon as the program has asked.
type answers struct {
	asked bytes.Buffer
	input io.Closer
}

func (a *answers) Write(p []byte) (int, error) {
	a.asked.Write(p)
	if strings.Contains(a.asked.String(), "ready\n") {
		a.input.Close()
	}
	return len(p), nil
}

// What a program writes is shown while it runs: this one would never end.
func TestOutputIsLive(t *testing.T) {
	for _, redirect := range []string{"", ">&2"} {
		r, w := io.Pipe()
		a := &answers{input: w}
		c := sh("echo ready " + redirect + "; cat; echo done")
		c.Stdin, c.Stdout, c.Stderr = r, a, a
		if err := Run(t.Context(), c); err != nil || a.asked.String() != "ready\ndone\n" {
			t.Errorf("got %q, %v", a.asked.String(), err)
		}
	}
}

// SIGTERM reaches what the program has started too, and its last words are heard
// though the program itself is gone by then.
func TestStopAsksAll(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	a := &answers{input: closer(cancel)}
	c := sh(`sh -c 'trap "sleep 0.05; echo bye; exit" TERM; echo ready; while :; do sleep 0.01; done' & exec sleep 100`)
	c.Stdout = a
	c.Grace = time.Minute
	if err := Run(ctx, c); !errors.Is(err, context.Canceled) || a.asked.String() != "ready\nbye\n" {
		t.Errorf("got %q, %v", a.asked.String(), err)
	}
}

type closer func()

func (c closer) Close() error { c(); return nil }

type counter struct{ n atomic.Int64 }

func (c *counter) Write(p []byte) (int, error) { c.n.Add(int64(len(p))); return len(p), nil }

func TestMuchOutput(t *testing.T) {
	const size = 50_000_000
	var out, log counter
	c := sh(fmt.Sprintf("head -c %d /dev/zero; head -c %d /dev/zero >&2", size, size))
	c.Stdout, c.Stderr = &out, &log
	if err := Run(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if out.n.Load() != size || log.n.Load() != size {
		t.Errorf("%d and %d bytes arrived, want %d", out.n.Load(), log.n.Load(), size)
	}
}

// A program may open its output once more by name.
func TestOutputReopened(t *testing.T) {
	var both bytes.Buffer
	c := sh("echo one; echo two >/dev/stdout; echo three >/dev/stderr; echo four")
	c.Stdout, c.Stderr = &both, &both
	if err := Run(t.Context(), c); err != nil || both.String() != "one\ntwo\nthree\nfour\n" {
		t.Errorf("got %q, %v", both.String(), err)
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("the disk is gone") }

func TestReaderFails(t *testing.T) {
	c := sh("cat")
	c.Stdin = failing{}
	if err := Run(t.Context(), c); err == nil || !strings.Contains(err.Error(), "the disk is gone") {
		t.Errorf("got %v", err)
	}
}

func TestPeakOfALargeProgram(t *testing.T) {
	const size = 300 << 20 // far above what the test itself has
	var peak int64
	c := Cmd{Name: "/bin/sh", Args: []string{"-c", fmt.Sprintf("head -c %d /dev/zero | tail -c %d", size, size)}, Peak: &peak, Stdout: io.Discard}
	if err := Run(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if peak < size || peak > 3*size {
		t.Errorf("tail held %d bytes, measured were %d", size, peak)
	}
}

func TestManyAtOnce(t *testing.T) {
	const many = 1000
	hold, release, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer hold.Close()
	defer release.Close()
	var begun counter
	failed := make(chan error, many)
	for i := range many {
		go func() {
			var out bytes.Buffer
			c := sh(fmt.Sprintf("echo; read x; echo %d", i))
			c.Stdin, c.Stdout = hold, io.MultiWriter(&out, &begun, stop{&begun, many, release})
			err := Run(t.Context(), c)
			if err == nil && out.String() != fmt.Sprintf("\n%d\n", i) {
				err = fmt.Errorf("program %d wrote %q", i, out.String())
			}
			failed <- err
		}()
	}
	for range many {
		if err := <-failed; err != nil {
			t.Error(err)
		}
	}
}

// stop lets all programs go on when all have begun.
type stop struct {
	begun *counter
	many  int64
	input *os.File
}

func (s stop) Write(p []byte) (int, error) {
	if s.begun.n.Load() == s.many {
		s.input.Close()
	}
	return len(p), nil
}
