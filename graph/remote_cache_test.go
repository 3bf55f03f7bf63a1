package graph

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// shelf is a server as bazel-remote is one, without its validation of /ac. Each
// request may be answered by a fault instead.
type shelf struct {
	*httptest.Server

	mu    sync.Mutex
	held  map[string][]byte
	asked []string                                              // "GET /ac/…"
	fault func(http.ResponseWriter, *http.Request, *shelf) bool // says whether it has answered
}

func newShelf(t interface{ Cleanup(func()) }) *shelf {
	s := &shelf{held: map[string][]byte{}}
	s.Server = httptest.NewServer(http.HandlerFunc(s.serve))
	t.Cleanup(s.Close)
	return s
}

func (s *shelf) serve(w http.ResponseWriter, q *http.Request) {
	s.mu.Lock()
	s.asked = append(s.asked, q.Method+" "+q.URL.Path)
	fault := s.fault
	s.mu.Unlock()
	if fault != nil && fault(w, q, s) {
		return
	}
	if q.Method == http.MethodPut {
		body, err := io.ReadAll(q.Body)
		sum := sha256.Sum256(body)
		if digest, ok := strings.CutPrefix(q.URL.Path, "/cas/"); err != nil || ok && digest != hex.EncodeToString(sum[:]) {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.held[q.URL.Path] = body
		return
	}
	s.mu.Lock()
	body, ok := s.held[q.URL.Path]
	s.mu.Unlock()
	if !ok {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	w.Write(body)
}

// count says how many requests of a method came in.
func (s *shelf) count(method string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, a := range s.asked {
		if strings.HasPrefix(a, method+" ") {
			n++
		}
	}
	return n
}

func (s *shelf) breaks(fault func(http.ResponseWriter, *http.Request, *shelf) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault, s.asked = fault, nil
}

func openRemote(t interface {
	Fatal(...any)
	Cleanup(func())
}, url string, o RemoteOptions) *RemoteCache {
	if o.Timeout == 0 {
		o.Timeout = time.Minute // a slow machine must not look like a slow server
	}
	c, err := OpenRemoteCache(url, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// pair is a graph of two pure tasks, of which one uses the other, and counts
// how often they are computed.
func pair(ran *int, mu *sync.Mutex, valid func(string) error) *Graph {
	count := func() {
		mu.Lock()
		defer mu.Unlock()
		*ran++
	}
	g := New()
	eval := Pure(g, "h/eval", func(t *Task) Compute[string] {
		t.Value("source", "x")
		return Compute[string]{Valid: valid, Run: func(context.Context) (string, error) { count(); return "drv <x>", nil }}
	})
	Pure(g, "h/build", func(t *Task) Compute[map[string]int] {
		in := Use(t, eval)
		return Compute[map[string]int]{Run: func(ctx context.Context) (map[string]int, error) {
			count()
			return map[string]int{in.Get(ctx): 1, "a": 2}, nil
		}}
	})
	return g
}

// runPair runs it with an empty local cache, as another machine does.
func runPair(t *testing.T, remote *RemoteCache, o Options, valid func(string) error) (ran int, states []string) {
	t.Helper()
	if o.Cache == nil {
		var err error
		if o.Cache, err = OpenCache(t.TempDir()); err != nil {
			t.Fatal(err)
		}
	}
	o.Remote = remote
	result, err := pair(&ran, &sync.Mutex{}, valid).Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	remote.Close()
	for i, m := range result.run.marks {
		raw, err := encodeValue(valueOf(result, int32(i)))
		ok(t, err)
		states = append(states, fmt.Sprintf("%s %s", statuses[m.status], raw))
	}
	return ran, states
}

var (
	computed = []string{`ran "drv \u003cx\u003e"`, `ran {"a":2,"drv \u003cx\u003e":1}`}
	known    = []string{`cached "drv \u003cx\u003e"`, `cached {"a":2,"drv \u003cx\u003e":1}`}
)

func TestRemoteHit(t *testing.T) {
	s := newShelf(t)
	first := openRemote(t, s.URL+"/", RemoteOptions{})
	if ran, states := runPair(t, first, Options{}, nil); ran != 2 || !slices.Equal(states, computed) {
		t.Fatalf("the first machine computed %d: %q", ran, states)
	}
	if len(s.held) != 4 || !strings.HasSuffix(first.Report(), ": 0 results taken, 2 sent") {
		t.Fatalf("the server holds %d files; %s", len(s.held), first.Report())
	}

	cache, err := OpenCache(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	second := openRemote(t, s.URL, RemoteOptions{})
	if ran, states := runPair(t, second, Options{Cache: cache}, nil); ran != 0 || !slices.Equal(states, known) {
		t.Fatalf("the second machine computed %d: %q", ran, states)
	}
	if !strings.HasSuffix(second.Report(), ": 2 results taken, 0 sent") {
		t.Error(second.Report())
	}
	if last, ok := cache.Recorded("h/eval"); !ok || len(last.Lines) == 0 {
		t.Error("what a taken result depends on is not remembered")
	}

	s.breaks(nil)
	if ran, _ := runPair(t, openRemote(t, s.URL, RemoteOptions{}), Options{Cache: cache}, nil); ran != 0 || len(s.asked) != 0 {
		t.Errorf("a taken result was not kept here: %d computed, asked %q", ran, s.asked)
	}
}

func TestRemoteDryRunKeepsNothing(t *testing.T) {
	s := newShelf(t)
	runPair(t, openRemote(t, s.URL, RemoteOptions{}), Options{}, nil)
	cache, err := OpenCache(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	s.breaks(nil)
	ran, _ := runPair(t, openRemote(t, s.URL, RemoteOptions{}), Options{Cache: cache, Dry: true}, nil)
	kept, err := cache.Entries()
	if ran != 0 || len(kept) != 0 || err != nil || s.count("PUT") != 0 {
		t.Errorf("computed %d, kept %v (%v), asked %q", ran, kept, err, s.asked)
	}
}

// A result that names what this machine has not is a miss, as without a remote.
func TestRemoteHitThatIsNotValidHere(t *testing.T) {
	s := newShelf(t)
	runPair(t, openRemote(t, s.URL, RemoteOptions{}), Options{}, nil)
	gone := func(string) error { return errors.New("it is not in this store") }
	remote := openRemote(t, s.URL, RemoteOptions{})
	cache, err := OpenCache(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	ran, states := runPair(t, remote, Options{Cache: cache}, gone)
	if want := []string{computed[0], known[1]}; ran != 1 || !slices.Equal(states, want) {
		t.Errorf("computed %d: %q, want %q", ran, states, want)
	}
	if !strings.HasSuffix(remote.Report(), ": 1 results taken, 1 sent") {
		t.Error(remote.Report())
	}
}

func TestRemoteReadOnlyAndFresh(t *testing.T) {
	s := newShelf(t)
	runPair(t, openRemote(t, s.URL, RemoteOptions{ReadOnly: true}), Options{}, nil)
	if s.count("PUT") != 0 || s.count("GET") == 0 {
		t.Errorf("read-only asked %q", s.asked)
	}
	s.breaks(nil)
	if ran, _ := runPair(t, openRemote(t, s.URL, RemoteOptions{}), Options{Fresh: true}, nil); ran != 2 || s.count("GET") != 0 {
		t.Errorf("without the cache: computed %d, asked %q", ran, s.asked)
	}
}

func answer(code int, body string) func(http.ResponseWriter, *http.Request, *shelf) bool {
	return func(w http.ResponseWriter, q *http.Request, _ *shelf) bool {
		w.WriteHeader(code)
		io.WriteString(w, body)
		return true
	}
}

// stored rewrites what the server holds before it answers a GET below prefix.
func stored(prefix string, rewrite func([]byte) []byte) func(http.ResponseWriter, *http.Request, *shelf) bool {
	return func(w http.ResponseWriter, q *http.Request, s *shelf) bool {
		if q.Method != http.MethodGet || !strings.HasPrefix(q.URL.Path, prefix) {
			return false
		}
		s.mu.Lock()
		body := s.held[q.URL.Path]
		s.mu.Unlock()
		w.Write(rewrite(bytes.Clone(body)))
		return true
	}
}

func hang(_ http.ResponseWriter, q *http.Request, _ *shelf) bool {
	io.Copy(io.Discard, q.Body) // only then the server sees that we hang up
	<-q.Context().Done()
	return true
}

// digestless finds the digest of an entry.
var digestless = regexp.MustCompile(`,"digest":"[^"]*"`)

const token = "s3cret-token"

// faults are all the ways in which a server may be bad.
var faults = map[string]func(http.ResponseWriter, *http.Request, *shelf) bool{
	"400":              answer(400, "no"),
	"401":              answer(401, "who?"),
	"403":              answer(403, "no"),
	"500":              answer(500, "oh"),
	"503":              answer(503, ""),
	"204 for all":      answer(204, ""),
	"empty":            answer(200, ""),
	"garbage":          answer(200, "\x00\xff{garbage"),
	"a web page":       answer(200, "<html>login</html>"),
	"other JSON":       answer(200, `{"version":1}`),
	"null":             answer(200, `null`),
	"deep JSON":        answer(200, strings.Repeat("[", 60<<10)),
	"another version":  stored("/ac/", replace(`"version":1`, `"version":2`)),
	"another task":     stored("/ac/", replace(`"task":"h/`, `"task":"g/`)),
	"another key":      stored("/ac/", replace(`"key":"`, `"key":"0`)),
	"no digest":        stored("/ac/", func(b []byte) []byte { return digestless.ReplaceAll(b, nil) }),
	"digest is a path": stored("/ac/", replace(`"digest":"`, `"digest":"../ac/`)),
	"another value":    stored("/cas/", func(b []byte) []byte { return append(b, ' ') }),
	"cut off":          stored("/cas/", func(b []byte) []byte { return b[:max(len(b), 1)-1] }),
	"value is gone": func(w http.ResponseWriter, q *http.Request, _ *shelf) bool {
		if strings.HasPrefix(q.URL.Path, "/cas/") {
			w.WriteHeader(404)
			return true
		}
		return false
	},
	"says it is huge": func(w http.ResponseWriter, q *http.Request, _ *shelf) bool {
		w.Header().Set("Content-Length", "99999999999")
		io.WriteString(w, "x")
		return true
	},
	"huge record": func(w http.ResponseWriter, q *http.Request, _ *shelf) bool {
		w.Write(make([]byte, maxRemoteRecord+2))
		return true
	},
	"hangs up": func(w http.ResponseWriter, q *http.Request, _ *shelf) bool { panic(http.ErrAbortHandler) },
	"hangs up in the body": func(w http.ResponseWriter, q *http.Request, _ *shelf) bool {
		w.Header().Set("Content-Length", "100")
		io.WriteString(w, "{")
		panic(http.ErrAbortHandler)
	},
	"no HTTP": func(w http.ResponseWriter, q *http.Request, _ *shelf) bool {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			io.WriteString(conn, "\x1b[31mSSH-2.0\r\n\r\n")
			conn.Close()
		}
		return true
	},
	"huge header": func(w http.ResponseWriter, q *http.Request, _ *shelf) bool {
		w.Header().Set("X", strings.Repeat("x", 128<<10))
		return true
	},
}

func replace(from, to string) func([]byte) []byte {
	return func(b []byte) []byte { return bytes.Replace(b, []byte(from), []byte(to), 1) }
}

// TestRemoteFaults: whatever a server does, the run is as without one, and
// nothing that it said is kept.
func TestRemoteFaults(t *testing.T) {
	for _, name := range slices.Sorted(maps.Keys(faults)) {
		t.Run(name, func(t *testing.T) {
			s := newShelf(t)
			runPair(t, openRemote(t, s.URL, RemoteOptions{}), Options{}, nil)
			s.breaks(faults[name])
			cache, err := OpenCache(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			remote := openRemote(t, s.URL, RemoteOptions{Token: token})
			ran, states := runPair(t, remote, Options{Cache: cache}, nil)
			if ran != 2 || !slices.Equal(states, computed) {
				t.Errorf("computed %d: %q", ran, states)
			}
			report := remote.Report()
			if strings.Contains(report, token) || strings.Contains(report, "\x1b") || strings.Contains(report, "/ac/") {
				t.Errorf("the report holds too much: %q", report)
			}
			if ran, _ := runPair(t, nil, Options{Cache: cache}, nil); ran != 0 {
				t.Errorf("%d results were not kept here", ran)
			}
		})
	}
}

func TestRemoteIsDown(t *testing.T) {
	s := newShelf(t)
	s.Close()
	remote := openRemote(t, s.URL, RemoteOptions{})
	if ran, _ := runPair(t, remote, Options{}, nil); ran != 2 {
		t.Errorf("computed %d", ran)
	}
	if !strings.Contains(remote.Report(), "not asked again in this run: dial tcp") {
		t.Error(remote.Report())
	}
}

// many runs n independent tasks one after another.
func many(t *testing.T, remote *RemoteCache, n int) {
	t.Helper()
	g := New()
	for i := range n {
		pure(g, fmt.Sprintf("h%03d/eval", i), constant("x"))
	}
	if _, err := g.Run(t.Context(), Options{Jobs: 1, Remote: remote}); err != nil {
		t.Fatal(err)
	}
	remote.Close()
}

func TestRemoteIsSwitchedOff(t *testing.T) {
	tests := []struct {
		name   string
		fault  func(http.ResponseWriter, *http.Request, *shelf) bool
		o      RemoteOptions
		gets   int
		report string
	}{
		{"after three failures", answer(500, ""), RemoteOptions{ReadOnly: true}, 3, "not asked again in this run: it answers 500 Internal Server Error"},
		{"after one time-out", hang, RemoteOptions{ReadOnly: true, Timeout: 20 * time.Millisecond}, 1, "not asked again in this run: no answer within 20ms"},
		{"not while it only has nothing", nil, RemoteOptions{ReadOnly: true}, 20, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := newShelf(t)
			s.breaks(test.fault)
			remote := openRemote(t, s.URL, test.o)
			many(t, remote, 20)
			if got := s.count("GET"); got != test.gets {
				t.Errorf("it was asked %d times, want %d", got, test.gets)
			}
			if got := remote.Report(); got != test.report && got != "Remote cache "+s.URL+": "+test.report {
				t.Errorf("report %q, want %q", got, test.report)
			}
		})
	}
}

// A server that has nothing, and takes long to say so, only costs time.
func TestRemoteThatIsSlowToHaveNothing(t *testing.T) {
	s := newShelf(t)
	remote := openRemote(t, s.URL, RemoteOptions{ReadOnly: true, Timeout: time.Minute})
	clock := time.Unix(0, 0)
	remote.now = func() time.Time { clock = clock.Add(16 * time.Second); return clock }
	many(t, remote, 20)
	if got := s.count("GET"); got != remoteFailures || !strings.HasSuffix(remote.Report(), "it takes 16s to say that it has nothing") {
		t.Errorf("it was asked %d times: %s", got, remote.Report())
	}
}

// One that may be read but not written is still read.
func TestRemoteThatTakesNothing(t *testing.T) {
	for _, code := range []int{401, 403, 405} {
		s := newShelf(t)
		s.breaks(func(w http.ResponseWriter, q *http.Request, _ *shelf) bool {
			if q.Method == http.MethodPut {
				w.WriteHeader(code)
			}
			return q.Method == http.MethodPut
		})
		remote := openRemote(t, s.URL, RemoteOptions{})
		many(t, remote, 30)
		if got := s.count("GET"); got != 30 || s.count("PUT") > remoteUploads+1 ||
			!strings.Contains(remote.Report(), fmt.Sprintf("it takes none from here: it answers %d", code)) {
			t.Errorf("%d: %d GET, %d PUT: %s", code, got, s.count("PUT"), remote.Report())
		}
	}
}

func TestRemoteRedirectIsNotFollowed(t *testing.T) {
	var stolen []string
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, q *http.Request) {
		stolen = append(stolen, q.Method+" "+q.Header.Get("Authorization"))
	}))
	defer elsewhere.Close()
	for _, code := range []int{301, 302, 307, 308} {
		s := newShelf(t)
		s.breaks(func(w http.ResponseWriter, q *http.Request, _ *shelf) bool {
			http.Redirect(w, q, elsewhere.URL+q.URL.Path, code)
			return true
		})
		if ran, states := runPair(t, openRemote(t, s.URL, RemoteOptions{Token: token}), Options{}, nil); ran != 2 || !slices.Equal(states, computed) {
			t.Errorf("%d: computed %d: %q", code, ran, states)
		}
	}
	if len(stolen) > 0 {
		t.Errorf("a redirect was followed: %q", stolen)
	}
}

func TestRemoteHugeValue(t *testing.T) {
	s := newShelf(t)
	value, _ := json.Marshal(strings.Repeat("x", maxRemoteValue))
	digest := digestValue(value).String()
	data, _ := json.Marshal(remoteEntry{Version: remoteVersion, Task: "h/eval", Key: digest, Digest: digest})
	s.held["/ac/"+digest], s.held["/cas/"+digest] = data, value
	remote := openRemote(t, s.URL, RemoteOptions{})
	if _, ok := remote.get(t.Context(), "h/eval", digest); ok {
		t.Error("a value above the bound was taken")
	}
	remote.put("h/eval", digest, value)
	remote.Close()
	if s.count("PUT") != 0 {
		t.Error("a value above the bound was sent")
	}
}

func TestRemoteAsksBeforeItSendsMuch(t *testing.T) {
	s := newShelf(t)
	value, _ := json.Marshal(strings.Repeat("x", headFirst))
	for _, key := range []string{digestValue([]byte("a")).String(), digestValue([]byte("b")).String()} {
		remote := openRemote(t, s.URL, RemoteOptions{})
		remote.put("h/eval", key, value)
		remote.Close()
		if got, ok := remote.get(t.Context(), "h/eval", key); ok {
			t.Errorf("a closed cache has %.10s", got)
		}
		if got, ok := openRemote(t, s.URL, RemoteOptions{}).get(t.Context(), "h/eval", key); !ok || !bytes.Equal(got, value) {
			t.Errorf("got %.10s, %v", got, ok)
		}
	}
	if s.count("HEAD") != 2 || s.count("PUT") != 3 {
		t.Errorf("asked %q", s.asked)
	}
}

// Close waits for what is on its way, but not for ever.
func TestRemoteCloseGivesUp(t *testing.T) {
	s := newShelf(t)
	s.breaks(hang)
	remote := openRemote(t, s.URL, RemoteOptions{Timeout: 50 * time.Millisecond})
	for i := range 3 * remoteUploads {
		remote.put("h/eval", digestValue([]byte{byte(i)}).String(), json.RawMessage("1"))
	}
	remote.Close()
	if !strings.Contains(remote.Report(), "24 not sent") {
		t.Error(remote.Report())
	}
	remote.put("h/eval", digestValue(nil).String(), json.RawMessage("1")) // neither blocks nor panics
}

func TestRemoteToken(t *testing.T) {
	var mu sync.Mutex
	seen := map[string]bool{}
	s := newShelf(t)
	s.breaks(func(_ http.ResponseWriter, q *http.Request, _ *shelf) bool {
		mu.Lock()
		defer mu.Unlock()
		seen[q.Header.Get("Authorization")] = true
		return false
	})
	runPair(t, openRemote(t, s.URL, RemoteOptions{Token: token}), Options{}, nil)
	if diff := cmp.Diff(map[string]bool{"Bearer " + token: true}, seen); diff != "" {
		t.Error(diff)
	}
}

func TestOpenRemoteCache(t *testing.T) {
	for _, test := range []struct{ url, token, want string }{
		{"http://h", "", ""},
		{"https://h:8080/a/b/", token, ""},
		{"file:///etc", "", "want http://"},
		{"ftp://h", "", "want http://"},
		{"h:80", "", "want http://"},
		{"", "", "want http://"},
		{"http://", "", "want http://"},
		{"http://h/?token=" + token, "", "want http://"},
		{"http://h/#x", "", "want http://"},
		{"http://me:" + token + "@h", "", "holds a name or password"},
		{"http://me:" + token + "@h:x/", "", "is no URL"},
		{"http://h", token + "\n", "the token"},
		{"http://h", token + "ß", "the token"},
	} {
		c, err := OpenRemoteCache(test.url, RemoteOptions{Token: test.token})
		if test.want == "" {
			if err != nil {
				t.Errorf("%s: %v", test.url, err)
			}
			c.Close()
			continue
		}
		if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), token) {
			t.Errorf("%s: %v, want words about %q, without the secret", test.url, err, test.want)
		}
	}
}

// TestRemoteNeverChangesARun: random graphs with failing tasks, against a
// server with any mix of faults, end as they do without one.
func TestRemoteNeverChangesARun(t *testing.T) {
	names := append(slices.Sorted(maps.Keys(faults)), "good", "good", "good")
	rapid.Check(t, func(t *rapid.T) {
		s := newShelf(t)
		turn := 0
		order := rapid.SliceOfN(rapid.SampledFrom(names), 1, 12).Draw(t, "faults")
		s.breaks(func(w http.ResponseWriter, q *http.Request, s *shelf) bool {
			s.mu.Lock()
			fault := faults[order[turn%len(order)]]
			turn++
			s.mu.Unlock()
			return fault != nil && fault(w, q, s)
		})
		w := drawWorld(t)
		var before []string
		for _, x := range w.tasks {
			x.afters, x.lasts = nil, nil // a result that is known asks for nothing that it comes after
			before = append(before, x.world)
		}
		end := func(remote *RemoteCache) []string {
			for i, x := range w.tasks {
				x.world = before[i]
			}
			cache, remove := tempCache(t)
			defer remove()
			w.deeds = map[string]int{} // the journal of intents is new, too
			o := w.options(t, cache)
			o.Remote = remote
			result, _ := w.graph().Run(context.Background(), o)
			remote.Close()
			if result == nil || len(w.broken) > 0 {
				t.Fatal("no result, or promises broken:", w.broken)
			}
			var all []string
			for i, x := range w.tasks {
				status := statuses[result.run.marks[i].status]
				if status == StatusCached {
					status = StatusRan
				}
				all = append(all, fmt.Sprint(x.name, " ", status, " ", valueOf(result, int32(i)), " ", x.world))
			}
			return all
		}
		want := end(nil)
		for range 3 { // a machine that fills the server, and two that may use it
			if diff := cmp.Diff(want, end(openRemote(t, s.URL, RemoteOptions{Token: token}))); diff != "" {
				t.Fatalf("with %q: %s", order, diff)
			}
		}
	})
}
