package system

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"roost/graph"
	"roost/internal/remote"
)

// Observed is what one round trip reads of a host.
type Observed struct {
	Current    string `json:"current,omitempty"` // /run/current-system; empty before the first deployment
	Label      string `json:"label,omitempty"`   // its nixos-version
	Booted     string `json:"booted,omitempty"`
	Profile    string `json:"profile,omitempty"` // what the next boot takes
	Generation int    `json:"generation,omitempty"`
	BootID     string `json:"boot_id,omitempty"`
	Machine    string `json:"machine"` // uname -m

	Switching bool              `json:"switching,omitempty"` // an activation is at work
	Failed    []string          `json:"failed,omitempty"`    // failed units, sorted
	Units     map[string]string `json:"units,omitempty"`     // the state of the units of its health checks
	Last      *Switched         `json:"last,omitempty"`      // since boot
}

// Switched is what our last activation left on the host, until it reboots.
type Switched struct {
	Code   int      `json:"code"`   // of switch-to-configuration
	Action string   `json:"action"` // switch, or boot where inhibitors forbade it
	System string   `json:"system"`
	Failed []string `json:"failed,omitempty"` // units it named as failed
}

// unit is the transient unit nixos-rebuild switches in. Under the same name
// systemd itself lets no two activations run at once.
const unit = "nixos-rebuild-switch-to-configuration.service"

// probe reads the host, once a run. A host that does not answer is deferred.
func (h *target) probe(g *graph.Graph) graph.Ref[Observed] {
	return graph.Observe(g, h.name("probe"), func(*graph.Task) func(context.Context) (Observed, error) {
		return func(ctx context.Context) (Observed, error) {
			if h.host.IsDarwin() {
				return Observed{}, graph.Refuse(fmt.Errorf("%s is a Mac: roost does not activate nix-darwin yet; on the Mac itself: sudo darwin-rebuild switch --flake .#%s", h.host.Name, h.host.Name))
			}
			return h.observe(ctx, false)
		}
	})
}

// observe reads the host, over a new connection if fresh is set.
func (h *target) observe(ctx context.Context, fresh bool) (Observed, error) {
	var out bytes.Buffer
	args := []string{"sh", "-c", probeScript, "roost-probe", unit}
	for _, check := range h.host.Update.Health {
		if check.Unit != "" {
			args = append(args, check.Unit)
		}
	}
	err := h.conn.Run(ctx, remote.Cmd{Args: args, Stdout: &out, Stderr: graph.Log(ctx), Fresh: fresh})
	if err != nil {
		return Observed{}, remote.ForTask(err)
	}
	o, err := parseObserved(out.String())
	if err != nil {
		return o, fmt.Errorf("read %s: %w", h.host.Name, err)
	}
	return o, h.checkMachine(o)
}

func (h *target) checkMachine(o Observed) error {
	want, _, _ := strings.Cut(string(h.host.System), "-")
	if o.Machine != want && !(o.Machine == "arm64" && want == "aarch64") {
		return graph.Refuse(fmt.Errorf("%s is %s, but %s says system = %q", h.host.Name, o.Machine, h.host.File, h.host.System))
	}
	return nil
}

// probeScript prints a line for each thing it finds: a word, then the value.
// Its arguments are our transient unit, then the units whose state is wanted.
const probeScript = `
link() { if [ -e "$2" ]; then echo "$1 $(readlink -f "$2")"; fi; }
link current /run/current-system
link booted /run/booted-system
link profile /nix/var/nix/profiles/system
if [ -L /nix/var/nix/profiles/system ]; then echo "generation $(readlink /nix/var/nix/profiles/system)"; fi
if [ -r /run/current-system/nixos-version ]; then echo "label $(head -n 1 /run/current-system/nixos-version)"; fi
if [ -r /run/roost/last ]; then cat /run/roost/last; fi
echo "boot_id $(cat /proc/sys/kernel/random/boot_id)"
echo "machine $(uname -m)"
systemctl list-units --all --plain --no-legend --no-pager -- "$1" | while read -r name load active rest; do echo "switching $active"; done
shift
systemctl list-units --state=failed --plain --no-legend --no-pager | while read -r name rest; do echo "failed $name"; done
for name in "$@"; do echo "unit $name $(systemctl show -p ActiveState --value -- "$name")"; done
echo "end"
`

func parseObserved(text string) (Observed, error) {
	var o Observed
	whole := false
	for line := range strings.Lines(text) {
		word, value, _ := strings.Cut(strings.TrimRight(line, "\n"), " ")
		switch word {
		case "current":
			o.Current = value
		case "booted":
			o.Booted = value
		case "profile":
			o.Profile = value
		case "label":
			o.Label = value
		case "boot_id":
			o.BootID = value
		case "machine":
			o.Machine = value
		case "generation":
			o.Generation = generation(value)
		case "switching":
			o.Switching = slices.Contains([]string{"active", "activating", "deactivating"}, value)
		case "failed":
			o.Failed = append(o.Failed, value)
		case "unit":
			name, state, _ := strings.Cut(value, " ")
			if o.Units == nil {
				o.Units = map[string]string{}
			}
			o.Units[name] = state
		case "last":
			last, err := parseSwitched(value)
			if err != nil {
				return o, err
			}
			o.Last = &last
		case "end":
			whole = true
		}
	}
	if !whole {
		return o, fmt.Errorf("its answer ends early: %q", text)
	}
	slices.Sort(o.Failed)
	return o, nil
}

// generation reads the number out of "system-42-link"; 0 where there is none.
func generation(link string) int {
	link = link[strings.LastIndex(link, "/")+1:]
	middle := strings.TrimSuffix(strings.TrimPrefix(link, "system-"), "-link")
	n, err := strconv.Atoi(middle)
	if err != nil {
		return 0
	}
	return n
}

// parseSwitched reads "CODE ACTION SYSTEM UNIT...", as switchScript writes it.
func parseSwitched(text string) (Switched, error) {
	fields := strings.Fields(text)
	if len(fields) < 3 {
		return Switched{}, fmt.Errorf("the note of the last activation is damaged: %q", text)
	}
	code, err := strconv.Atoi(fields[0])
	if err != nil {
		return Switched{}, fmt.Errorf("the note of the last activation is damaged: %q", text)
	}
	return Switched{Code: code, Action: fields[1], System: fields[2], Failed: fields[3:]}, nil
}
