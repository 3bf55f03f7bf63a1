// Package debian installs Debian packages for the demo and the tests, which
// set up a fresh machine by themselves.
//
//	missing, err := debian.Missing(ctx, "nix-bin", "debootstrap")
//	err = debian.Install(ctx, missing...)
package debian

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"

	"roost/internal/command"
)

// ErrNotDebian says that this machine has no apt-get.
var ErrNotDebian = errors.New("this machine has no apt-get: it needs Debian 12 or 13 (or a system that has its packages)")

// Missing returns those of the packages that are not installed.
func Missing(ctx context.Context, packages ...string) ([]string, error) {
	if _, err := exec.LookPath("apt-get"); err != nil {
		return nil, ErrNotDebian
	}
	var missing []string
	for _, p := range packages {
		out, err := command.Output(ctx, command.Cmd{Name: "dpkg-query", Args: []string{"-W", "-f", "${Status}", p}})
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil || !strings.HasSuffix(string(out), " installed") {
			missing = append(missing, p)
		}
	}
	return missing, nil
}

// policyPath is what invoke-rc.d asks before a package starts its service.
const policyPath = "/usr/sbin/policy-rc.d"

// Install installs packages without what they only recommend. No service of
// theirs is started or enabled: who runs the tests did not ask for an sshd.
// What apt says goes to a file, which stays and is named if it fails.
func Install(ctx context.Context, packages ...string) error {
	if len(packages) == 0 {
		return nil
	}
	log, err := os.CreateTemp("", "roost-apt-*.log")
	if err != nil {
		return fmt.Errorf("install %s: %w", strings.Join(packages, " "), err)
	}
	defer log.Close()
	// The file itself would take stderr past package command, which puts the end
	// of it into its error.
	if err := install(ctx, struct{ io.Writer }{log}, packages); err != nil {
		return fmt.Errorf("%w\n  Its log: %s", err, log.Name())
	}
	return os.Remove(log.Name())
}

func install(ctx context.Context, out io.Writer, packages []string) error {
	restore, err := forbidServices(policyPath)
	if err != nil {
		return err
	}
	defer restore()
	env := []string{"DEBIAN_FRONTEND=noninteractive"}
	update := command.Cmd{Name: "apt-get", Args: []string{"update", "-q"}, Env: env, Stdout: out, Stderr: out}
	install := command.Cmd{Name: "apt-get", Env: env, Stdout: out, Stderr: out,
		Args: append([]string{"install", "-q", "-y", "--no-install-recommends"}, packages...)}
	for _, c := range []command.Cmd{update, install} {
		if err := command.Run(ctx, c); err != nil {
			return fmt.Errorf("install %s: %w", strings.Join(packages, " "), err)
		}
	}
	return disableSSH(ctx, packages)
}

// forbidServices keeps packages from starting services. A policy that is there
// already is the machine's own, and stays.
func forbidServices(path string) (restore func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
	if errors.Is(err, os.ErrExist) {
		return func() {}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("forbid services to start: %w", err)
	}
	restore = func() { os.Remove(path) }
	_, err = io.WriteString(f, "#!/bin/sh\nexit 101\n")
	if err = errors.Join(err, f.Close()); err != nil {
		restore()
		return nil, fmt.Errorf("forbid services to start: %w", err)
	}
	return restore, nil
}

// disableSSH keeps an sshd that we have just installed from starting at the
// next boot. Only where systemd is there to do it.
func disableSSH(ctx context.Context, packages []string) error {
	if !strings.Contains(" "+strings.Join(packages, " ")+" ", " openssh-server ") {
		return nil
	}
	if _, err := exec.LookPath("systemctl"); err != nil {
		return nil
	}
	return command.Run(ctx, command.Cmd{Name: "systemctl", Args: []string{"--root=/", "disable", "ssh.service"}})
}
