//go:build linux

// Spawn runs each of a list of shell commands, so many at once, and does nothing
// else: no engine that starts a process a task can be faster. The list has a
// zero byte behind each command.
//
//	spawn JOBS LIST
package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
)

func main() {
	jobs, err := strconv.Atoi(os.Args[1])
	must(err)
	list, err := os.ReadFile(os.Args[2])
	must(err)
	commands := strings.Split(strings.TrimSuffix(string(list), "\x00"), "\x00")
	null, err := syscall.Open(os.DevNull, syscall.O_RDWR|syscall.O_CLOEXEC, 0)
	must(err)
	attr := &syscall.ProcAttr{Env: os.Environ(), Files: []uintptr{uintptr(null), uintptr(null), 2}}
	var next atomic.Int64
	var all sync.WaitGroup
	for range jobs {
		all.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(commands) {
					return
				}
				run(commands[i], attr)
			}
		})
	}
	all.Wait()
}

func run(command string, attr *syscall.ProcAttr) {
	pid, err := syscall.ForkExec("/bin/sh", []string{"/bin/sh", "-c", command}, attr)
	must(err)
	var status syscall.WaitStatus
	for {
		if _, err = syscall.Wait4(pid, &status, 0, nil); err != syscall.EINTR {
			break
		}
	}
	must(err)
	if status.ExitStatus() != 0 {
		must(fmt.Errorf("%s: exit code %d", command, status.ExitStatus()))
	}
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
