package lab

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

const imageSuite = "trixie"

// What debootstrap itself installs, and what apt installs afterwards: openssh
// and nix-bin hang on perl in a way that debootstrap cannot put in order.
var (
	imageBase     = []string{"systemd", "systemd-sysv", "dbus", "iproute2", "ca-certificates"}
	imagePackages = []string{"openssh-server", "nix-bin", "git", "gdisk", "e2fsprogs", "btrfs-progs",
		"dosfstools", "parted", "cryptsetup-bin", "udev"}
)

// imageFiles are the files of the image that are ours.
var imageFiles = map[string]string{
	"etc/nix/nix.conf": `experimental-features = nix-command flakes
build-users-group =
sandbox = false
substituters =
`,
	"etc/ssh/sshd_config.d/roost-lab.conf": `HostKey /etc/ssh/ssh_host_ed25519_key
PasswordAuthentication no
MaxStartups 200
MaxSessions 100
`,
	// A boot loader and stage 2 do this on NixOS: they activate the system that
	// the profile names, before anybody can log in.
	"etc/systemd/system/roost-lab-boot.service": `[Unit]
Description=Activate the system of the profile
ConditionPathExists=/nix/var/nix/profiles/system/init
After=local-fs.target
Before=multi-user.target ssh.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/nix/var/nix/profiles/system/init
TimeoutStartSec=60

[Install]
WantedBy=multi-user.target
`,
	"etc/hosts":       "127.0.0.1 localhost\n",
	"etc/resolv.conf": "", // no names from outside: asking fails at once
	"etc/machine-id":  "", // each host makes its own
}

// imageLinks are the unit links of the image. Timers that call the archive
// would only take time from two cores.
var imageLinks = map[string]string{
	"etc/systemd/system/multi-user.target.wants/roost-lab-boot.service": "/etc/systemd/system/roost-lab-boot.service",
	"etc/systemd/system/apt-daily.timer":                                "/dev/null",
	"etc/systemd/system/apt-daily-upgrade.timer":                        "/dev/null",
	"etc/systemd/system/dpkg-db-backup.timer":                           "/dev/null",
	"etc/systemd/system/e2scrub_all.timer":                              "/dev/null",
}

// DefaultImageDir is where base images are kept: they outlive the labs.
func DefaultImageDir() string {
	if cache := os.Getenv("XDG_CACHE_HOME"); filepath.IsAbs(cache) {
		return filepath.Join(cache, "roost", "lab")
	}
	return "/var/cache/roost/lab"
}

// imageKey is a hash over all that makes the image what it is.
func imageKey() string {
	h := sha256.New()
	fmt.Fprintln(h, 1, imageSuite, runtime.GOARCH, imageBase, imagePackages)
	for _, table := range []map[string]string{imageFiles, imageLinks} {
		for _, path := range slices.Sorted(maps.Keys(table)) {
			fmt.Fprintf(h, "%q %q\n", path, table[path])
		}
	}
	return fmt.Sprintf("%s-%x", imageSuite, h.Sum(nil)[:8])
}

// Image gives the root folder of the base image, and builds it first if it is
// not there yet (one to three minutes, needs the network). Processes which want
// it at the same time wait for the one that builds.
func (l *Lab) Image(ctx context.Context, out io.Writer) (string, error) {
	root := filepath.Join(l.ImageDir, imageKey())
	if _, err := os.Stat(root); err == nil {
		return root, nil
	}
	if !goodPath.MatchString(root) {
		return "", fmt.Errorf("%w: image folder %q: only letters, digits and / _ . @ + - may be in its path", ErrNotReady, root)
	}
	lock, err := lockFile(ctx, filepath.Join(l.ImageDir, "lock"))
	if err != nil {
		return "", fmt.Errorf("lock the base images: %w", err)
	}
	defer lock.Close()
	if _, err := os.Stat(root); err == nil {
		return root, nil // another process made it while we waited
	}
	halves, err := filepath.Glob(filepath.Join(l.ImageDir, "*.new"))
	if err != nil {
		return "", err
	}
	for _, half := range halves { // of a build that was killed
		if err := removeTree(half); err != nil {
			return "", err
		}
	}
	b := imageBuild{root: root + ".new", out: out, start: time.Now()}
	if err := b.build(ctx); err != nil {
		return "", errors.Join(fmt.Errorf("base image: %w", err), removeTree(b.root))
	}
	if err := os.Rename(b.root, root); err != nil {
		return "", fmt.Errorf("base image: %w", err)
	}
	b.say("base image ready")
	return root, nil
}

type imageBuild struct {
	root  string
	out   io.Writer
	start time.Time
	env   []string
}

func (b *imageBuild) say(format string, args ...any) {
	fmt.Fprintf(b.out, "%6.1fs  %s\n", time.Since(b.start).Seconds(), fmt.Sprintf(format, args...))
}

func (b *imageBuild) build(ctx context.Context) error {
	mirror, err := findMirror()
	if err != nil {
		return err
	}
	conf, proxies, err := aptSettings(ctx)
	if err != nil {
		return err
	}
	b.env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C.UTF-8")
	if err := os.MkdirAll(filepath.Dir(b.root), 0o755); err != nil {
		return err
	}
	args := []string{"debootstrap", "--variant=minbase", "--include=" + strings.Join(imageBase, ",")}
	if mirror.Keyring != "" {
		args = append(args, "--keyring="+mirror.Keyring)
	}
	b.say("base image: debootstrap %s (once, about 2 minutes)", imageSuite)
	if err := b.run(ctx, proxies, append(args, imageSuite, b.root, mirror.URI)...); err != nil {
		return err
	}
	if err := b.borrow(conf); err != nil {
		return err
	}
	b.say("base image: apt-get update")
	if err := b.run(ctx, nil, "chroot", b.root, "apt-get", "update", "-q"); err != nil {
		return err
	}
	b.say("base image: apt-get install %s", strings.Join(imagePackages, " "))
	install := []string{"chroot", b.root, "apt-get", "install", "-q", "-y", "--no-install-recommends"}
	if err := b.run(ctx, nil, append(install, imagePackages...)...); err != nil {
		return err
	}
	if err := b.run(ctx, nil, "chroot", b.root, "apt-get", "clean"); err != nil {
		return err
	}
	return b.settle()
}

// What the build borrows from the machine, to be taken out again.
const (
	aptConf    = "etc/apt/apt.conf.d/99roost-lab"
	aptCA      = "etc/apt/roost-lab-ca.crt"
	policyRC   = "usr/sbin/policy-rc.d"
	machineCAs = "/etc/ssl/certs/ca-certificates.crt"
)

// borrow lets apt in the chroot reach the archive as the machine does, and
// keeps packages from starting services there.
func (b *imageBuild) borrow(conf string) error {
	files := map[string]string{policyRC: "#!/bin/sh\nexit 101\n"}
	for from, to := range map[string]string{"/etc/resolv.conf": "etc/resolv.conf", machineCAs: aptCA} {
		data, err := os.ReadFile(from)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		files[to] = string(data)
		if to == aptCA {
			conf += "Acquire::https::CaInfo \"/" + aptCA + "\";\n"
		}
	}
	files[aptConf] = conf
	for path, text := range files {
		if err := writeInto(b.root, path, text, 0o644); err != nil {
			return err
		}
	}
	if err := os.Chmod(filepath.Join(b.root, aptConf), 0o600); err != nil { // it may hold a proxy's password
		return err
	}
	return os.Chmod(filepath.Join(b.root, policyRC), 0o755)
}

// settle takes out what was borrowed and puts in what is ours.
func (b *imageBuild) settle() error {
	drop := []string{aptConf, aptCA, policyRC}
	for _, pattern := range []string{"etc/ssh/ssh_host_*", "var/lib/apt/lists/*", "var/log/*.log", "var/log/apt/*"} {
		found, err := filepath.Glob(filepath.Join(b.root, pattern))
		if err != nil {
			return err
		}
		for _, path := range found {
			drop = append(drop, strings.TrimPrefix(path, b.root+"/"))
		}
	}
	for _, path := range drop {
		if err := os.RemoveAll(filepath.Join(b.root, path)); err != nil {
			return err
		}
	}
	for path, text := range imageFiles {
		if err := writeInto(b.root, path, text, 0o644); err != nil {
			return err
		}
	}
	for path, target := range imageLinks {
		full := filepath.Join(b.root, path)
		if err := errors.Join(os.MkdirAll(filepath.Dir(full), 0o755), removeIfThere(full), os.Symlink(target, full)); err != nil {
			return err
		}
	}
	return nil
}

// run runs a step of the build in its own mount and process namespaces: when it
// or this process is killed, all its children and mounts go with it.
func (b *imageBuild) run(ctx context.Context, env []string, args ...string) error {
	cmd := command(ctx, "unshare", append([]string{"--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--"}, args...)...)
	cmd.Env = append(slices.Clone(b.env), env...)
	reader, writer := io.Pipe()
	cmd.Stdout, cmd.Stderr = writer, writer
	lines := make(chan []string)
	go func() { lines <- lastLines(reader, 15) }()
	runtime.LockOSThread() // see dieWithParent
	defer runtime.UnlockOSThread()
	err := startDying(cmd)
	if err == nil {
		err = cmd.Wait()
	}
	writer.Close()
	last := <-lines
	if err != nil {
		return fmt.Errorf("%s: %w; its last lines:\n%s", args[0], err, strings.Join(last, "\n"))
	}
	return nil
}

// startDying starts a command that is killed when this process dies.
func startDying(cmd *exec.Cmd) error {
	dieWithParent(cmd)
	return cmd.Start()
}

func lastLines(r io.Reader, n int) []string {
	var last []string
	scanner := bufio.NewScanner(r)
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		last = append(last, scanner.Text())
		last = last[max(0, len(last)-n):]
	}
	_, _ = io.Copy(io.Discard, r) // after an endless line: let the writer go on
	return last
}
