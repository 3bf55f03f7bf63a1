package verbs

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"roost/graph"
)

func TestAgeAndSize(t *testing.T) {
	const day = 24 * time.Hour
	for text, want := range map[string]time.Duration{"30d": 30 * day, "2w": 14 * day, "0d": 0, "90m": 90 * time.Minute, "1h30m": 90 * time.Minute} {
		var a Age
		if err := a.UnmarshalText([]byte(text)); err != nil || time.Duration(a) != want {
			t.Errorf("%s is %s (%v), want %s", text, time.Duration(a), err, want)
		}
	}
	for _, text := range []string{"", "d", "-1d", "1.5d", "-1h", "30", "200000d", "soon"} {
		if err := new(Age).UnmarshalText([]byte(text)); err == nil || !strings.Contains(err.Error(), "30d") {
			t.Errorf("age %q: %v", text, err)
		}
	}
	for text, want := range map[string]string{"0": "0 B", "5B": "5 B", "2048KiB": "2.0 MiB", "1GiB": "1.0 GiB", "3TiB": "3.0 TiB"} {
		var s Size
		if err := s.UnmarshalText([]byte(text)); err != nil || s.String() != want {
			t.Errorf("%s is %s (%v), want %s", text, s, err, want)
		}
	}
	for _, text := range []string{"", "5", "GiB", "-1B", "1GB", "1iB", "1.5GiB", "1GiBB", "9999999999TiB"} {
		if err := new(Size).UnmarshalText([]byte(text)); err == nil || !strings.Contains(err.Error(), "1GiB") {
			t.Errorf("size %q: %v", text, err)
		}
	}
}

// The token reaches the server alone: not the programs that roost starts.
func TestOpenRemoteTakesTheToken(t *testing.T) {
	var got string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		got = q.Header.Get("Authorization")
		w.WriteHeader(http.StatusNotFound)
	}))
	defer server.Close()
	t.Setenv(tokenVariable, "s3cret")
	remote, err := openRemote(Options{CacheURL: server.URL, CacheReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	if text, ok := os.LookupEnv(tokenVariable); ok {
		t.Errorf("the token is still in the environment: %q", text)
	}
	g := graph.New()
	graph.Pure(g, "h/x", func(*graph.Task) graph.Compute[int] { return graph.Compute[int]{Run: one} })
	if _, err := g.Run(t.Context(), graph.Options{Remote: remote}); err != nil {
		t.Fatal(err)
	}
	remote.Close()
	if got != "Bearer s3cret" {
		t.Errorf("the server got %q", got)
	}
	if none, err := openRemote(Options{}); none != nil || err != nil {
		t.Errorf("without a URL: %v, %v", none, err)
	}
}

func TestFromEnvReadsTheSharedCache(t *testing.T) {
	t.Setenv("ROOST_CACHE_URL", "http://cache")
	t.Setenv("ROOST_CACHE_READ_ONLY", "1")
	o, err := FromEnv()
	if err != nil || o.CacheURL != "http://cache" || !o.CacheReadOnly {
		t.Errorf("%+v, %v", o, err)
	}
	t.Setenv("ROOST_CACHE_READ_ONLY", "ture") // must never mean that it may be written
	if _, err := FromEnv(); Code(err) != CodeUsage || !strings.Contains(err.Error(), "ROOST_CACHE_READ_ONLY") {
		t.Error(err)
	}
}

func one(context.Context) (int, error) { return 1, nil }
