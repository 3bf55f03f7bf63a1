package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Names of faults, as they stand in the journal and in HostStatus.
const (
	faultCut  = "cut"
	faultSlow = "slow"
	faultFull = "full disk"
	faultKey  = "changed host key"
)

// execTime is how long a command inside a host may take: one that hangs in a
// host which goes down would hang its caller for good.
const execTime = time.Minute

// Exec runs a command as root inside a host, for a minute at most, and gives
// its stdout. It does not use the network. The error holds the exit code (*exec.ExitError) and stderr.
func (l *Lab) Exec(ctx context.Context, name string, args ...string) ([]byte, error) {
	target, now, err := l.upHost(name)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, execTime)
	defer cancel()
	out, err := target.exec(ctx, now.Init, args...)
	if err != nil {
		return out, fmt.Errorf("host %s: %w", name, err)
	}
	return out, nil
}

func (h host) exec(ctx context.Context, init process, args ...string) ([]byte, error) {
	enter := []string{"--target", fmt.Sprint(init.PID), "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--root", "--wd"}
	cmd := command(ctx, "nsenter", append(append(enter, "--"), args...)...)
	cmd.Env = []string{"PATH=" + hostPath, "HOME=/root", "LANG=C.UTF-8"}
	return finish(cmd)
}

// upHost finds a host that must be on.
func (l *Lab) upHost(name string) (host, running, error) {
	target, err := l.host(name)
	if err != nil {
		return target, running{}, err
	}
	now, err := target.running()
	if err == nil && !now.up() {
		err = fmt.Errorf("host %s is off (%s): boot it first", name, now.Ended)
	}
	return target, now, err
}

// fault records a fault and then makes or undoes it, with the lab locked.
func (l *Lab) fault(ctx context.Context, name, fault string, on bool, do func(*held, host, running) error) error {
	err := l.changing(ctx, name, func(h *held, target host) error {
		_, now, err := l.upHost(name)
		if err != nil {
			return err
		}
		r := record{Kind: kindFault, Host: name, Name: fault, On: on}
		if !on { // it is over when it is undone, not before
			return errors.Join(do(h, target, now), h.journal.add(r))
		}
		if err := h.journal.add(r); err != nil {
			return err
		}
		return do(h, target, now)
	})
	if err != nil {
		return fmt.Errorf("%s, host %s: %w", fault, name, err)
	}
	return nil
}

// Cut takes the host off the network. Open connections hang, as they do when a
// cable is pulled; a host that boots stays cut. Undo it with Mend.
func (l *Lab) Cut(ctx context.Context, name string) error {
	return l.fault(ctx, name, faultCut, true, func(h *held, target host, _ running) error {
		return h.run(ctx, "ip", "link", "set", target.Link, "down")
	})
}

// mendTime is how long Mend waits for the host to answer again: the machine
// remembers for a while that it had no route to it.
const mendTime = 10 * time.Second

// Mend undoes Cut and Slow, and waits until the host's port 22 answers, for ten
// seconds at most: its sshd may be off for another reason.
func (l *Lab) Mend(ctx context.Context, name string) error {
	err := l.fault(ctx, name, faultSlow, false, func(h *held, target host, now running) error {
		return h.unslow(ctx, target, now)
	})
	return errors.Join(err, l.fault(ctx, name, faultCut, false, func(h *held, target host, _ running) error {
		if err := h.run(ctx, "ip", "link", "set", target.Link, "up"); err != nil {
			return err
		}
		until(ctx, mendTime, func() bool { return target.answers(ctx) })
		return nil
	}))
}

// Slow delays every packet to and from the host, and limits both directions to
// rate bits per second; zero leaves one of them out. It ends with Mend, and when
// the host is powered off. A kernel without the queue it takes (netem for a
// delay, tbf for a rate alone) gives an error that is errors.ErrUnsupported.
func (l *Lab) Slow(ctx context.Context, name string, delay time.Duration, rate int64) error {
	if delay < 0 || rate < 0 || delay == 0 && rate == 0 {
		return fmt.Errorf("slow, host %s: want a delay or a rate above zero, got %s and %d bit/s", name, delay, rate)
	}
	if _, err := program("tc"); err != nil {
		return fmt.Errorf("slow, host %s: %w: no program tc: apt-get install iproute2", name, errors.ErrUnsupported)
	}
	queue := queueArgs(delay, rate)
	return l.fault(ctx, name, faultSlow, true, func(h *held, target host, now running) error {
		err := h.eachEnd(ctx, target, now, append([]string{"replace"}, queue...)...)
		if err == nil {
			return nil
		}
		if strings.Contains(err.Error(), "qdisc kind is unknown") {
			err = fmt.Errorf("%w: this kernel has no %s queue", errors.ErrUnsupported, queue[0])
		}
		off := record{Kind: kindFault, Host: name, Name: faultSlow}
		return errors.Join(err, h.unslow(ctx, target, now), h.journal.add(off))
	})
}

func queueArgs(delay time.Duration, rate int64) []string {
	if delay == 0 {
		return []string{"tbf", "rate", fmt.Sprintf("%dbit", rate), "burst", "32kb", "latency", "400ms"}
	}
	args := []string{"netem", "delay", fmt.Sprintf("%dus", delay.Microseconds())}
	if rate > 0 {
		args = append(args, "rate", fmt.Sprintf("%dbit", rate))
	}
	return args
}

// eachEnd changes the root queue at both ends of the host's cable:
// tc qdisc VERB dev X root QUEUE...
func (h *held) eachEnd(ctx context.Context, target host, now running, args ...string) error {
	tc := func(dev string) []string {
		return append([]string{"tc", "qdisc", args[0], "dev", dev, "root"}, args[1:]...)
	}
	outer := tc(target.Link)
	if err := h.run(ctx, outer[0], outer[1:]...); err != nil {
		return err
	}
	return h.run(ctx, "nsenter", append([]string{fmt.Sprintf("--net=/proc/%d/ns/net", now.Supervisor.PID), "--"}, tc("eth0")...)...)
}

// unslow puts the kernel's own queue back; that it is there already is fine.
func (h *held) unslow(ctx context.Context, target host, now running) error {
	return h.eachEnd(ctx, target, now, "replace", "pfifo_fast")
}

// Kill ends the host at once, as a power cut does, and it stays off until Boot.
// What it wrote but did not sync is kept by the machine all the same.
func (l *Lab) Kill(ctx context.Context, name string) error {
	return l.changing(ctx, name, func(h *held, target host) error {
		now, err := target.running()
		if err != nil {
			return err
		}
		now.Init.signal(syscall.SIGKILL)
		if !until(ctx, 15*time.Second, func() bool { return !now.Supervisor.alive() && !now.Init.alive() }) {
			return fmt.Errorf("kill host %s: process %d or its supervisor %d does not end", name, now.Init.PID, now.Supervisor.PID)
		}
		return nil
	})
}

// Boot starts a host that was powered off or killed, and waits until it answers
// ssh (not when it is cut). A host that runs stays as it is.
func (l *Lab) Boot(ctx context.Context, name string) error {
	return l.changing(ctx, name, func(h *held, target host) error {
		if _, err := h.boot(ctx, target); err != nil {
			return fmt.Errorf("host %s: %w", name, err)
		}
		return nil
	})
}

// filler takes all free space of the host's disk. It lies beside the host's
// files, where the host does not see it.
func (h host) filler(now running) string {
	return filepath.Join(fmt.Sprintf("/proc/%d/root", now.Supervisor.PID), h.upper(), "filler")
}

// FillDisk leaves no free block on the host's disk: everything in the host that
// writes gets ENOSPC. Undo it with FreeDisk.
func (l *Lab) FillDisk(ctx context.Context, name string) error {
	return l.fault(ctx, name, faultFull, true, func(h *held, target host, now running) error {
		path := target.filler(now)
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			return err
		}
		var disk syscall.Statfs_t
		if err := syscall.Statfs(path, &disk); err != nil {
			return err
		}
		free := int64(disk.Bavail) * int64(disk.Bsize)
		const rest = 4 << 20 // for what the file system itself needs to note so much
		if free > rest {
			if err := h.run(ctx, "fallocate", "--length", fmt.Sprint(free-rest), path); err != nil {
				return err
			}
		}
		return writeUntilFull(path)
	})
}

func writeUntilFull(path string) error {
	file, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	for _, size := range []int{64 << 10, 4 << 10} {
		block := make([]byte, size)
		for err = nil; err == nil; {
			_, err = file.Write(block)
		}
		if !errors.Is(err, syscall.ENOSPC) {
			return err
		}
	}
	if err := file.Sync(); err != nil && !errors.Is(err, syscall.ENOSPC) {
		return err
	}
	return nil
}

// FreeDisk undoes FillDisk.
func (l *Lab) FreeDisk(ctx context.Context, name string) error {
	return l.fault(ctx, name, faultFull, false, func(_ *held, target host, now running) error {
		return removeIfThere(target.filler(now))
	})
}

// ChangeHostKey gives the host a new ssh host key, as a reinstalled or a false
// host has. The lab's known_hosts keeps the old one. Undo: RestoreHostKey.
func (l *Lab) ChangeHostKey(ctx context.Context, name string) error {
	return l.fault(ctx, name, faultKey, true, func(h *held, target host, now running) error {
		impostor := filepath.Join(target.Dir, "impostor_key")
		if err := h.newKey(ctx, impostor, "impostor-"+name); err != nil {
			return err
		}
		return target.useKey(ctx, now, impostor)
	})
}

// RestoreHostKey undoes ChangeHostKey.
func (l *Lab) RestoreHostKey(ctx context.Context, name string) error {
	return l.fault(ctx, name, faultKey, false, func(_ *held, target host, now running) error {
		return target.useKey(ctx, now, target.key())
	})
}

func (h host) useKey(ctx context.Context, now running, key string) error {
	if err := h.installKey(fmt.Sprintf("/proc/%d/root", now.Init.PID), key); err != nil {
		return err
	}
	_, err := h.exec(ctx, now.Init, "systemctl", "restart", "ssh.service")
	return err
}

// Console gives the last n lines of what the host wrote on its console, over
// all its boots.
func (l *Lab) Console(name string, n int) ([]string, error) {
	target, err := l.host(name)
	if err != nil {
		return nil, err
	}
	return tail(target.Console, n), nil
}
