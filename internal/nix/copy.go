package nix

import (
	"context"
	"fmt"
	"io"
	"regexp"
	"strings"
)

// Copy copies a store path, with all that it needs, to the store at a URL
// (remote.Conn.StoreURL), with the ssh options of remote.Conn.NixOpts.
// Signatures are not asked for, so the login must be a trusted user of the
// host's Nix. A failure is a *LinkError, *DiskFullError or *TrustError where it
// is known to be one.
func (n *Nix) Copy(ctx context.Context, to, sshOpts, path string, log io.Writer) error {
	_, said, err := n.run(ctx, log, []string{"NIX_SSHOPTS=" + sshOpts}, "copy", "--no-check-sigs", "--to", to, path)
	if spoke(ctx, err) {
		return copyFailure(to, path, said)
	}
	if err != nil {
		return fmt.Errorf("copying %s to %s: %w", path, to, err)
	}
	return nil
}

var (
	linkWords = regexp.MustCompile(`(?i)cannot connect to|cannot open connection to|failed to start ssh connection|unexpected end-of-file|daemon disconnected|broken pipe|connection (closed|reset|refused|timed out)|no route to host|unexpected eof`)
	fullWords = regexp.MustCompile(`(?i)no space left on device|disk is full|disk quota exceeded`)
	signWords = regexp.MustCompile(`(?i)lacks a (valid )?signature|lacks a signature by a trusted key|not a trusted user|(is|are) not (a )?trusted|not privileged`)
)

func copyFailure(to, path, said string) error {
	words := strings.Join(errorBlocks(said), "\n")
	if words == "" {
		words = strings.TrimSpace(said)
	}
	// A full disk may end the connection, so its words go first.
	if full := diskFull(said); full != "" {
		return &DiskFullError{Where: to, Message: full}
	}
	if signWords.MatchString(words) {
		return &TrustError{To: to, Message: words}
	}
	if linkWords.MatchString(words) {
		// ssh's own reason stands above Nix's.
		return &LinkError{To: to, Message: sshWords(said) + words}
	}
	return fmt.Errorf("copying %s to %s: %s", path, to, words)
}

// sshWords returns the lines that ssh wrote, each with a newline. Nix's own
// lines before its error say what it is copying.
func sshWords(said string) string {
	var b strings.Builder
	for line := range strings.Lines(said) {
		if strings.HasPrefix(line, "error:") {
			break
		}
		if !strings.HasPrefix(line, "copying ") && !strings.HasPrefix(line, "warning: ") {
			b.WriteString(strings.TrimRight(line, "\r\n") + "\n")
		}
	}
	return b.String()
}

// diskFull returns the line that says so; empty: none does.
func diskFull(said string) string {
	for line := range strings.Lines(said) {
		if fullWords.MatchString(line) {
			return strings.TrimSpace(strings.TrimPrefix(line, "error:"))
		}
	}
	return ""
}

// LinkError says that the connection to another store could not be made or was
// lost. What was copied stays valid, and is not copied again.
type LinkError struct {
	To      string
	Message string // the words of ssh and Nix
}

func (e *LinkError) Error() string { return "the connection to " + e.To + " failed: " + e.Message }

const thisMachine = "this machine"

// DiskFullError says that a store has no room left.
type DiskFullError struct {
	Where   string // store URL, or "this machine"
	Message string // Nix's own words
}

func (e *DiskFullError) Error() string {
	msg := "the disk of " + e.Where + " is full: " + e.Message
	if e.Where == thisMachine {
		msg += "\n  Make room: nix-collect-garbage --delete-older-than 30d"
	}
	return msg
}

// TrustError says that the other store takes no unsigned paths from our login.
type TrustError struct {
	To      string
	Message string // Nix's own words
}

func (e *TrustError) Error() string {
	return fmt.Sprintf("%s does not accept our paths: %s\n  Log in as root, or add the login to nix.settings.trusted-users in the host's configuration and activate that once by hand", e.To, e.Message)
}
