package own

import (
	"fmt"
	"slices"
	"strings"

	"roost/hosts"
	"roost/internal/nearest"
)

// needing finds the tasks that the task's needs name.
func (r *reader) needing(in *instance) {
	for i, text := range in.Needs {
		place := r.place(in.label, "needs").Items[i].Value
		if text == "" || r.Told(place) {
			continue
		}
		found, wrong := r.find(text, in.host, true)
		if wrong == "" && slices.ContainsFunc(found, func(n need) bool { return n.instance == in }) {
			wrong = "a task cannot wait for itself"
		}
		if wrong != "" {
			r.report(place, "needs %q: %s", text, wrong)
			continue
		}
		in.needs = append(in.needs, found...)
	}
}

// find finds the tasks that a text names: NAME, fleet/NAME or SELECTOR/NAME. From
// a task on a host, NAME is the one on the same host. wrong says why there is none.
func (t *Tasks) find(text string, from *hosts.Host, narrow bool) (found []need, wrong string) {
	where, name := "", text
	if i := strings.LastIndex(text, "/"); i >= 0 {
		where, name = text[:i], text[i+1:]
	}
	if !slices.Contains(t.names, name) {
		return nil, fmt.Sprintf("there is no task %q; %s", name, nearest.Hint(name, "tasks", t.names))
	}
	all := t.of[name]
	ofFleet := len(all) > 0 && all[0].host == nil
	switch {
	case len(all) == 0: // it is not valid, and that was told
		return nil, ""
	case ofFleet && (where == "" || where == fleetGroup):
		return []need{{all[0], false}}, ""
	case ofFleet:
		return nil, fmt.Sprintf("%q is on no host: write %q", name, name)
	case where == fleetGroup:
		return nil, fmt.Sprintf("%q is on hosts: write %q, or name the hosts, such as \"*/%[1]s\"", name, name)
	case where == "" && narrow && from != nil:
		for _, other := range all {
			if other.host == from {
				return []need{{other, false}}, ""
			}
		}
		return nil, fmt.Sprintf("%q is not on %s, it is on %q: write which hosts you mean, such as \"*/%[1]s\"", name, from.Name, all[0].On)
	case where == "":
		where = "*"
	}
	selected, err := t.fleet.Select(where)
	if err != nil {
		return nil, selectorProblem(err)
	}
	for _, other := range all {
		if slices.Contains(selected, other.host) {
			found = append(found, need{other, other.host.Name == where})
		}
	}
	if len(found) == 0 {
		return nil, fmt.Sprintf("%q is on none of these hosts, it is on %q", name, all[0].On)
	}
	return found, ""
}

// cycles finds tasks that wait for each other in a circle.
func (r *reader) cycles() {
	const (
		unseen = iota
		onTheWay
		done
	)
	state := map[*instance]int{}
	var way []*instance
	var visit func(in *instance)
	visit = func(in *instance) {
		state[in] = onTheWay
		way = append(way, in)
		for _, next := range in.waitsFor() {
			switch state[next] {
			case unseen:
				visit(next)
			case onTheWay:
				r.cycle(way[slices.Index(way, next):])
			}
		}
		way = way[:len(way)-1]
		state[in] = done
	}
	for _, in := range r.all() {
		if state[in] == unseen {
			visit(in)
		}
	}
}

// cycle tells one circle, at the place where its last task leads back. Of a
// circle that many hosts have, the first is told.
func (r *reader) cycle(way []*instance) {
	last := way[len(way)-1]
	place := r.place(last.label, "needs")
	if place == nil {
		place = r.place(last.label)
	}
	if r.Told(place.Key) {
		return
	}
	var said []string
	for _, in := range append(way, way[0]) {
		said = append(said, in.name)
	}
	r.Report(place.Key, "tasks wait for each other in a circle: %s", strings.Join(said, " waits for "))
}
