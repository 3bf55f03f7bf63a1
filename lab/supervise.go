package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// The environment of the hidden modes. Both hold a host as JSON.
const (
	superviseEnv = "ROOST_LAB_SUPERVISE" // keep one host running
	enterEnv     = "ROOST_LAB_ENTER"     // go into the host's cgroups and become nspawn
)

// Open files which a supervisor gets from its lab.
const (
	fdLock  = 3 // the lab's lock, until all is recorded and made
	fdNetns = 4 // the machine's network namespace
)

// MaybeSupervise does not return in a process which the lab started to keep a
// host running. In all others it does nothing. Call it before anything else:
// first in main, in an init of a magefile, first in TestMain.
func MaybeSupervise() {
	if text := os.Getenv(enterEnv); text != "" {
		fail(enter(text))
	}
	text := os.Getenv(superviseEnv)
	if text == "" {
		return
	}
	var h host
	if err := json.Unmarshal([]byte(text), &h); err != nil {
		fail(fmt.Errorf("%s: %w", superviseEnv, err))
	}
	if err := h.supervise(); err != nil {
		fail(err)
	}
	os.Exit(0)
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "roost lab:", err)
	os.Exit(1)
}

// enter becomes nspawn inside the host's cgroups. Without cgroups of their own
// all containers would share the folder "payload" of the hierarchy's root, and
// stopping a service in one host would reach for the others.
func enter(text string) error {
	var h host
	if err := json.Unmarshal([]byte(text), &h); err != nil {
		return fmt.Errorf("%s: %w", enterEnv, err)
	}
	for _, dir := range h.Cgroups {
		if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(os.Getpid())), 0); err != nil {
			return fmt.Errorf("enter the cgroup: %w", err)
		}
	}
	path, err := program("systemd-nspawn")
	if err != nil {
		return err
	}
	args := []string{path, "--quiet", "--boot", "--directory=" + h.root(), "--machine=" + h.Machine,
		"--hostname=" + h.Name, "--register=no", "--keep-unit", "--resolv-conf=off", "--timezone=off",
		"--link-journal=no", fmt.Sprintf("--network-namespace-path=/proc/%d/ns/net", os.Getpid())}
	return syscall.Exec(path, args, []string{"PATH=" + hostPath})
}

const hostPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// rebooted is nspawn's exit code when the host wants to be started again.
const rebooted = 133

// supervise makes the host's mounts and network, then boots it until it is
// powered off or dies. This process has mount and network namespaces of its
// own: when it and the host have ended, the kernel has cleared them away.
func (h host) supervise() error {
	runtime.LockOSThread() // see dieWithParent
	signal.Ignore(syscall.SIGHUP, syscall.SIGINT, syscall.SIGPIPE)
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)

	self, ok := processOf(os.Getpid())
	if !ok {
		return errors.New("cannot read /proc/self/stat")
	}
	now := running{Supervisor: self}
	syscall.CloseOnExec(fdLock)
	syscall.CloseOnExec(fdNetns)
	lock, netns := os.NewFile(fdLock, "lock"), os.NewFile(fdNetns, "netns")
	err := h.assemble(self, lock)
	netns.Close()
	if err != nil {
		now.Ended = err.Error()
		return errors.Join(err, h.writeRunning(now))
	}
	lock.Close()
	for {
		now.Boots++
		code, err := h.boot(&now, term)
		if err == nil && code == rebooted {
			continue
		}
		now.Ended = fmt.Sprintf("nspawn ended with exit code %d", code)
		if err != nil {
			now.Ended = err.Error()
		}
		return errors.Join(err, h.writeRunning(now))
	}
}

// assemble records and makes all that the host needs before it can boot.
func (h host) assemble(self process, lock *os.File) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	w := &held{lock: lock, journal: &journal{path: h.Journal}}
	records := []record{
		{Kind: kindDisk, Path: h.disk()},
		{Kind: kindNspawn, Path: filepath.Join("/run/systemd/nspawn/propagate", h.Machine)},
		{Kind: kindNspawn, Path: filepath.Join("/run/systemd/nspawn/unix-export", h.Machine)},
		{Kind: kindLink, Name: h.Link},
	}
	for _, dir := range h.Cgroups {
		records = append(records, record{Kind: kindCgroup, Path: dir})
	}
	for _, r := range append(records, record{Kind: kindProcess, process: self}) {
		if err := w.journal.add(r); err != nil {
			return err
		}
	}
	for _, dir := range h.Cgroups {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	return errors.Join(h.mount(ctx, w), h.cable(ctx, w))
}

func (h host) mount(ctx context.Context, w *held) error {
	if err := w.run(ctx, "mount", "-o", "loop", "-t", "ext4", h.disk(), h.upper()); err != nil {
		return err
	}
	upper, work := filepath.Join(h.upper(), "upper"), filepath.Join(h.upper(), "work")
	if err := errors.Join(os.MkdirAll(upper, 0o755), os.MkdirAll(work, 0o700)); err != nil {
		return err
	}
	options := "lowerdir=" + h.Image + ",upperdir=" + upper + ",workdir=" + work
	if err := w.run(ctx, "mount", "-t", "overlay", "overlay", "-o", options, h.root()); err != nil {
		return err
	}
	if lock, err := h.nspawnLock(); err != nil {
		return err
	} else if err := w.journal.add(record{Kind: kindNspawn, Path: lock}); err != nil {
		return err
	}
	return h.install()
}

// nspawnLock is the file by which nspawn keeps two containers from one root. It
// is left over when nspawn is killed.
func (h host) nspawnLock() (string, error) {
	info, err := os.Stat(h.root())
	if err != nil {
		return "", err
	}
	stat := info.Sys().(*syscall.Stat_t)
	return fmt.Sprintf("/run/systemd/nspawn/locks/inode-%d:%d", stat.Dev, stat.Ino), nil
}

// cable joins this process's network namespace to the lab's bridge.
func (h host) cable(ctx context.Context, w *held) error {
	machine := fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), fdNetns)
	outside := func(batch string) error {
		return w.feed(ctx, batch, "nsenter", "--net="+machine, "ip", "-batch", "-")
	}
	state := "up"
	if h.Cut {
		state = "down"
	}
	// The end of an earlier run of the host may not be cleared away yet.
	_ = outside("link delete " + h.Link + "\n")
	inside := fmt.Sprintf("link add eth0 address %s type veth peer name %s netns %s\naddress add %s/24 dev eth0\nlink set eth0 up\nlink set lo up\n",
		macOf(h.Address), h.Link, machine, h.Address)
	if err := w.feed(ctx, inside, "ip", "-batch", "-"); err != nil {
		return err
	}
	return outside(fmt.Sprintf("link set %s master %s\nlink set %s %s\n", h.Link, h.Bridge, h.Link, state))
}

// boot runs the host once. On SIGTERM it is powered off, and killed when that
// takes too long.
func (h host) boot(now *running, term <-chan os.Signal) (int, error) {
	console, err := os.OpenFile(h.Console, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return 0, err
	}
	defer console.Close()
	text, err := json.Marshal(h)
	if err != nil {
		return 0, err
	}
	exe, err := os.Executable()
	if err != nil {
		return 0, err
	}
	cmd := exec.Command(exe)
	cmd.Env = []string{enterEnv + "=" + string(text), "PATH=" + hostPath}
	cmd.Stdout, cmd.Stderr = console, console
	if err := startDying(cmd); err != nil {
		return 0, err
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	if err := h.awaitInit(now, cmd.Process.Pid, done); err != nil {
		return 0, err
	}
	select {
	case err = <-done:
	case <-term:
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-done:
		case <-time.After(8 * time.Second):
			now.Init.signal(syscall.SIGKILL)
			_ = cmd.Process.Kill()
			<-done
		}
		return 0, nil
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return 0, err
	}
	return cmd.ProcessState.ExitCode(), nil
}

// awaitInit waits for the container's first process and writes it down.
func (h host) awaitInit(now *running, nspawn int, done <-chan error) error {
	var ended error
	found := until(context.Background(), 20*time.Second, func() bool {
		select {
		case err := <-done:
			ended = fmt.Errorf("nspawn did not start the host: %v: %s", err, strings.Join(tail(h.Console, 3), " | "))
			return true
		default:
		}
		init, ok := initOf(nspawn)
		if ok {
			now.Init = init
		}
		return ok
	})
	if ended != nil {
		return ended
	}
	if !found {
		_ = syscall.Kill(nspawn, syscall.SIGKILL)
		<-done
		return errors.New("nspawn started no host in 20 s")
	}
	return h.writeRunning(*now)
}

// launch starts a supervisor for the host and waits until the host is booting.
func (h *held) launch(ctx context.Context, target host) error {
	if os.Getenv(superviseEnv) != "" {
		return errors.New("this process is a supervisor itself")
	}
	for _, dir := range target.Cgroups { // what a killed supervisor left alone
		if err := killCgroup(ctx, dir); err != nil {
			return err
		}
	}
	if err := removeIfThere(target.runFile()); err != nil {
		return err
	}
	text, err := json.Marshal(target)
	if err != nil {
		return err
	}
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	netns, err := os.Open("/proc/self/ns/net")
	if err != nil {
		return err
	}
	defer netns.Close()
	log, err := os.OpenFile(target.log(), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	// setsid --fork lets go of us and of the terminal.
	cmd := command(ctx, "setsid", "--fork", "unshare", "--mount", "--net", "--propagation", "slave", exe)
	cmd.Env = []string{superviseEnv + "=" + string(text), "PATH=" + hostPath}
	cmd.Dir = "/"
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = []*os.File{h.lock, netns}
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("start the supervisor: %w", err)
	}
	return target.awaitLaunch(ctx)
}

func (h host) awaitLaunch(ctx context.Context) error {
	var now running
	var err error
	until(ctx, 40*time.Second, func() bool {
		now, err = h.running()
		return err != nil || now.Init.PID != 0 || now.Ended != ""
	})
	switch {
	case err != nil:
		return err
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case now.Ended != "":
		return errors.New(now.Ended)
	case now.Init.PID == 0:
		return fmt.Errorf("its supervisor did not start (does this program call lab.MaybeSupervise?): %s",
			strings.Join(tail(h.log(), 5), " | "))
	}
	return nil
}

// answers is whether sshd says who it is.
func (h host) answers(ctx context.Context) bool {
	dialer := net.Dialer{Timeout: time.Second}
	conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(h.Address, "22"))
	if err != nil {
		return false
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(2 * time.Second))
	banner := make([]byte, 4)
	_, err = conn.Read(banner)
	return err == nil && string(banner) == "SSH-"
}
