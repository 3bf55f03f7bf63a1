package system

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"roost/graph"
	"roost/hosts"
)

// Health is what the health checks of a host found.
type Health struct {
	Checks []Check `json:"checks"`
}

// Check is one health check and how it went.
type Check struct {
	What   string `json:"what"` // "http :8080/health"
	OK     bool   `json:"ok"`
	Detail string `json:"detail,omitempty"`
}

// UnhealthyError says which checks of a host do not hold.
type UnhealthyError struct {
	Host   string
	Checks []Check // those that do not hold
	next   []string
}

func (e *UnhealthyError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s is not healthy:", e.Host)
	for _, c := range e.Checks {
		fmt.Fprintf(&b, " %s: %s;", c.What, c.Detail)
	}
	text := strings.TrimSuffix(b.String(), ";")
	for _, next := range e.next {
		text += "\n  See why: " + next
	}
	return text
}

// health asks the host, after its activation, what host.toml says must hold.
// A host that was not touched is asked as well, with what the probe has read:
// its service may have died since.
func (h *target) health(g *graph.Graph, tasks Tasks) graph.Ref[Health] {
	return graph.Observe(g, h.name("health"), func(t *graph.Task) func(context.Context) (Health, error) {
		system, before := graph.Use(t, tasks.Eval), graph.Use(t, tasks.Probe)
		t.After(tasks.Activate)
		return func(ctx context.Context) (Health, error) {
			out, o := system.Get(ctx).Out, before.Get(ctx)
			touched := !compare(out, o, o).Done
			var result Health
			var next []string
			if c := leftOver(o); !touched && c != nil {
				result.Checks = append(result.Checks, *c)
				next = append(next, h.journal(o.Last.Failed...))
			}
			for _, c := range h.checkAll(ctx, o, touched) {
				result.Checks = append(result.Checks, c)
				if unit, is := strings.CutPrefix(c.What, "unit "); is && !c.OK {
					next = append(next, h.journal(unit))
				}
			}
			if err := context.Cause(ctx); err != nil {
				return result, err
			}
			bad := slices.DeleteFunc(slices.Clone(result.Checks), func(c Check) bool { return c.OK })
			if len(bad) > 0 {
				slices.Sort(next)
				return result, &UnhealthyError{h.host.Name, bad, slices.Compact(next)}
			}
			return result, nil
		}
	})
}

// leftOver is what an earlier activation left failed: that one said so, and
// until it is mended each run says so again.
func leftOver(o Observed) *Check {
	if o.Last == nil || o.Last.System != o.Current {
		return nil
	}
	var still []string
	for _, name := range o.Last.Failed {
		if slices.Contains(o.Failed, name) {
			still = append(still, name)
		}
	}
	if len(still) == 0 {
		return nil
	}
	return &Check{What: "units", Detail: "failed since the last activation: " + strings.Join(still, ", ")}
}

const pollEvery = 250 * time.Millisecond

// checkAll makes the checks of host.toml, all at once. After an activation each
// may take its time to come right; a host that was not touched has had it, and
// is asked once.
func (h *target) checkAll(ctx context.Context, o Observed, touched bool) []Check {
	checks := make([]Check, len(h.host.Update.Health))
	var all sync.WaitGroup
	for i, want := range h.host.Update.Health {
		all.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, want.Timeout.Duration)
			defer cancel()
			if want.Unit != "" {
				checks[i] = h.checkUnit(ctx, want.Unit, o, touched)
			} else {
				checks[i] = h.checkHTTP(ctx, want, touched)
			}
		})
	}
	all.Wait()
	return checks
}

// checkUnit looks whether a unit is active: in the probe, where the host was
// not touched since.
func (h *target) checkUnit(ctx context.Context, name string, o Observed, touched bool) Check {
	c := Check{What: "unit " + name}
	for {
		if touched {
			var err error
			if o, err = h.observe(ctx, false); err != nil {
				c.Detail = cmp.Or(c.Detail, err.Error())
				return c
			}
		}
		c.Detail = o.Units[name]
		if c.OK = c.Detail == "active"; c.OK || !touched || !sleep(ctx, pollEvery) {
			return c
		}
	}
}

func (h *target) checkHTTP(ctx context.Context, want hosts.HealthCheck, touched bool) Check {
	c := Check{What: "http " + want.HTTP}
	address, err := h.conn.Address(ctx)
	if err != nil {
		c.Detail = err.Error()
		return c
	}
	for {
		detail, err := get(ctx, want.URL(address), want.Expect)
		if err == nil {
			c.OK, c.Detail = true, detail
			return c
		}
		if c.Detail == "" || ctx.Err() == nil {
			c.Detail = err.Error() // the last real answer, not our own time-out
		}
		if !touched || !sleep(ctx, pollEvery) {
			return c
		}
	}
}

// health checks follow no proxy and keep nothing open.
var client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, CheckRedirect: sameHost}

// sameHost follows a redirect to another path, port or scheme of the host that
// was asked. What another host answers, such as a login page, says nothing of
// this one.
func sameHost(next *http.Request, before []*http.Request) error {
	if first := before[0].URL; !strings.EqualFold(next.URL.Hostname(), first.Hostname()) {
		return fmt.Errorf("it redirects to another host, %s: that one's answer proves nothing here; check a URL that is answered without", next.URL.Hostname())
	}
	if len(before) >= mostRedirects {
		return fmt.Errorf("it redirects more than %d times", mostRedirects)
	}
	return nil
}

const mostRedirects = 10

// mostBody bounds how much of an answer is read.
const mostBody = 1 << 20

func get(ctx context.Context, url, expect string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	response, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, mostBody))
	if err != nil {
		return "", err
	}
	if response.StatusCode < 200 || response.StatusCode > 299 {
		return "", fmt.Errorf("%s answers %s", url, response.Status)
	}
	if !strings.Contains(string(body), expect) {
		return "", fmt.Errorf("%s answers without %q: %.80q", url, expect, body)
	}
	return response.Status, nil
}

func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}
