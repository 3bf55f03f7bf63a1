package command

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"
)

const fionread = unix.TIOCINQ // how many bytes a pipe holds

// start starts a program in a process group of its own, and where session is
// true in a session of its own. The kernel kills it when we die without being
// asked (kill -9): Run explains why that needs a locked thread. It reaches the
// program itself, not what the program started; those see their pipes close.
func start(path string, argv []string, attr *syscall.ProcAttr, session bool) (pid, ended int, err error) {
	ended = -1
	attr.Sys = &syscall.SysProcAttr{Setsid: session, Setpgid: !session, Pdeathsig: syscall.SIGKILL, PidFD: &ended}
	if pid, err = syscall.ForkExec(path, argv, attr); err != nil {
		return 0, 0, err
	}
	if ended < 0 {
		_ = syscall.Kill(-pid, syscall.SIGKILL)
		_, _ = reap(pid)
		return 0, 0, errors.New("this kernel has no pidfd: Linux 5.4 or newer is needed")
	}
	return pid, ended, nil
}

// pipe makes a pipe that no program inherits by accident.
func pipe() (r, w int, err error) {
	var p [2]int
	err = unix.Pipe2(p[:], unix.O_CLOEXEC)
	return p[0], p[1], err
}

// peak is in bytes. A child starts with our own memory, which the kernel
// counts: a small program seems to have had as much as we had then.
func peak(usage *syscall.Rusage) int64 { return usage.Maxrss << 10 }
