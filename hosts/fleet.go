// Package hosts reads what a fleet is made of: one host.toml per host, checked
// as a whole, and selected by name, tag, role or system. Neither needs Nix.
//
//	fleet, err := hosts.Load(".")
//	if err != nil {
//		return err // an *InvalidError lists every problem of every host
//	}
//	canaries, err := fleet.Select("@canary and not role:server")
//
// A Fleet does not change after Load: any number of goroutines may read it.
package hosts

import (
	"fmt"
	"slices"

	"roost/internal/nearest"
)

// Fleet is every host of one fleet folder.
type Fleet struct {
	Dir   string  // the folder that was given to Load
	Hosts []*Host // in name order, never empty

	byName map[string]*Host
	tags   []string // every tag in use, sorted
}

func newFleet(dir string, hosts []*Host) *Fleet {
	f := &Fleet{Dir: dir, Hosts: hosts, byName: make(map[string]*Host, len(hosts))}
	for _, h := range hosts {
		f.byName[h.Name] = h
		f.tags = append(f.tags, h.Tags...)
	}
	slices.Sort(f.tags)
	f.tags = slices.Compact(f.tags)
	return f
}

// Names returns the names of all hosts, sorted.
func (f *Fleet) Names() []string {
	names := make([]string, len(f.Hosts))
	for i, h := range f.Hosts {
		names[i] = h.Name
	}
	return names
}

// Host returns the host of that name, or an *UnknownHostError.
func (f *Fleet) Host(name string) (*Host, error) {
	if h := f.byName[name]; h != nil {
		return h, nil
	}
	return nil, &UnknownHostError{Name: name, Known: f.Names()}
}

// UnknownHostError says that the fleet has no host of that name.
type UnknownHostError struct {
	Name  string
	Known []string // the hosts there are, sorted
}

func (e *UnknownHostError) Error() string {
	return fmt.Sprintf("no host %q in this fleet; %s", e.Name, nearest.Hint(e.Name, "hosts", e.Known))
}
