package own

import (
	"fmt"
	"slices"

	"roost/hosts"
)

// Chosen is the tasks of one run.
type Chosen struct {
	tasks *Tasks
	goals []*instance
	all   []*instance // the goals and all that they wait for, each after what it waits for
}

// Choose picks the tasks that names stand for, as in needs, on the selected
// hosts, and what they wait for; no name stands for all tasks. A need that
// stands for several hosts is narrowed to those selected; one that names a host
// that is not is an error.
func (t *Tasks) Choose(names []string, selected []*hosts.Host) (*Chosen, error) {
	c := &Chosen{tasks: t}
	isSelected := map[*hosts.Host]bool{nil: true}
	for _, host := range selected {
		isSelected[host] = true
	}
	in := func(one *instance) bool { return isSelected[one.host] }
	asked := map[*instance]bool{}
	if len(names) == 0 {
		names = t.names
	}
	for _, name := range names {
		found, wrong := t.find(name, nil, false)
		if wrong != "" {
			return nil, fmt.Errorf("task %q: %s", name, wrong)
		}
		for _, n := range found {
			if n.exact && !in(n.instance) {
				return nil, fmt.Errorf("task %q: --on does not select %s", name, n.host.Name)
			}
			if in(n.instance) && !asked[n.instance] {
				asked[n.instance] = true
				c.goals = append(c.goals, n.instance)
			}
		}
	}
	if len(c.goals) == 0 {
		return nil, fmt.Errorf("there is nothing to run: --on selects no host that has one of these tasks")
	}
	seen := map[*instance]bool{}
	for _, goal := range c.goals {
		if err := c.add(goal, in, seen); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// add adds a task after all that it waits for.
func (c *Chosen) add(one *instance, in func(*instance) bool, seen map[*instance]bool) error {
	if seen[one] {
		return nil
	}
	seen[one] = true
	exact := func(other *instance) bool {
		return slices.ContainsFunc(one.needs, func(n need) bool { return n.instance == other && n.exact })
	}
	for _, other := range one.waitsFor() {
		switch {
		case in(other):
			if err := c.add(other, in, seen); err != nil {
				return err
			}
		case exact(other), slices.Contains(one.reads, other), slices.Contains(one.programs, other):
			return fmt.Errorf("%s waits for %s, and --on does not select %s: select it too", one.name, other.name, other.host.Name)
		}
	}
	c.all = append(c.all, one)
	return nil
}

// Goals are the names of the tasks that were asked for.
func (c *Chosen) Goals() []string {
	names := make([]string, len(c.goals))
	for i, in := range c.goals {
		names[i] = in.name
	}
	return names
}
