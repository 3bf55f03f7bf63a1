package system

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"roost/hosts"
	"roost/internal/remote"
)

func httpTarget(t *testing.T) *target {
	t.Helper()
	host := &hosts.Host{Name: "malphas"}
	return &target{host: host, conn: remote.Dial(remote.Target{Name: "malphas", Local: true}, remote.Options{RuntimeDir: t.TempDir()})}
}

// port is that of the test's server: another name of it is another host.
func port(host string) string { return host[strings.LastIndex(host, ":")+1:] }

func check(url, expect string, timeout time.Duration) hosts.HealthCheck {
	return hosts.HealthCheck{HTTP: url, Expect: expect, Timeout: hosts.Duration{Duration: timeout}}
}

func TestCheckHTTP(t *testing.T) {
	var answers atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := answers.Add(1)
		switch {
		case r.URL.Path == "/moved":
			http.Redirect(w, r, "/", http.StatusFound)
		case r.URL.Path == "/login":
			http.Redirect(w, r, "http://localhost:"+port(r.Host)+"/", http.StatusFound)
		case r.URL.Path == "/circle":
			http.Redirect(w, r, "/circle", http.StatusFound)
		case r.URL.Path == "/bad", r.URL.Path == "/late" && n < 3:
			http.Error(w, "not now", http.StatusServiceUnavailable)
		case r.URL.Path == "/hangs":
			<-r.Context().Done()
		default:
			w.Write([]byte("all is well"))
		}
	}))
	defer server.Close()
	tests := []struct {
		name, path, expect string
		touched            bool
		timeout            time.Duration
		ok                 bool
		detail             string
		answers            int
	}{
		{"good", "/", "", false, time.Second, true, "200 OK", 1},
		{"expected text", "/", "is well", false, time.Second, true, "200 OK", 1},
		{"other text", "/", "1.1", false, time.Second, false, `answers without "1.1": "all is well"`, 1},
		{"bad, not touched: asked once", "/bad", "", false, time.Second, false, "503 Service Unavailable", 1},
		{"comes right after an activation", "/late", "", true, 5 * time.Second, true, "200 OK", 3},
		{"redirect on the host", "/moved", "is well", false, time.Second, true, "200 OK", 2},
		{"redirect to another host", "/login", "", false, time.Second, false, "redirects to another host, localhost", 1},
		{"redirects in a circle", "/circle", "", false, time.Second, false, "more than 10 times", 10},
		{"never answers", "/hangs", "", true, 50 * time.Millisecond, false, "context deadline exceeded", 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			answers.Store(0)
			h := httpTarget(t)
			h.host.Update.Health = []hosts.HealthCheck{check(server.URL+test.path, test.expect, test.timeout)}
			got := h.checkAll(t.Context(), Observed{}, test.touched)[0]
			if got.OK != test.ok || !strings.Contains(got.Detail, test.detail) || int(answers.Load()) != test.answers {
				t.Errorf("got %+v after %d answers", got, answers.Load())
			}
		})
	}
}
