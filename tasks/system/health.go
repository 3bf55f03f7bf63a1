package system

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
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
				next = append(next, h.ssh("journalctl -b -n 50 -u "+strings.Join(o.Last.Failed, " -u ")))
			}
			for _, want := range h.host.Update.Health {
				var c Check
				if want.Unit != "" {
					c = h.checkUnit(ctx, want, o, touched)
					if !c.OK {
						next = append(next, h.ssh("journalctl -b -n 50 -u "+want.Unit))
					}
				} else {
					c = h.checkHTTP(ctx, want)
				}
				result.Checks = append(result.Checks, c)
			}
			if err := context.Cause(ctx); err != nil {
				return result, err
			}
			bad := slices.DeleteFunc(slices.Clone(result.Checks), func(c Check) bool { return c.OK })
			if len(bad) > 0 {
				return result, &UnhealthyError{h.host.Name, bad, next}
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

// checkUnit waits until the unit is active; its first look is the probe's where
// the host was not touched since.
func (h *target) checkUnit(ctx context.Context, want hosts.HealthCheck, o Observed, touched bool) Check {
	c := Check{What: "unit " + want.Unit}
	state := o.Units[want.Unit]
	deadline := time.Now().Add(want.Timeout.Duration)
	for first := true; ; first = false {
		if touched || !first {
			now, err := h.observe(ctx, false)
			if err != nil {
				c.Detail = err.Error()
				return c
			}
			state = now.Units[want.Unit]
		}
		c.OK, c.Detail = state == "active", state
		if c.OK || time.Now().After(deadline) || !sleep(ctx, pollEvery) {
			return c
		}
	}
}

// checkHTTP asks until the answer is right, or the time is over.
func (h *target) checkHTTP(ctx context.Context, want hosts.HealthCheck) Check {
	c := Check{What: "http " + want.HTTP}
	address, err := h.conn.Address(ctx)
	if err != nil {
		c.Detail = err.Error()
		return c
	}
	ctx, cancel := context.WithTimeout(ctx, want.Timeout.Duration)
	defer cancel()
	for {
		detail, err := get(ctx, want.URL(address), want.Expect)
		if err == nil {
			c.OK, c.Detail = true, detail
			return c
		}
		if c.Detail == "" || !errors.Is(err, context.DeadlineExceeded) {
			c.Detail = err.Error() // the last real answer, not our own time-out
		}
		if !sleep(ctx, pollEvery) {
			return c
		}
	}
}

// health checks follow no proxy and keep nothing open.
var client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

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
