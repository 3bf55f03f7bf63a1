package hosts

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"roost/internal/tomldoc"
)

// Load reads hosts/*/host.toml of a fleet folder, in name order. It returns
// either a fleet in which every rule holds, or an *InvalidError with every
// problem of every host. It reads files only: no Nix, no network.
func Load(fleetDir string) (*Fleet, error) {
	entries, err := os.ReadDir(filepath.Join(fleetDir, "hosts"))
	if err != nil {
		return nil, noHosts(fleetDir, "cannot be read: "+reason(err))
	}
	var hosts []*Host
	var problems []Problem
	opt := newOptIn(fleetDir)
	for _, entry := range entries {
		host, wrong := loadEntry(fleetDir, entry, opt)
		problems = append(problems, wrong...)
		if host != nil {
			hosts = append(hosts, host)
		}
	}
	switch {
	case len(problems) > 0:
		return nil, &InvalidError{problems}
	case len(hosts) == 0:
		return nil, noHosts(fleetDir, "there is no host here")
	}
	return newFleet(fleetDir, hosts), nil
}

func noHosts(fleetDir, why string) error {
	const what = "%s (the fleet folder is %s); create hosts/NAME/host.toml, at least: system = %q and role = %q"
	return &InvalidError{[]Problem{{File: "hosts", Message: fmt.Sprintf(what, why, fleetDir, X8664Linux, Server)}}}
}

// loadEntry reads one entry of hosts/. What is no host gives nothing.
func loadEntry(fleetDir string, entry fs.DirEntry, opt *optIn) (*Host, []Problem) {
	name, dir := entry.Name(), "hosts/"+entry.Name()
	problem := func(file, format string, args ...any) []Problem {
		return []Problem{{File: file, Message: fmt.Sprintf(format, args...)}}
	}
	osDir := filepath.Join(fleetDir, "hosts", name)
	switch {
	case entry.Type()&fs.ModeSymlink != 0:
		if info, err := os.Stat(osDir); err == nil && !info.IsDir() {
			return nil, nil
		}
		return nil, problem(dir, "this is a symbolic link, which may lead out of the fleet: make it a real folder")
	case !entry.IsDir():
		return nil, nil
	}
	file := dir + "/host.toml"
	data, err := os.ReadFile(filepath.Join(osDir, "host.toml"))
	switch {
	case errors.Is(err, fs.ErrNotExist) && isGo(osDir):
		return nil, nil
	case errors.Is(err, fs.ErrNotExist):
		return nil, problem(dir, "this folder has no host.toml: create %s, or move the folder out of hosts/", file)
	case err != nil:
		return nil, problem(file, "cannot be read: %s", reason(err))
	}
	var problems []Problem
	if wrong := checkHostName(name); wrong != "" {
		problems = problem(dir, "%s", wrong)
	}
	host, wrong := read(name, file, data, opt)
	return host, append(problems, wrong...)
}

// read makes a host of its host.toml.
func read(name, file string, data []byte, opt *optIn) (*Host, []Problem) {
	host := &Host{Name: name, File: file}
	d := document{tomldoc.Parse(data, tomldoc.AsNix)}
	if d.Values == nil && len(d.Problems()) > 0 {
		return nil, inFile(file, d.Problems())
	}
	d.Decode(host)
	d.check(host, opt)
	host.setDefaults()
	return host, inFile(file, d.Problems())
}

// reservedNames are words that task names (fleet/STEP) and selectors use.
var reservedNames = []string{"fleet", "not", "and", "or"}

func checkHostName(name string) string {
	switch {
	case !isName(name):
		return fmt.Sprintf("%q is no name for a host: %s", name, nameRule)
	case slices.Contains(reservedNames, name):
		return fmt.Sprintf("%q is no name for a host: the word has a meaning of its own (so have %s)", name, strings.Join(reservedNames, ", "))
	}
	return ""
}

// isGo tells whether a folder without host.toml belongs to Go: a fleet may live
// in the source tree of this package.
func isGo(dir string) bool {
	sources, err := filepath.Glob(filepath.Join(dir, "*.go"))
	return filepath.Base(dir) == "testdata" || err == nil && len(sources) > 0
}

// reason is an error of the file system without its path.
func reason(err error) string {
	var at *fs.PathError
	if errors.As(err, &at) {
		err = at.Err
	}
	return err.Error()
}
