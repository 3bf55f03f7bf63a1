package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// One number per lab says all of its network: number 7 has the bridge roost7,
// the subnet 10.213.7.0/24 and the interfaces roost7-0, roost7-1 and so on.
// Claims on numbers are files in a folder of the machine, taken under a lock.
const (
	claimDir  = "/run/roost-lab"
	firstHost = 10 // host 0 has the address .10; the bridge has .1
	maxHosts  = 240
)

func subnet(number int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 213, byte(number), 0}), 24)
}

func addressOf(number, index int) string {
	return netip.AddrFrom4([4]byte{10, 213, byte(number), byte(firstHost + index)}).String()
}

// macOf makes a network card's address out of a host's. A host keeps its card
// over a power cut: with a new one, others would send to the old one for up to
// a minute.
func macOf(address string) string {
	ip := netip.MustParseAddr(address).As4()
	return net.HardwareAddr{2, 0, ip[0], ip[1], ip[2], ip[3]}.String()
}

func bridgeName(number int) string      { return fmt.Sprintf("roost%d", number) }
func linkName(number, index int) string { return fmt.Sprintf("roost%d-%d", number, index) }

// freeNumber takes the first number that is not claimed and whose subnet and
// bridge nobody on this machine has.
func freeNumber(claimed map[int]bool, taken []netip.Prefix, links []string) (int, error) {
	names := map[string]bool{}
	for _, l := range links {
		names[l] = true
	}
next:
	for n := range 256 {
		if claimed[n] || names[bridgeName(n)] {
			continue
		}
		for _, p := range taken {
			if p.Overlaps(subnet(n)) {
				continue next
			}
		}
		return n, nil
	}
	return 0, fmt.Errorf("%w: no free subnet in 10.213.0.0/16: labs, addresses or routes of this machine have them all", ErrNotReady)
}

// claimText is what a claim file holds: a claim of an earlier boot of the
// machine is void, as all interfaces have gone with it.
func claimText(dir string) string { return machineBootID() + " " + dir + "\n" }

func claimPath(number int) string { return filepath.Join(claimDir, strconv.Itoa(number)) }

func (l *Lab) ownsClaim(number int) bool {
	text, err := os.ReadFile(claimPath(number))
	return err == nil && string(text) == claimText(l.Dir)
}

// claims reads which numbers are claimed since the machine was booted.
func claims() (map[int]bool, error) {
	entries, err := os.ReadDir(claimDir)
	if err != nil {
		return nil, err
	}
	claimed := map[int]bool{}
	for _, e := range entries {
		n, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		text, err := os.ReadFile(claimPath(n))
		if err == nil && strings.HasPrefix(string(text), machineBootID()+" ") {
			claimed[n] = true
		}
	}
	return claimed, nil
}

// taken reads the machine's interfaces, and its addresses and routes.
func taken(ctx context.Context) ([]netip.Prefix, []string, error) {
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil, nil, err
	}
	var links []string
	for _, i := range interfaces {
		links = append(links, i.Name)
	}
	text, err := finish(command(ctx, "ip", "-json", "-4", "route", "show", "table", "all"))
	if err != nil {
		return nil, nil, err
	}
	routes, err := parseRoutes(text)
	return routes, links, err
}

// parseRoutes reads the destinations in `ip -json route`; the default route is
// no reason to avoid a subnet.
func parseRoutes(text []byte) ([]netip.Prefix, error) {
	var routes []struct {
		Dst string `json:"dst"`
	}
	if err := json.Unmarshal(text, &routes); err != nil {
		return nil, fmt.Errorf("read `ip -json route`: %w", err)
	}
	var prefixes []netip.Prefix
	for _, r := range routes {
		if p, err := netip.ParsePrefix(r.Dst); err == nil {
			prefixes = append(prefixes, p)
		} else if a, err := netip.ParseAddr(r.Dst); err == nil {
			prefixes = append(prefixes, netip.PrefixFrom(a, a.BitLen()))
		}
	}
	return prefixes, nil
}

// bridge gives the lab its number and its bridge, or completes what a killed
// Up has left of them.
func (h *held) bridge(ctx context.Context, id *identity) error {
	lock, err := lockFile(ctx, filepath.Join(claimDir, "lock"))
	if err != nil {
		return fmt.Errorf("lock the labs of this machine: %w", err)
	}
	defer lock.Close()
	if !h.ownsClaim(id.Number) {
		if err := h.claim(ctx, id); err != nil {
			return err
		}
	}
	name := bridgeName(id.Number)
	if err := h.journal.add(record{Kind: kindLink, Name: name}); err != nil {
		return err
	}
	batch := fmt.Sprintf("address replace %s/24 dev %s\nlink set %s up\n", subnet(id.Number).Addr().Next(), name, name)
	if _, err := net.InterfaceByName(name); err != nil {
		batch = fmt.Sprintf("link add %s type bridge\n", name) + batch
	}
	return h.feed(ctx, batch, "ip", "-batch", "-")
}

func (h *held) claim(ctx context.Context, id *identity) error {
	claimed, err := claims()
	if err != nil {
		return err
	}
	prefixes, links, err := taken(ctx)
	if err != nil {
		return err
	}
	if id.Number, err = freeNumber(claimed, prefixes, links); err != nil {
		return err
	}
	if err := h.journal.add(record{Kind: kindClaim, Number: id.Number}); err != nil {
		return err
	}
	if err := os.WriteFile(claimPath(id.Number), []byte(claimText(h.Dir)), 0o600); err != nil {
		return err
	}
	return h.writeIdentity(*id)
}

// unclaim gives the number back. Another lab may have it since: that one's
// claim stays.
func (h *held) unclaim(ctx context.Context, number int) error {
	lock, err := lockFile(ctx, filepath.Join(claimDir, "lock"))
	if err != nil {
		return err
	}
	defer lock.Close()
	if !h.ownsClaim(number) {
		return nil
	}
	return removeIfThere(claimPath(number))
}

func removeIfThere(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// removeLink deletes an interface; one that has gone by itself is fine.
func (h *held) removeLink(ctx context.Context, name string) error {
	if _, err := net.InterfaceByName(name); err != nil {
		return nil
	}
	err := h.run(ctx, "ip", "link", "delete", name)
	if _, gone := net.InterfaceByName(name); gone != nil {
		return nil // its namespace ended at the same moment
	}
	return err
}
