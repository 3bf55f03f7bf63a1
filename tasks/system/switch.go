package system

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"roost/graph"
	"roost/internal/remote"
)

// switching is an activation that was started on a host.
type switching struct {
	id  string
	log bytes.Buffer // what it said so far
}

// startScript starts the activation in a transient unit, which a lost
// connection cannot hurt. Arguments: unit, id, system, script of the unit.
// The unit's own PATH may not find nix-env, so it gets ours.
const startScript = `
set -eu
umask 077
mkdir -p /run/roost
rm -f /run/roost/*.log /run/roost/*.exit
: > "/run/roost/$2.log"
exec systemd-run --quiet --collect --no-ask-password --service-type=exec --unit="$1" --description="switch to $3" \
  -E PATH="$PATH" -E LOCALE_ARCHIVE -E NIXOS_INSTALL_BOOTLOADER=0 \
  /bin/sh -c "$4" roost-switch "$2" "$3"
`

// switchScript is the activation itself. What inhibitors forbid to switch live
// (NixOS 26.05 and later) becomes what the next boot takes. The note in
// /run/roost/last is gone after a reboot, with what it tells of; the log also
// goes to the unit's journal, which stays.
const switchScript = `
id=$1 out=$2 action=switch code=0
exec 3>&1 >> "/run/roost/$id.log" 2>&1
trap 'cat "/run/roost/$id.log" >&3' EXIT
if [ -e "$out/switch-inhibitors" ] && ! "$out/bin/switch-to-configuration" check; then action=boot; fi
nix-env -p /nix/var/nix/profiles/system --set "$out" || code=$?
if [ "$code" = 0 ]; then "$out/bin/switch-to-configuration" "$action" || code=$?; fi
failed=
if [ "$code" = 4 ]; then failed=$(sed -n 's/^warning: the following units failed: //p' "/run/roost/$id.log" | tail -n 1 | tr -d ,); fi
echo "last $code $action $out $failed" > /run/roost/note
chmod 0755 /run/roost; chmod 0644 /run/roost/note
cp /run/roost/note "/run/roost/$id.exit.new"
mv /run/roost/note /run/roost/last
mv "/run/roost/$id.exit.new" "/run/roost/$id.exit"
`

// followScript prints the activation's log to stderr, from a byte on, until it
// has ended, and then its note. Arguments: unit, id, byte.
const followScript = `
log=/run/roost/$2.log exit=/run/roost/$2.exit n=$3
more() {
  s=$(wc -c < "$log") || exit 70
  if [ "$s" -gt "$n" ]; then tail -c "+$((n + 1))" "$log" | head -c "$((s - n))" >&2; n=$s; fi
}
while [ ! -e "$exit" ]; do
  if ! systemctl is-active --quiet -- "$1"; then
    sleep 0.5
    [ -e "$exit" ] || exit 70
  fi
  more
  sleep 0.1
done
more
cat "$exit"
`

// goneCode is followScript's word for: it neither runs nor has it ended.
const goneCode = 70

func (h *target) startSwitch(ctx context.Context, out string) (*switching, error) {
	var random [6]byte
	if _, err := rand.Read(random[:]); err != nil {
		return nil, err
	}
	s := &switching{id: hex.EncodeToString(random[:])}
	_, err := h.conn.Output(ctx, h.asRoot("sh", "-c", startScript, "roost-start", unit, s.id, out, switchScript)...)
	if lost, ok := errors.AsType[*remote.UnreachableError](err); ok && lost.Lost {
		return s, nil // it may have been started: follow finds out
	}
	if err != nil {
		return nil, fmt.Errorf("start the activation: %w", err)
	}
	return s, nil
}

const (
	// linkPatience is how long a host may be away while it switches: its
	// network may restart, or the link may.
	linkPatience = 3 * time.Minute
	retryEvery   = 2 * time.Second
)

// follow waits for the end of an activation. When the connection is lost it
// makes a new one and goes on where it was.
func (h *target) follow(ctx context.Context, s *switching) (Switched, error) {
	var away time.Time
	for {
		var note bytes.Buffer
		before := s.log.Len()
		err := h.conn.Run(ctx, remote.Cmd{
			Args:   h.asRoot("sh", "-c", followScript, "roost-follow", unit, s.id, strconv.Itoa(before)),
			Stdout: &note, Stderr: io.MultiWriter(&s.log, graph.Log(ctx)),
			Fresh: !away.IsZero(),
		})
		if err == nil {
			return parseSwitched(strings.TrimPrefix(note.String(), "last "))
		}
		if exit, ok := errors.AsType[*remote.ExitError](err); ok && exit.Code == goneCode {
			return Switched{}, fmt.Errorf("the activation on %s neither runs nor has it ended: the host was rebooted, or it was never started\n  Run again; see: %s",
				h.host.Name, h.conn.Typed("journalctl", "-n", "100", "-u", unit))
		}
		if _, ok := errors.AsType[*remote.UnreachableError](err); !ok {
			return Switched{}, fmt.Errorf("follow the activation: %w", err)
		}
		if s.log.Len() > before || away.IsZero() {
			away = time.Now()
			fmt.Fprintf(graph.Log(ctx), "the connection was lost; the switch goes on by itself on %s, trying to reach it again\n", h.host.Name)
		}
		if time.Since(away) > linkPatience {
			return Switched{}, fmt.Errorf("%w\n  The switch was started and goes on by itself on %s, but it could not be reached for %s.\n  When it is back: %s, or run again: what it did is seen then",
				err, h.host.Name, linkPatience, h.status())
		}
		select {
		case <-ctx.Done():
			return Switched{}, fmt.Errorf("stopped while the switch goes on by itself on %s; see: %s", h.host.Name, h.status())
		case <-time.After(retryEvery):
		}
	}
}
