//go:build !linux

package command

import (
	"os"
	"os/exec"
	"syscall"
)

const fionread = 0x4004667f // how many bytes a pipe holds: FIONREAD of macOS and the BSDs

// isolate gives the program a session and with it a process group. There is no
// parent-death signal here: after a kill -9 of ours, it runs on to its end.
func isolate(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
}

func peak(p *os.ProcessState) int64 {
	usage, ok := p.SysUsage().(*syscall.Rusage)
	if !ok {
		return 0
	}
	return int64(usage.Maxrss) // bytes on macOS
}
