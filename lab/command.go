package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// program finds a program; root's PATH does not have the sbin folders everywhere.
func program(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err == nil {
		return path, nil
	}
	for _, dir := range []string{"/usr/sbin", "/sbin"} {
		if path, e := exec.LookPath(filepath.Join(dir, name)); e == nil {
			return path, nil
		}
	}
	return "", err
}

func command(ctx context.Context, name string, args ...string) *exec.Cmd {
	path, err := program(name)
	if err != nil {
		path = name // Run reports it
	}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// finish runs cmd and gives its stdout. The error holds what it said on stderr.
func finish(cmd *exec.Cmd) ([]byte, error) {
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if err == nil {
		return stdout.Bytes(), nil
	}
	line := strings.Join(append([]string{filepath.Base(cmd.Path)}, cmd.Args[1:]...), " ")
	if said := strings.TrimSpace(stderr.String()); said != "" {
		return stdout.Bytes(), fmt.Errorf("%s: %w: %s", line, err, said)
	}
	return stdout.Bytes(), fmt.Errorf("%s: %w", line, err)
}

// run runs a command which makes or removes something of the lab. It inherits
// the lock: see locked.
func (h *held) run(ctx context.Context, name string, args ...string) error {
	return h.feed(ctx, "", name, args...)
}

func (h *held) feed(ctx context.Context, stdin, name string, args ...string) error {
	cmd := command(ctx, name, args...)
	cmd.ExtraFiles = []*os.File{h.lock}
	if stdin != "" {
		cmd.Stdin = strings.NewReader(stdin)
	}
	_, err := finish(cmd)
	return err
}

// lockFile waits for the exclusive lock of a file, which it makes. The lock is
// held until the file and every copy of it in other processes are closed.
func lockFile(ctx context.Context, path string) (*os.File, error) {
	for {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return nil, err
		}
		file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
		if errors.Is(err, fs.ErrNotExist) { // its folder has just gone
			continue
		}
		if err != nil {
			return nil, err
		}
		err = waitLock(ctx, file)
		if err == nil && sameFile(file, path) {
			return file, nil
		}
		file.Close() // the file was removed while we waited: start again
		if err != nil {
			return nil, err
		}
	}
}

func waitLock(ctx context.Context, file *os.File) error {
	for {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			return err
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return fmt.Errorf("another process has it: %w", err)
		}
	}
}

func sameFile(file *os.File, path string) bool {
	mine, err1 := file.Stat()
	there, err2 := os.Stat(path)
	return err1 == nil && err2 == nil && os.SameFile(mine, there)
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}

// until asks again and again whether something is so; false when d is over.
func until(ctx context.Context, d time.Duration, so func() bool) bool {
	for end := time.Now().Add(d); ; {
		if so() {
			return true
		}
		if time.Now().After(end) || pause(ctx, 20*time.Millisecond) != nil {
			return false
		}
	}
}
