package command_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"roost/graph"
	"roost/internal/command"
)

// mark is an environment variable that a test gives its programs. What they
// start inherits it, and so can be found in /proc whatever became of its
// parents.
func mark() string { return fmt.Sprintf("ROOST_TEST_MARK=%d-%d", os.Getpid(), rand.Int64()) }

// left lists the processes that carry the mark, and our own zombies.
func left(mark string) []string {
	var found []string
	all, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range all {
		stat, err := os.ReadFile(dir + "/stat")
		if err != nil {
			continue // gone
		}
		// "PID (NAME) STATE PARENT ...": the name may have anything in it.
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		environ, _ := os.ReadFile(dir + "/environ")
		switch {
		case fields[0] == "Z" && fields[1] == strconv.Itoa(os.Getpid()):
			found = append(found, "zombie "+string(stat))
		case fields[0] != "Z" && bytes.Contains(environ, []byte(mark)):
			line, _ := os.ReadFile(dir + "/cmdline")
			found = append(found, string(stat)+string(bytes.ReplaceAll(line, []byte{0}, []byte{' '})))
		}
	}
	return found
}

// noneLeft waits a little: a process that got SIGKILL may have to finish a
// system call first.
func noneLeft(t *testing.T, mark string) {
	t.Helper()
	var found []string
	for range 6000 {
		if found = left(mark); len(found) == 0 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("left behind:\n%s", strings.Join(found, "\n"))
}

func shell(script, mark string) command.Cmd {
	return command.Cmd{Name: "sh", Args: []string{"-c", script}, Env: []string{mark}, Grace: 50 * time.Millisecond}
}

// The tests of leaks must be able to see one.
func TestLeftSees(t *testing.T) {
	mark := mark()
	if err := command.Run(t.Context(), shell("sleep 100 & :", mark)); err != nil {
		t.Fatal(err)
	}
	found := left(mark)
	if len(found) != 1 {
		t.Fatalf("found %q", found)
	}
	pid, _, _ := strings.Cut(found[0], " ")
	n, err := strconv.Atoi(pid)
	if err != nil {
		t.Fatal(err)
	}
	_ = syscall.Kill(n, syscall.SIGKILL)
	noneLeft(t, mark)
}

type refuses struct{}

func (refuses) Write([]byte) (int, error) { return 0, io.ErrShortWrite }

// However a program goes, it leaves no descriptor, no zombie and no goroutine.
func TestNothingIsLeft(t *testing.T) {
	mark := mark()
	ways := map[string]func(ctx context.Context, cancel func()) error{
		"well": func(ctx context.Context, _ func()) error {
			_, err := command.Output(ctx, shell("echo out; echo log >&2", mark))
			return err
		},
		"input": func(ctx context.Context, _ func()) error {
			c := shell("exec <&-", mark)
			c.Stdin = bytes.NewReader(make([]byte, 1<<20))
			return command.Run(ctx, c)
		},
		"exit code": func(ctx context.Context, _ func()) error { return command.Run(ctx, shell("exit 3", mark)) },
		"not found": func(ctx context.Context, _ func()) error {
			return command.Run(ctx, command.Cmd{Name: "no-such-program-here", Stdin: strings.NewReader("x"), Stdout: io.Discard})
		},
		"no folder": func(ctx context.Context, _ func()) error {
			return command.Run(ctx, command.Cmd{Name: "true", Dir: "/nonexistent", Stdin: strings.NewReader("x")})
		},
		"broken writer": func(ctx context.Context, _ func()) error {
			c := shell("while echo x; do :; done", mark)
			c.Stdout = refuses{}
			return command.Run(ctx, c)
		},
		"stopped": func(ctx context.Context, cancel func()) error {
			c := shell("sleep 100 & trap '' TERM; sleep 100 & echo; wait; sleep 100", mark)
			c.Stdout = calls(cancel)
			return command.Run(ctx, c)
		},
	}
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			run := func() {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				err := way(ctx, cancel)
				if good := name == "well" || name == "input"; (err == nil) != good {
					t.Errorf("got %v", err)
				}
			}
			run() // what is opened once and kept
			before, running := descriptors(t), goleak.IgnoreCurrent()
			for range 5 {
				run()
			}
			if after := descriptors(t); after != before {
				t.Errorf("%d descriptors, %d before", after, before)
			}
			goleak.VerifyNone(t, running)
			noneLeft(t, mark)
		})
	}
}

// calls calls itself when something is written.
type calls func()

func (c calls) Write(p []byte) (int, error) { c(); return len(p), nil }

func descriptors(t *testing.T) int {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

// A program has its three files, what we ourselves were started with, and no
// other of ours: a pipe in the wrong hands never ends.
func TestDescriptorsOfAProgram(t *testing.T) {
	var others sync.WaitGroup
	defer others.Wait()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for range 4 { // with their pipes
		others.Go(func() {
			_, _ = command.Output(ctx, command.Cmd{Name: "sleep", Args: []string{"100"}, Stdin: strings.NewReader("x")})
		})
	}
	want := map[string]bool{"0": true, "1": true, "2": true}
	for fd := range 1000 {
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil && flags&unix.FD_CLOEXEC == 0 {
			want[strconv.Itoa(fd)] = true
		}
	}
	for fd := 3; ; fd++ { // ls reads the folder with the first that is free
		if name := strconv.Itoa(fd); !want[name] {
			want[name] = true
			break
		}
	}
	for range 20 {
		out, err := command.Output(t.Context(), command.Cmd{Name: "ls", Args: []string{"/proc/self/fd"}, Stdin: strings.NewReader("")})
		if err != nil {
			t.Fatal(err)
		}
		for fd := range strings.FieldsSeq(string(out)) {
			if !want[fd] {
				t.Errorf("a program has descriptor %s", fd)
			}
		}
	}
}

// A session of its own keeps a program from our terminal, if we have one.
func TestNoTerminal(t *testing.T) {
	if os.Getenv("ROOST_TEST_TERMINAL") == "1" {
		ours, err := os.Open("/dev/tty")
		out, runErr := command.Output(t.Context(), shell("if (: </dev/tty) 2>/dev/null; then echo terminal; else echo none; fi", mark()))
		ours.Close()
		fmt.Printf("ours: %v, the program's: %s, %v\n", err, bytes.TrimSpace(out), runErr)
		return
	}
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip("no pseudo terminals here: ", err)
	}
	defer master.Close()
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	terminal, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip("no pseudo terminals here: ", err)
	}
	defer terminal.Close()
	cmd := exec.Command(os.Args[0], "-test.run=^TestNoTerminal$")
	cmd.Env = append(os.Environ(), "ROOST_TEST_TERMINAL=1")
	cmd.Stdin = terminal
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	out, err := cmd.Output()
	if err != nil || !strings.Contains(string(out), "ours: <nil>, the program's: none, <nil>\n") {
		t.Errorf("got %q, %v", out, err)
	}
}

// TestStorm cancels graphs of 1,000 tasks early, late and between. They start real
// programs: some fail, some ignore SIGTERM, as do the processes they start.
// Nothing of it may be left: no process, no goroutine, no descriptor.
func TestStorm(t *testing.T) {
	const tasks = 1000
	scripts := []string{
		"exit 0",
		"echo words; echo more >&2",
		"echo failed >&2; exit 1",
		"kill -9 $$",
		"sh -c 'sh -c :'; sleep 0.01",
		"no-such-program-here",
	}
	// These end only when they are stopped.
	endless := []string{
		"sleep 1000",
		"sleep 1000 & sleep 1000 & wait",
		"trap '' TERM; sh -c 'sleep 1000; :' & while :; do sleep 0.1; done",
		"sh -c 'trap \"\" TERM; while :; do echo still here; sleep 0.05; done' & exec sleep 1000",
	}
	if err := command.Run(t.Context(), shell(":", mark())); err != nil { // opens what is kept
		t.Fatal(err)
	}
	before, running := descriptors(t), goleak.IgnoreCurrent()
	ended := map[graph.Status]int{}
	for _, enough := range []int64{50, 200, 350, 400, 450} { // programs, then all is cancelled
		mark := mark()
		random := rand.New(rand.NewPCG(uint64(enough), 1))
		ctx, cancel := context.WithCancel(t.Context())
		var begun atomic.Int64
		g := graph.New()
		var made []graph.Ref[int]
		for i := range tasks {
			script := scripts[random.IntN(len(scripts))]
			limit := time.Minute // what ends by itself may take its time
			if random.IntN(20) == 0 {
				script = endless[random.IntN(len(endless))]
				limit = time.Duration(random.IntN(3)) * 50 * time.Millisecond // 0: none
				if i%2 == 0 {
					limit += 50 * time.Millisecond // no effect is applied before all is read
				}
			}
			run := func(ctx context.Context) (int, error) {
				if begun.Add(1) == enough {
					time.AfterFunc(time.Millisecond, cancel)
				}
				c := shell(script, mark)
				var log bytes.Buffer
				c.Stdout, c.Stderr = &log, &log
				return 0, command.Run(ctx, c)
			}
			var needs graph.Ref[int]
			waits := len(made) > 0 && random.IntN(2) == 0
			if waits {
				needs = made[random.IntN(len(made))]
			}
			declare := func(task *graph.Task) {
				task.Timeout(limit)
				if waits {
					task.After(needs)
				}
			}
			name := fmt.Sprintf("storm/%d", i)
			if i%2 == 0 {
				made = append(made, graph.Observe(g, name, func(task *graph.Task) func(context.Context) (int, error) {
					declare(task)
					return run
				}))
				continue
			}
			applied := false
			made = append(made, graph.Effect(g, name, func(task *graph.Task) graph.Change[int] {
				declare(task)
				return graph.Change[int]{
					Check: func(context.Context) (graph.State[int], error) { return graph.State[int]{Done: applied}, nil },
					Apply: func(ctx context.Context) error {
						_, err := run(ctx)
						applied = err == nil
						return err
					},
				}
			}))
		}
		result, err := g.Run(ctx, graph.Options{Jobs: 32, Grace: 100 * time.Millisecond})
		if ctx.Err() == nil || err == nil {
			t.Errorf("the run ended by itself after %d programs: %v", begun.Load(), err)
		}
		cancel()
		for status, n := range result.Counts {
			ended[status] += n
		}
		noneLeft(t, mark)
	}
	for _, status := range []graph.Status{graph.StatusRan, graph.StatusRead, graph.StatusFailed, graph.StatusCancelled} {
		if ended[status] == 0 {
			t.Errorf("no task %s: %v", status, ended)
		}
	}
	goleak.VerifyNone(t, running)
	if after := descriptors(t); after != before {
		t.Errorf("%d descriptors, %d before", after, before)
	}
}
