package ledger

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// holdEnv makes this test binary a process that takes the lock of the state in
// the folder it names, says so, and keeps it.
const holdEnv = "ROOST_LEDGER_TEST_HOLD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(holdEnv); dir != "" {
		lock, err := (&State{Dir: dir}).Lock("update:all", time.Now())
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Println("held")
		time.Sleep(time.Minute) // the test kills us long before
		lock.Release()
	}
	os.Exit(m.Run())
}

// holder starts another process that holds the lock.
func holder(t *testing.T, s *State) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), holdEnv+"="+s.Dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "held\n" {
		t.Fatalf("the other process said %q (%v)", line, err)
	}
	return cmd
}

func TestLockNamesItsHolder(t *testing.T) {
	s := open(t)
	other := holder(t, s)
	_, err := s.Lock("update:all", time.Now())
	held, ok := errors.AsType[*HeldError](err)
	if !ok {
		t.Fatalf("want a *HeldError, got %v", err)
	}
	host, _ := os.Hostname()
	got := held.Holder
	if got.PID != other.Process.Pid || got.Verb != "update:all" || got.Host != host || time.Since(got.Since) > time.Minute || got.Since.IsZero() {
		t.Errorf("the holder is %+v", got)
	}
	for _, want := range []string{"update:all", fmt.Sprintf("kill %d", other.Process.Pid), " since " + got.Since.Format(time.DateTime)} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not say %q", err, want)
		}
	}
	info, err := os.Stat(held.Path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the lock's mode is %v (%v)", info.Mode(), err)
	}
}

func TestKilledHolderFreesTheLock(t *testing.T) {
	s := open(t)
	other := holder(t, s)
	if err := other.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	other.Wait()
	lock, err := s.Lock("update:all", time.Now())
	if err != nil {
		t.Fatalf("after kill -9 of its holder: %v", err)
	}
	if err := lock.Release(); err != nil {
		t.Fatal(err)
	}
	again, err := s.Lock("update:all", time.Now())
	if err != nil {
		t.Fatalf("after Release: %v", err)
	}
	again.Release()
}

// What stands in the lock only tells: damage neither frees it nor makes us name
// a wrong process to kill.
func TestDamagedNote(t *testing.T) {
	for _, note := range []string{"", "{", "null", "[]", "\x00\xff", `{"pid":1,"since":"yesterday"}`, `{"pid":"1"}`} {
		s := open(t)
		holder(t, s)
		if err := os.WriteFile(s.Path("locks", "run"), []byte(note), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := s.Lock("update:all", time.Now())
		held, ok := errors.AsType[*HeldError](err)
		if !ok {
			t.Errorf("note %q: want a *HeldError, got %v", note, err)
			continue
		}
		if held.Holder != (Holder{}) || strings.Contains(err.Error(), "kill") || !strings.Contains(err.Error(), held.Path) {
			t.Errorf("note %q: %+v: %v", note, held.Holder, err)
		}
	}
}

func TestLockWithoutItsFolder(t *testing.T) {
	s := &State{Dir: t.TempDir() + "/none"}
	if _, err := s.Lock("update:all", time.Now()); err == nil || !strings.Contains(err.Error(), s.Path("locks", "run")) {
		t.Errorf("want an error that names the file, got %v", err)
	}
}
