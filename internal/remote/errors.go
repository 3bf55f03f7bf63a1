package remote

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"roost/internal/command"
)

// UnreachableError says that there is no connection to the host.
type UnreachableError struct {
	Host, Address string
	Reason        string // ssh's own words
	// Lost: the connection had been up and was lost while the command ran, so
	// the command may have done its work, or a part of it.
	Lost bool
}

func (e *UnreachableError) Error() string {
	what := "cannot be reached"
	if e.Lost {
		what = "the connection was lost while the command ran"
	}
	return fmt.Sprintf("%s: %s: %s", at(e.Host, e.Address), what, e.Reason)
}

// at names a host, and its address where that is another.
func at(host, address string) string {
	if host == address {
		return host
	}
	return host + " (" + address + ")"
}

// HostKeyError says that the host did not prove that it is the one we know.
type HostKeyError struct {
	Host, Address string
	KnownAs       string // the name under which ssh looked in known_hosts
	Changed       bool   // another key is known; else none is
	Fingerprint   string // of the key it showed, if ssh said so
	File          string // where the key that differs is listed
	Line          int
	Reason        string // ssh's own words

	login string // ssh arguments with which a person reaches it
}

func (e *HostKeyError) Error() string {
	shown := ""
	if e.Fingerprint != "" {
		shown = " It shows " + e.Fingerprint + "."
	}
	const compare = "`ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub`"
	if !e.Changed {
		return fmt.Sprintf("%s: its host key is not known.%s At the host's own console compare it with %s; if they are the same, accept it once: ssh %s",
			at(e.Host, e.Address), shown, compare, e.login)
	}
	where, file := "", ""
	if e.File != "" {
		where = fmt.Sprintf(" (%s:%d)", e.File, e.Line)
		file = " -f " + word(e.File)
	}
	return fmt.Sprintf("%s: its host key is not the one we know%s. It was reinstalled, or somebody else answers.%s At the host's own console compare it with %s; only if they are the same: ssh-keygen%s -R %s",
		at(e.Host, e.Address), where, shown, compare, file, word(e.KnownAs))
}

// AuthError says that the host does not let us in.
type AuthError struct {
	Host, Address string
	Reason        string // ssh's own words

	login string
}

func (e *AuthError) Error() string {
	return fmt.Sprintf("%s: it does not accept our login: %s\n  See which keys are offered: ssh -v %s\n  Add one: ssh-copy-id, or authorized_keys in the host's configuration",
		at(e.Host, e.Address), e.Reason, e.login)
}

// ExitError says that the command ran and failed. Its code may be 255: see
// explain255 for how that is told from a failure of ssh.
type ExitError struct {
	Host   string
	Argv   []string
	Code   int
	Stderr string // the last lines it wrote there, 8 KiB at most

	signal bool // or a signal ended it: ssh reports both as 255
}

func (e *ExitError) Error() string {
	msg := fmt.Sprintf("%s: %s: exit code %d", e.Host, command.Line(e.Argv), e.Code)
	if e.signal {
		msg += " (or a signal ended it: ssh reports both alike)"
	}
	if tail := command.LastLines(e.Stderr, 20); tail != "" {
		msg += "\n" + command.Indent(tail)
	}
	return msg
}

// explain255 says what an exit code of 255 meant. ssh uses it for its own
// failures, for a command that exits 255, and for one that a signal ended.
// Two sources tell them apart without touching the command: ssh's own words,
// which are in a log of their own and at this level always contain
// "Authenticated to" once a connection is up; and, for the shared connection,
// whether its master still answers.
// A remaining doubt: a command that exits 255 in the moment in which the link
// breaks is reported as lost.
func (c *Conn) explain255(ctx context.Context, cmd Cmd, failed *command.Error, log string) error {
	text := c.readLog(log)
	ran := &ExitError{Host: c.target.Name, Argv: cmd.Args, Code: 255, Stderr: failed.Stderr, signal: true}
	if strings.Contains(text, "Authenticated to ") { // a connection of its own
		// "closed by remote host" is the one thing ssh writes to stderr
		// instead of its log.
		if reason := lastMatch(lostWords, text+"\n"+lastLine(failed.Stderr)); reason != "" {
			return c.lost(reason)
		}
		return ran
	}
	if cmd.Fresh {
		// Not authenticated: nothing ran, so stderr is ssh's and its jump host's.
		text += "\n" + failed.Stderr
		if known := c.classify(text); known != nil {
			return known
		}
		return fmt.Errorf("%s (%s): ssh failed: %s", c.target.Name, c.target.Address, words(text))
	}
	if !strings.Contains(text, "mux_client_") {
		// The master ended before ssh could use it, and a direct try failed.
		// (It says mux_client_ if it had begun to talk to the master.)
		if known := c.classify(text); known != nil {
			return known
		}
	}
	// Even where the context ends now, the command has ended and is to be explained.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if c.master(ctx, "check") == nil {
		return ran
	}
	reason := lastMatch(lostWords, c.readLog(c.masterLog()))
	if reason == "" {
		reason = "ssh ended"
	}
	return c.lost(reason)
}

func (c *Conn) lost(reason string) error {
	return &UnreachableError{Host: c.target.Name, Address: c.target.Address, Reason: reason, Lost: true}
}

var (
	// What ssh says when it cannot connect, and when a connection ends.
	connectWords = regexp.MustCompile(`(?i)could not resolve hostname|connect to (host|address) .*:|stdio forwarding failed|no route to host|network is unreachable|host is down`)
	closedWords  = regexp.MustCompile(`(?i)connection (refused|timed out|closed|reset)|operation timed out|kex_exchange_identification|banner exchange|broken pipe|timeout, server`)
	lostWords    = regexp.MustCompile(`(?i)^(timeout, server .* not responding|connection to .* (closed by remote host|timed out)|connection (closed|reset) by |read from remote host |received disconnect from |disconnected from |client_loop: |ssh_dispatch_run_fatal: |.*broken pipe)`)

	permissionDenied = regexp.MustCompile(`(?i)permission denied \(|too many authentication failures|no more authentication methods`)
	hostKeyFailed    = regexp.MustCompile(`(?i)host key verification failed|no .* host key is known for|host key for .* has changed|host identification has changed|host key .*revoked`)
	hostKeyOffending = regexp.MustCompile(`(?m)^Offending (?:\S+ )?key (?:for IP )?in (.+):(\d+)$`)
	hostKeyName      = regexp.MustCompile(`(?i)host key (?:is known )?for (\S+) (?:and you|has changed)`)
	hostKeyPrint     = regexp.MustCompile(`\bSHA256:[A-Za-z0-9+/=]+`)
)

// classify finds the typed error for what ssh said before a login; nil if it
// said nothing that we know, such as a mistake in ssh_config.
func (c *Conn) classify(text string) error {
	t := c.target
	if hostKeyFailed.MatchString(text) {
		e := &HostKeyError{Host: t.Name, Address: t.Address, KnownAs: t.Address, Reason: words(text), login: c.login()}
		e.Changed = strings.Contains(text, "HAS CHANGED") || strings.Contains(text, "has changed")
		e.Fingerprint = hostKeyPrint.FindString(text)
		if m := hostKeyName.FindStringSubmatch(text); m != nil {
			e.KnownAs = m[1]
		}
		if m := hostKeyOffending.FindStringSubmatch(text); m != nil {
			e.File = m[1]
			e.Line, _ = strconv.Atoi(m[2]) // digits; too many of them mean no line
		}
		return e
	}
	if reason := lastMatch(permissionDenied, text); reason != "" {
		return &AuthError{Host: t.Name, Address: t.Address, Reason: reason, login: c.login()}
	}
	// The line that names what failed, before those in which the ssh of a jump
	// host and ours notice the end of each other.
	for _, re := range []*regexp.Regexp{connectWords, closedWords} {
		if reason := lastMatch(re, text); reason != "" {
			return &UnreachableError{Host: t.Name, Address: t.Address, Reason: reason}
		}
	}
	return nil
}

// login is what a person types behind "ssh" to log in by hand.
func (c *Conn) login() string {
	var args []string
	if c.opts.Config != "" {
		args = append(args, "-F", c.opts.Config)
	}
	if c.target.Port != 0 {
		args = append(args, "-p", strconv.Itoa(c.target.Port))
	}
	if c.target.Jump != "" {
		args = append(args, "-J", c.target.Jump)
	}
	address := c.target.Address
	if c.target.User != "" {
		address = c.target.User + "@" + address
	}
	args = append(args, address)
	for i, a := range args {
		args[i] = word(a)
	}
	return strings.Join(args, " ")
}

// Typed is what a person types to run a command on the host. Its arguments may
// be the host's own words, such as the name of a unit: no shell on the way sees
// more than text in them.
func (c *Conn) Typed(args ...string) string {
	words, safe := make([]string, len(args)), true
	for i, a := range args {
		words[i] = word(a)
		safe = safe && plain(a)
	}
	line := strings.Join(words, " ")
	if c.target.Local {
		return line
	}
	if !safe { // once for the shell here, and once for the one there
		line = quoted(line)
	}
	return "ssh " + c.login() + " " + line
}

// words are ssh's own lines without its chatter and without the frame around
// its warnings, at most 6 of them.
func words(text string) string {
	var kept []string
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		switch {
		case strings.Trim(line, "@") == "",
			strings.HasPrefix(line, "Authenticated to "),
			strings.HasPrefix(line, "Transferred: "),
			strings.HasPrefix(line, "Bytes per second: "):
			continue
		}
		kept = append(kept, strings.Trim(line, "@ "))
	}
	if len(kept) == 0 {
		return "it said nothing"
	}
	return strings.Join(kept[max(0, len(kept)-6):], "; ")
}

// lastMatch returns the last line of text that re matches.
func lastMatch(re *regexp.Regexp, text string) string {
	found := ""
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); re.MatchString(line) {
			found = line
		}
	}
	return found
}

func lastLine(s string) string { return command.LastLines(s, 1) }
