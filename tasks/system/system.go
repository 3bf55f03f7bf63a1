// Package system puts a system on a host: the tasks eval, probe, build, copy,
// activate and health of one host.
//
//	c := &system.Controller{Tree: tree, Nix: n, Connect: connect, Roots: dir}
//	g := graph.New()
//	for _, host := range selected {
//		c.Declare(g, host)
//	}
//	result, err := g.Run(ctx, graph.Options{Pools: c.Pools()})
//
// What is evaluated and built is built as the invoking user; only setting the
// profile and switching run as root on the host. A host that already runs its
// system costs one ssh round trip, and neither evaluation nor build.
package system

import (
	"os"
	"runtime"

	"roost/graph"
	"roost/hosts"
	"roost/internal/nix"
	"roost/internal/remote"
)

// Controller is the machine that evaluates, builds and reaches out. Its fields
// do not change while a graph runs.
type Controller struct {
	Tree    *Tree // the fleet's files
	Nix     *nix.Nix
	Connect func(*hosts.Host) *remote.Conn // one Conn a host, kept by the caller
	Roots   string                         // folder for links that keep built systems from the garbage collector
	Scratch string                         // folder for stages; emptied by the caller
}

// System is a host's system as evaluated: what nixos-rebuild calls the toplevel.
type System struct {
	Drv string `json:"drv"`
	Out string `json:"out"`
}

// Tasks are the results of one host's tasks.
type Tasks struct {
	Eval     graph.Ref[System]
	Probe    graph.Ref[Observed]
	Build    graph.Ref[string]
	Copy     graph.Ref[string]
	Activate graph.Ref[Activation]
	Health   graph.Ref[Health]
}

// The pools the tasks take from, as Pools sizes them.
const (
	evalPool  = "evaluations"
	buildPool = "builds"
	copyPool  = "copies"
	// memoryPool is in MiB.
	memoryPool = "memory"
)

// evalMemory is what an evaluation is given before it was measured, in MiB: a
// small server takes a quarter of it, a heavy desktop four times as much.
const evalMemory = 1024

// Pools bounds what runs at once: evaluations by the controller's processors and
// its memory, builds by its processors (they share them out themselves), copies
// by what a network bears.
func (c *Controller) Pools() map[string]int {
	n := runtime.NumCPU()
	pools := map[string]int{evalPool: n, buildPool: max(2, n), copyPool: 10}
	if free := freeMemory(); free > 0 {
		pools[memoryPool] = max(free-keptFree, evalMemory)
	}
	return pools
}

// Declare adds the tasks of one host to the graph.
func (c *Controller) Declare(g *graph.Graph, host *hosts.Host) Tasks {
	h := &target{Controller: c, host: host}
	if !host.IsDarwin() { // nothing else of a Mac's tasks reaches out
		h.conn = c.Connect(host)
	}
	var t Tasks
	t.Eval = h.eval(g)
	t.Probe = h.probe(g)
	t.Build = h.build(g, t)
	t.Copy = h.copy(g, t)
	t.Activate = h.activate(g, t)
	t.Health = h.health(g, t)
	return t
}

// target is one host while its tasks are declared.
type target struct {
	*Controller
	host *hosts.Host
	conn *remote.Conn
}

func (h *target) name(step string) string { return h.host.Name + "/" + step }

// lane is what every effect on the host holds.
func (h *target) lane() string { return "host/" + h.host.Name }

// asRoot makes an argument vector run as root on the host.
func (h *target) asRoot(args ...string) []string {
	if h.isLocal() && os.Geteuid() == 0 || !h.isLocal() && h.host.SSH.User == "root" {
		return args
	}
	// -n: a password prompt would hang a run that nobody watches. -H: Nix
	// refuses a HOME that is not root's.
	return append([]string{"sudo", "-n", "-H", "--"}, args...)
}

func (h *target) isLocal() bool { return h.host.IsLocal() }

// journal is what a person types to read what units of the host said last.
func (h *target) journal(units ...string) string {
	args := []string{"journalctl", "-b", "-n", "50"}
	for _, unit := range units {
		args = append(args, "-u", unit)
	}
	return h.conn.Typed(args...)
}

// status is what a person types to see an activation at work.
func (h *target) status() string { return h.conn.Typed("systemctl", "status", unit) }
