// Package remote runs commands on one host through the system's ssh, so that
// the user's ssh_config, agent, jump hosts and hardware keys work as they do
// by hand.
//
//	conn := remote.Dial(remote.Target{Name: "malphas", Address: "10.0.0.7", User: "root"},
//		remote.Options{RuntimeDir: "/run/user/1000/roost"})
//	defer conn.Close(context.WithoutCancel(ctx))
//	out, err := conn.Output(ctx, "readlink", "/run/current-system")
//
// The commands of a Conn share one connection (an ssh master process, which
// ends by itself 15 seconds after its last use). A command with Fresh gets a
// connection of its own: it proves that the host can be reached anew.
//
// ssh never asks anything. Host keys are always checked, whatever ssh_config
// says. Failures are *UnreachableError, *HostKeyError, *AuthError, *ExitError,
// or the context's error. When the context ends, the local ssh ends at once;
// the command on the host notices when it next uses its input or output.
package remote

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"roost/internal/command"
)

// Target says where a host is.
type Target struct {
	Name    string // the host's name in the fleet, for messages
	Address string // host name, address, or a Host of ssh_config
	User    string // empty: ssh decides
	Port    int    // 0: ssh decides
	Jump    string // user@host:port, several with commas; empty: ssh decides
	Local   bool   // this machine: run without ssh; the fields above but Name are unused
}

// Options are common to all hosts of a run.
type Options struct {
	// RuntimeDir holds control sockets and logs of ssh. It must be an absolute
	// path, short (a socket's name may have 104 bytes), and private to us: it
	// is made with mode 0700, and refused if others may enter it.
	RuntimeDir     string
	Config         string        // an ssh_config to use in place of the user's; empty: the user's
	ConnectTimeout time.Duration // of TCP connect and key exchange; 0: 10 s
}

// Conn runs commands on one host. It may be used by many goroutines.
type Conn struct {
	target Target
	opts   Options
	socket string
	bad    error         // why this target can never be reached
	turn   chan struct{} // held by the one who looks for the master, starts or ends it
	// sessions is held by each command on the shared connection.
	sessions chan struct{}

	resolve chan struct{} // held by the one who reads or fills address
	address string
}

// maxSessions is how many commands share a connection at once. sshd takes 10
// (MaxSessions), and Nix's own ssh is one of them.
const maxSessions = 8

// Dial describes a connection; it does no I/O. What is wrong with its
// arguments is the error of every later call.
func Dial(t Target, o Options) *Conn {
	if o.ConnectTimeout == 0 {
		o.ConnectTimeout = 10 * time.Second
	}
	c := &Conn{target: t, opts: o, turn: make(chan struct{}, 1), sessions: make(chan struct{}, maxSessions), resolve: make(chan struct{}, 1)}
	if t.Local {
		return c
	}
	// ssh's own %C hashes nearly the same things, but not the same in every
	// version. A name we know needs no ssh to find the socket.
	id := sha256.Sum256(fmt.Appendf(nil, "%q", []string{t.Address, t.User, strconv.Itoa(t.Port), t.Jump, o.Config}))
	c.socket = filepath.Join(o.RuntimeDir, fmt.Sprintf("%x", id[:8]))
	if err := check(t, o, c.socket); err != nil {
		c.bad = fmt.Errorf("%s: %w", t.Name, err)
	}
	return c
}

func check(t Target, o Options, socket string) error {
	if t.Address == "" {
		return errors.New("it has no address: set address under [ssh] in its host.toml")
	}
	for _, f := range []struct{ key, value string }{{"address", t.Address}, {"user", t.User}, {"jump", t.Jump}} {
		if strings.HasPrefix(f.value, "-") || strings.ContainsFunc(f.value, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
			return fmt.Errorf("%q is no ssh %s", f.value, f.key)
		}
	}
	if t.Port < 0 || t.Port > 65535 {
		return fmt.Errorf("%d is no port", t.Port)
	}
	if !filepath.IsAbs(o.RuntimeDir) {
		return fmt.Errorf("the runtime folder %q for ssh's sockets is not an absolute path", o.RuntimeDir)
	}
	// ssh binds the socket under a temporary name, 17 bytes longer. sun_path
	// has 104 bytes on macOS (108 on Linux), with the final NUL.
	if n := len(socket) + 17; n >= 104 {
		return fmt.Errorf("the runtime folder %s is too long for ssh's sockets: %d bytes too many", o.RuntimeDir, n-103)
	}
	if strings.ContainsAny(socket, "%~\"'\\$") {
		return fmt.Errorf("the runtime folder %s has a character in its name that ssh would expand", o.RuntimeDir)
	}
	return nil
}

// Cmd is a command for a host.
type Cmd struct {
	Args           []string  // program and arguments; no shell interprets them
	Stdin          io.Reader // nil: empty
	Stdout, Stderr io.Writer // nil: dropped; may be the same writer
	Fresh          bool      // over a new connection
}

// Run runs cmd on the host and waits for it.
func (c *Conn) Run(ctx context.Context, cmd Cmd) error {
	if len(cmd.Args) == 0 || cmd.Args[0] == "" {
		return fmt.Errorf("%s: no command to run", c.target.Name)
	}
	for _, a := range cmd.Args {
		if strings.ContainsRune(a, 0) {
			return fmt.Errorf("%s: %s: an argument contains a NUL byte", c.target.Name, cmd.Args[0])
		}
	}
	if c.target.Local {
		err := command.Run(ctx, command.Cmd{Name: cmd.Args[0], Args: cmd.Args[1:], Stdin: cmd.Stdin, Stdout: cmd.Stdout, Stderr: cmd.Stderr})
		return c.exit(ctx, cmd, err)
	}
	via := c.socket
	if cmd.Fresh {
		if err := c.ready(); err != nil {
			return err
		}
		via = "none"
	} else {
		if err := take(ctx, c.sessions); err != nil {
			return fmt.Errorf("%s: %w", c.target.Name, err)
		}
		defer release(c.sessions)
		if err := c.Connect(ctx); err != nil {
			return err
		}
	}
	log, err := os.CreateTemp(c.opts.RuntimeDir, "log-*")
	if err != nil {
		return fmt.Errorf("%s: %w", c.target.Name, err)
	}
	log.Close()
	defer os.Remove(log.Name())

	args := c.sshArgs(log.Name(), "-o", "ControlMaster=no", "-o", "ControlPath="+via)
	args = append(args, "--", c.target.Address, Quote(cmd.Args...))
	// The tail is kept by command, which hands an *os.File over unread.
	stderr := cmd.Stderr
	if f, ok := stderr.(*os.File); ok {
		stderr = struct{ io.Writer }{f}
	}
	err = ssh(ctx, command.Cmd{Args: args, Stdin: cmd.Stdin, Stdout: cmd.Stdout, Stderr: stderr})
	var failed *command.Error
	if errors.As(err, &failed) && failed.ExitCode == 255 && !stopped(ctx, err) {
		return c.explain255(ctx, cmd, failed, log.Name())
	}
	return c.exit(ctx, cmd, err)
}

// Output runs a command over the shared connection and returns what it wrote
// to stdout.
func (c *Conn) Output(ctx context.Context, args ...string) ([]byte, error) {
	var out bytes.Buffer
	err := c.Run(ctx, Cmd{Args: args, Stdout: &out})
	return out.Bytes(), err
}

// exit turns the end of a command into our error.
func (c *Conn) exit(ctx context.Context, cmd Cmd, err error) error {
	var failed *command.Error
	switch {
	case err == nil:
		return nil
	case stopped(ctx, err) && errors.As(err, &failed): // without the long ssh command line
		return fmt.Errorf("%s: %s: was stopped: %w", c.target.Name, command.Line(cmd.Args), failed.Err)
	case errors.As(err, &failed) && failed.ExitCode > 0:
		return &ExitError{Host: c.target.Name, Argv: cmd.Args, Code: failed.ExitCode, Stderr: failed.Stderr}
	default:
		return fmt.Errorf("%s: %w", c.target.Name, err)
	}
}

// stopped reports whether it was the context that ended a command, and not the
// command itself just before.
func stopped(ctx context.Context, err error) bool {
	return ctx.Err() != nil && errors.Is(err, ctx.Err())
}

// Address returns the host name or IP address that ssh connects to, after
// ssh_config. It is asked for once.
func (c *Conn) Address(ctx context.Context) (string, error) {
	if c.target.Local {
		return "localhost", nil
	}
	if c.bad != nil {
		return "", c.bad
	}
	if err := take(ctx, c.resolve); err != nil {
		return "", fmt.Errorf("%s: %w", c.target.Name, err)
	}
	defer release(c.resolve)
	if c.address != "" {
		return c.address, nil
	}
	var out bytes.Buffer
	args := append(c.baseArgs(), "-G", "--", c.target.Address)
	if err := ssh(ctx, command.Cmd{Args: args, Stdout: &out}); err != nil {
		return "", fmt.Errorf("%s: %w", c.target.Name, err)
	}
	for line := range strings.Lines(out.String()) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "hostname "); ok {
			c.address = name
			return name, nil
		}
	}
	return "", fmt.Errorf("%s: `ssh -G %s` names no hostname", c.target.Name, c.target.Address)
}

// StoreURL returns the host's store as Nix names it. Give NixOpts along.
// This machine's own store is "auto".
func (c *Conn) StoreURL() string {
	if c.target.Local {
		return "auto"
	}
	address := c.target.Address
	if strings.Count(address, ":") > 1 && !strings.HasPrefix(address, "[") {
		address = "[" + address + "]"
	}
	if c.target.User != "" {
		address = c.target.User + "@" + address
	}
	return "ssh-ng://" + address
}

// NixOpts returns the value of NIX_SSHOPTS with which Nix reaches the host as
// we do, through the shared connection if Connect has made it. If that is gone,
// Nix's ssh connects by itself, and checks jump hosts (-J) as ssh_config says.
// Older Nix splits the value at spaces and knows no quotes, newer Nix splits it
// as a shell does. So a path with a character that matters to one of them is an
// error.
func (c *Conn) NixOpts() (string, error) {
	if c.target.Local {
		return "", nil
	}
	if c.bad != nil {
		return "", c.bad
	}
	args := append(c.baseArgs(), "-o", "ControlMaster=no", "-o", "ControlPath="+c.socket)
	if c.target.Jump != "" {
		args = append(args, "-J", c.target.Jump)
	}
	for _, a := range args {
		if strings.ContainsAny(a, " \t\n'\"\\$`;&|<>(){}*?#~") {
			return "", fmt.Errorf("%s: Nix cannot pass %q to ssh (NIX_SSHOPTS is split at spaces): use a path of plain characters", c.target.Name, a)
		}
	}
	return strings.Join(args, " "), nil
}
