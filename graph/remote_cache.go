package graph

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// RemoteCache shares results of pure tasks between machines, over the plain
// HTTP protocol of bazel-remote, which nginx with its dav module speaks too:
// GET, PUT and HEAD of URL/ac/KEY (what the result of a key is) and of
// URL/cas/SHA256 (its value).
//
//	remote, err := graph.OpenRemoteCache("https://cache.example.org", graph.RemoteOptions{Token: token})
//	result, err := g.Run(ctx, graph.Options{Cache: cache, Remote: remote})
//	remote.Close()
//	fmt.Fprintln(os.Stderr, remote.Report())
//
// It can only save time. A server that is down, slow or broken never fails a
// run: after 3 failures in a row, or one time-out, it is not asked again in
// this process. Nothing is believed that does not name the task, the key and
// the digest that it should.
//
// That guards against damage, not against malice: there are no signatures, so
// who can write this cache decides what is built and activated from it. Only
// hosts that may deploy the fleet may write; all others get ReadOnly here and
// no right to PUT there.
//
// It is safe for use by many goroutines; nil is a cache that has nothing.
type RemoteCache struct {
	base   string // without a slash at its end
	o      RemoteOptions
	client *http.Client
	now    func() time.Time

	life    context.Context // ends when it is switched off or closed
	end     context.CancelFunc
	uploads sync.WaitGroup
	slots   chan struct{} // one is held by each upload at work

	mu          sync.Mutex
	off         string // why nothing is asked any more
	closed      bool
	inRow       int // failures
	taken, sent int
	unsent      int    // uploads that Close did not wait for
	refused     string // why nothing is sent any more
}

// RemoteOptions say how a remote cache is used.
type RemoteOptions struct {
	Token    string        // sent as Authorization: Bearer; never in errors or reports
	ReadOnly bool          // take results, send none
	Timeout  time.Duration // of one look-up or one upload, with all its requests; 0 = 2 s
}

const (
	remoteFailures = 3 // in a row
	remoteUploads  = 8 // at once
)

// OpenRemoteCache checks the URL and asks nothing yet. Close must be called.
func OpenRemoteCache(address string, o RemoteOptions) (*RemoteCache, error) {
	u, err := url.Parse(address)
	switch {
	case err != nil: // it may hold a password: err is not told
		return nil, errors.New("the URL of the remote cache is no URL")
	case u.User != nil:
		return nil, errors.New("the URL of the remote cache holds a name or password, which would be shown: give a token instead")
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "":
		return nil, errors.New("the URL of the remote cache: want http://HOST/PATH or https://HOST/PATH, without ? and #")
	case strings.ContainsFunc(o.Token, func(r rune) bool { return r <= ' ' || r > '~' }):
		return nil, errors.New("the token of the remote cache holds a space, a line break or another character that no header takes")
	}
	if o.Timeout <= 0 {
		o.Timeout = 2 * time.Second
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 64
	transport.MaxResponseHeaderBytes = 64 << 10
	transport.DisableCompression = true // so that a body is as big as it says
	c := &RemoteCache{
		base: strings.TrimRight(u.String(), "/"), o: o, now: time.Now, slots: make(chan struct{}, remoteUploads),
		client: &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse // the token and our trust are for this server alone
		}},
	}
	c.life, c.end = context.WithCancel(context.Background())
	return c, nil
}

// get returns the value that the remote cache has for a key.
func (c *RemoteCache) get(ctx context.Context, task, key string) (json.RawMessage, bool) {
	if c == nil || c.life.Err() != nil {
		return nil, false
	}
	began := c.now()
	var value json.RawMessage
	err := c.within(ctx, func(ctx context.Context) (err error) {
		value, err = c.fetch(ctx, task, key)
		return err
	})
	c.judge(ctx, err, c.now().Sub(began))
	return value, err == nil
}

// put sends a result in the background; Close waits for it.
func (c *RemoteCache) put(task, key string, value json.RawMessage) {
	if c == nil || c.o.ReadOnly || len(value) > maxRemoteValue {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || c.life.Err() != nil || c.refused != "" {
		return
	}
	c.uploads.Go(func() { c.upload(task, key, value) })
}

func (c *RemoteCache) upload(task, key string, value json.RawMessage) {
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	case <-c.life.Done():
	}
	ok := c.takes()
	if ok {
		err := c.within(c.life, func(ctx context.Context) error { return c.send(ctx, task, key, value) })
		c.judge(c.life, err, 0)
		ok = err == nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if ok {
		c.sent++
	} else {
		c.unsent++
	}
}

// within bounds one look-up or upload by its time and by the cache's life.
func (c *RemoteCache) within(ctx context.Context, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, c.o.Timeout)
	defer cancel()
	defer context.AfterFunc(c.life, cancel)()
	err := f(ctx)
	if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return errRemoteTimeout
	}
	return err
}

var (
	errRemoteMissing = errors.New("it is not there")
	errRemoteTimeout = errors.New("no answer in time")
)

// refusedError is an answer that will be the same for each upload.
type refusedError struct{ error }

// judge counts failures. A server that takes long to say that it has nothing
// costs a run as much as one that fails.
func (c *RemoteCache) judge(asked context.Context, err error, took time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.life.Err() != nil || asked.Err() != nil { // stopped by us: that tells nothing of the server
		return
	}
	refused, isRefused := errors.AsType[refusedError](err)
	switch {
	case err == nil || errors.Is(err, errRemoteMissing) && took <= c.o.Timeout/4:
		c.inRow = 0
		return
	case isRefused:
		c.refused = refused.Error()
		return
	case errors.Is(err, errRemoteMissing):
		err = fmt.Errorf("it takes %s to say that it has nothing", took.Round(time.Millisecond))
	case errors.Is(err, errRemoteTimeout):
		err = fmt.Errorf("no answer within %s", c.o.Timeout)
		c.inRow = remoteFailures
	}
	if c.inRow++; c.inRow >= remoteFailures {
		c.off = err.Error()
		c.end()
	}
}

// takes says whether an upload is worth its while.
func (c *RemoteCache) takes() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.life.Err() == nil && c.refused == ""
}

// tookOne counts a result that was of use here.
func (c *RemoteCache) tookOne() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.taken++
}

// Close gives uploads one Timeout to end, and gives up the rest. Afterwards
// the cache has nothing and takes nothing.
func (c *RemoteCache) Close() {
	if c == nil {
		return
	}
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	late := time.AfterFunc(c.o.Timeout, c.end)
	c.uploads.Wait()
	late.Stop()
	c.end()
	c.client.CloseIdleConnections()
}

// Report says in one line what the cache was good for and what was wrong with
// it; "" if nothing was asked of it or all it had was nothing.
func (c *RemoteCache) Report() string {
	if c == nil {
		return ""
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	var said []string
	if c.taken+c.sent > 0 {
		said = append(said, fmt.Sprintf("%d results taken, %d sent", c.taken, c.sent))
	}
	if c.refused != "" {
		said = append(said, "it takes none from here: "+c.refused)
	}
	if c.off != "" {
		said = append(said, "not asked again in this run: "+c.off)
	}
	if c.unsent > 0 && c.refused == "" {
		said = append(said, fmt.Sprintf("%d not sent", c.unsent))
	}
	if len(said) == 0 {
		return ""
	}
	return "Remote cache " + c.base + ": " + strings.Join(said, "; ")
}

// fetched looks whether another machine has computed a pure task's result. One
// that cannot be used here is as good as none: it is computed as without.
func (r *run) fetched(ctx context.Context, t *Task, out *outcome) bool {
	if len(t.makes) > 0 {
		return false // files are not shared
	}
	raw, ok := r.o.Remote.get(ctx, t.name, out.key)
	if !ok || out.accept(t, raw) != nil {
		return false
	}
	r.o.Remote.tookOne()
	if !r.o.Dry {
		// One that cannot be kept is asked for again.
		r.o.Cache.put(t.name, out.key, out.raw)
		last, _ := r.o.Cache.lastOf(t.name)
		r.o.Cache.remember(t.name, lastRun{Record: out.record, Seconds: last.Seconds})
	}
	return true
}

// accept takes a value from a cache, if it can be used.
func (o *outcome) accept(t *Task, raw json.RawMessage) error {
	value, err := t.work.decode(raw)
	if err == nil && t.work.valid != nil {
		err = t.work.valid(value)
	}
	if err != nil {
		return err
	}
	if raw, err = encodeValue(value); err != nil {
		return err
	}
	o.done, o.value, o.raw = true, value, raw
	return nil
}
