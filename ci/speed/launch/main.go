//go:build linux

// Launch runs one program and tells on stdout, as JSON, what it took. What the
// program says goes to a file.
//
//	launch SAYS PROGRAM [ARG...]
//
// The peak memory of a process counts what its parent had when it began, so a
// small parent is needed: the benchmark itself is larger than what it measures.
// The program finds when it was started in $ROOST_SPEED_START, in nanoseconds.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"

	"roost/ci/speed/took"
)

func main() {
	says, err := syscall.Open(os.Args[1], syscall.O_CREAT|syscall.O_TRUNC|syscall.O_WRONLY|syscall.O_CLOEXEC, 0o600)
	must(err)
	null, err := syscall.Open(os.DevNull, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	must(err)
	program, err := exec.LookPath(os.Args[2])
	must(err)
	began := time.Now()
	pid, err := syscall.ForkExec(program, os.Args[2:], &syscall.ProcAttr{
		Env:   append(os.Environ(), took.StartEnv+"="+strconv.FormatInt(began.UnixNano(), 10)),
		Files: []uintptr{uintptr(null), uintptr(says), uintptr(says)},
	})
	must(err)
	var status syscall.WaitStatus
	var usage syscall.Rusage
	for {
		if _, err = syscall.Wait4(pid, &status, 0, &usage); err != syscall.EINTR {
			break
		}
	}
	wall := time.Since(began)
	must(err)
	must(json.NewEncoder(os.Stdout).Encode(took.Process{
		Began: began.UnixNano(), Wall: wall, CPU: time.Duration(usage.Utime.Nano() + usage.Stime.Nano()),
		Peak: usage.Maxrss << 10, Exit: status.ExitStatus(),
	}))
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
