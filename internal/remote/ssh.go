package remote

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"roost/internal/command"
)

// persist is how many seconds the shared connection outlives its last use.
const persist = 15

// baseArgs are the options of every ssh, ours and Nix's.
func (c *Conn) baseArgs() []string {
	var args []string
	if c.opts.Config != "" {
		args = append(args, "-F", c.opts.Config)
	}
	if c.target.User != "" {
		args = append(args, "-l", c.target.User)
	}
	if c.target.Port != 0 {
		args = append(args, "-p", strconv.Itoa(c.target.Port))
	}
	return append(args, c.safety()...)
}

// safety are the options for the host and for each jump host.
//
// StrictHostKeyChecking: of the user's possible settings, "yes" and "ask" mean
// the same where nobody can be asked: an unknown key is refused. "accept-new",
// "no" and "off" are weaker. So "yes" keeps every setting that is strong
// enough and strengthens the others. Where known keys are looked up stays the
// user's choice. A dead link is noticed after 3 unanswered probes, 15 seconds.
func (c *Conn) safety() []string {
	seconds := max(1, int((c.opts.ConnectTimeout+time.Second-1)/time.Second))
	return []string{
		"-o", "BatchMode=yes",
		"-o", "StrictHostKeyChecking=yes",
		"-o", "NoHostAuthenticationForLocalhost=no",
		"-o", "ConnectTimeout=" + strconv.Itoa(seconds),
		"-o", "ServerAliveInterval=5",
		"-o", "ServerAliveCountMax=3",
	}
}

// sshArgs are the options of an ssh that we run. ssh's own words go to the
// file log and not between those of the command; at the level VERBOSE they say
// whether the connection was ever up. The rest switches off what ssh_config may
// ask for that only a person at a terminal wants.
func (c *Conn) sshArgs(log string, more ...string) []string {
	args := append(c.baseArgs(),
		"-E", log, "-o", "LogLevel=VERBOSE",
		"-x", "-o", "RequestTTY=no", "-o", "RemoteCommand=none",
		"-o", "ClearAllForwardings=yes", "-o", "PermitLocalCommand=no")
	if c.target.Jump != "" {
		args = append(args, "-o", "ProxyCommand="+c.proxyCommand(log, strings.Split(c.target.Jump, ",")))
	}
	return append(args, more...)
}

// proxyCommand reaches the last of the hops through those before it. ssh's -J
// does the same, but passes none of our options on: a jump host could ask a
// question, and its key would be checked as weakly as ssh_config allows.
//
// A jump host's ssh writes to the same log: ssh drops its stderr where the
// connection is to be shared.
func (c *Conn) proxyCommand(log string, hops []string) string {
	hop, before := hops[len(hops)-1], hops[:len(hops)-1]
	args := []string{"ssh"}
	if c.opts.Config != "" {
		args = append(args, "-F", percent(c.opts.Config))
	}
	args = append(args, c.safety()...)
	args = append(args, "-E", percent(log), "-o", "LogLevel=INFO",
		"-o", "ControlMaster=no", "-o", "ControlPath=none", "-o", "ClearAllForwardings=yes")
	if len(before) > 0 {
		args = append(args, "-o", "ProxyCommand="+percent(c.proxyCommand(log, before)))
	}
	if !strings.HasPrefix(hop, "ssh://") {
		hop = "ssh://" + hop // the form in which a destination may have a port
	}
	return Quote(append(args, "-W", "[%h]:%p", "--", hop)...)
}

// percent keeps text as it is where ssh expands a ProxyCommand.
func percent(s string) string { return strings.ReplaceAll(s, "%", "%%") }

// ssh runs ssh with c.Args. It cannot ask for anything: it has no terminal
// (see package command), and it may not open a window either.
func ssh(ctx context.Context, c command.Cmd) error {
	c.Name = "ssh"
	// A client of a shared connection ignores SIGTERM while it waits, and ssh
	// has nothing to put in order.
	c.Grace = 100 * time.Millisecond
	c.Env = append(c.Env, "SSH_ASKPASS_REQUIRE=never")
	return command.Run(ctx, c)
}

// Connect makes sure that the shared connection is up. Run does so by itself;
// call it to learn whether the host can be reached, or before Nix uses the
// connection (see NixOpts).
func (c *Conn) Connect(ctx context.Context) error {
	if c.target.Local {
		return nil
	}
	if err := c.ready(); err != nil {
		return err
	}
	// One at a time: the others find the connection that the first has made.
	if err := take(ctx, c.turn); err != nil {
		return fmt.Errorf("%s: %w", c.target.Name, err)
	}
	defer release(c.turn)
	if c.listening() {
		return nil
	}
	// The master goes to the background when the login has succeeded (-f). It,
	// or its jump host's ssh, may keep stderr open from then on: a pipe would
	// never end. Hence a file, which nobody waits for.
	log, err := os.OpenFile(c.masterLog(), os.O_CREATE|os.O_TRUNC|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("%s: %w", c.target.Name, err)
	}
	defer log.Close()
	args := c.sshArgs(log.Name(),
		"-o", "ControlMaster=auto", "-o", "ControlPath="+c.socket, "-o", "ControlPersist="+strconv.Itoa(persist),
		"-N", "-f", "--", c.target.Address)
	err = ssh(ctx, command.Cmd{Args: args, Stderr: log})
	switch {
	case err == nil && c.listening():
		return nil
	case err == nil:
		return fmt.Errorf("%s: ssh made no control socket in %s: %s", c.target.Name, c.opts.RuntimeDir, words(c.readLog(c.masterLog())))
	case stopped(ctx, err):
		return c.exit(ctx, Cmd{Args: []string{"ssh", c.target.Address}}, err)
	}
	var failed *command.Error
	if !errors.As(err, &failed) || failed.ExitCode < 0 {
		return fmt.Errorf("%s: %w", c.target.Name, err)
	}
	text := c.readLog(c.masterLog())
	if strings.Contains(text, "UNKNOWN port") {
		text = c.askProxy(ctx) + text
	}
	if known := c.classify(text); known != nil {
		return known
	}
	return fmt.Errorf("%s (%s): ssh failed: %s", c.target.Name, c.target.Address, words(text))
}

// askProxy connects once more without sharing, to hear why a jump host of
// ssh_config failed: ssh drops its words where the connection is to be shared.
func (c *Conn) askProxy(ctx context.Context) string {
	args := c.sshArgs(os.DevNull, "-o", "ControlMaster=no", "-o", "ControlPath=none", "--", c.target.Address, "true")
	var failed *command.Error
	if errors.As(ssh(ctx, command.Cmd{Args: args}), &failed) {
		return failed.Stderr
	}
	return ""
}

// Close ends the shared connection and with it the commands that still use it.
// It returns when ssh is gone. The Conn may be used again.
func (c *Conn) Close(ctx context.Context) error {
	if c.target.Local || c.bad != nil {
		return nil
	}
	if err := take(ctx, c.turn); err != nil {
		return fmt.Errorf("%s: %w", c.target.Name, err)
	}
	defer release(c.turn)
	defer os.Remove(c.masterLog())
	if !c.listening() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := c.master(ctx, "exit"); err != nil && c.listening() {
		return fmt.Errorf("%s: cannot end the ssh connection: %w", c.target.Name, err)
	}
	// The master has agreed; removing its socket is the last thing it does.
	for {
		if _, err := os.Lstat(c.socket); errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: the ssh connection does not end, its socket is %s: %w", c.target.Name, c.socket, ctx.Err())
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// master sends a control command to the master process.
func (c *Conn) master(ctx context.Context, order string) error {
	args := append(c.baseArgs(), "-o", "ControlPath="+c.socket, "-O", order, "--", c.target.Address)
	return ssh(ctx, command.Cmd{Args: args})
}

// listening reports whether a master process holds the socket. It does not say
// that the link behind it is alive.
func (c *Conn) listening() bool {
	conn, err := net.DialTimeout("unix", c.socket, time.Second)
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

func (c *Conn) masterLog() string { return c.socket + ".log" }

// readLog returns what ssh wrote to a log: nothing if it wrote none.
func (c *Conn) readLog(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return strings.ReplaceAll(string(b), "\r", "")
}

// ready checks the target and makes the runtime folder.
func (c *Conn) ready() error {
	if c.bad != nil {
		return c.bad
	}
	if err := os.MkdirAll(c.opts.RuntimeDir, 0o700); err != nil {
		return fmt.Errorf("%s: the runtime folder: %w", c.target.Name, err)
	}
	info, err := os.Stat(c.opts.RuntimeDir)
	if err != nil {
		return fmt.Errorf("%s: the runtime folder: %w", c.target.Name, err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("%s: others may enter the runtime folder %s, whoever reaches a socket in it reaches the host: chmod 700 %[2]s", c.target.Name, c.opts.RuntimeDir)
	}
	return nil
}

// take waits for a turn, but no longer than the context.
func take(ctx context.Context, turn chan struct{}) error {
	select {
	case turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func release(turn chan struct{}) { <-turn }
