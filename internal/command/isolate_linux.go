package command

import (
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

const fionread = unix.TIOCINQ // how many bytes a pipe holds

// isolate gives the program a session and with it a process group, and has the
// kernel kill it when we die without being asked (kill -9). Run explains why
// the latter needs a locked thread. It reaches the program itself, not what
// the program started; those see their pipes close.
func isolate(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
}

func peak(p *os.ProcessState) int64 {
	usage, ok := p.SysUsage().(*syscall.Rusage)
	if !ok {
		return 0
	}
	return usage.Maxrss << 10 // KiB
}
