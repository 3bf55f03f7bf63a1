package command

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"
)

const fionread = 0x4004667f // how many bytes a pipe holds: FIONREAD

// start starts a program in a process group of its own, and where session is
// true in a session of its own. There is no parent-death signal here: after a
// kill -9 of ours, it runs on to its end.
func start(path string, argv []string, attr *syscall.ProcAttr, session bool) (pid, ended int, err error) {
	attr.Sys = &syscall.SysProcAttr{Setsid: session, Setpgid: !session}
	if pid, err = syscall.ForkExec(path, argv, attr); err != nil {
		return 0, 0, err
	}
	if ended, err = end(pid); err != nil {
		_ = syscall.Kill(-pid, syscall.SIGKILL)
		_, _ = reap(pid)
		return 0, 0, err
	}
	return pid, ended, nil
}

// end returns a descriptor that is readable when the child has ended.
func end(pid int) (int, error) {
	queue, err := unix.Kqueue()
	if err != nil {
		return 0, err
	}
	unix.CloseOnExec(queue)
	var event unix.Kevent_t
	unix.SetKevent(&event, pid, unix.EVFILT_PROC, unix.EV_ADD|unix.EV_ONESHOT)
	event.Fflags = unix.NOTE_EXIT
	if _, err = unix.Kevent(queue, []unix.Kevent_t{event}, nil, nil); err == nil {
		return queue, nil
	}
	_ = unix.Close(queue)
	if !errors.Is(err, unix.ESRCH) {
		return 0, err
	}
	// It has ended already. So has a pipe that nobody can write to.
	r, w, err := pipe()
	if err == nil {
		_ = unix.Close(w)
	}
	return r, err
}

// pipe makes a pipe that no program inherits by accident.
func pipe() (r, w int, err error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	var p [2]int
	if err = unix.Pipe(p[:]); err == nil {
		unix.CloseOnExec(p[0])
		unix.CloseOnExec(p[1])
	}
	return p[0], p[1], err
}

// peak is in bytes.
func peak(usage *syscall.Rusage) int64 { return usage.Maxrss }
