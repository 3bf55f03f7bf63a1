package graph

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
)

const (
	maxRemoteValue  = 16 << 20 // bytes of a value
	maxRemoteRecord = 64 << 10 // bytes of what /ac/KEY holds
	maxRemoteAnswer = 4 << 10  // bytes read of an answer that tells nothing, to use its connection again
	headFirst       = 16 << 10 // bytes of a value that is worth a question before it is sent
)

// remoteEntry is what /ac/KEY holds. Task and Key are there to notice an answer
// that does not belong to the question.
type remoteEntry struct {
	Version int    `json:"version"`
	Task    string `json:"task"`
	Key     string `json:"key"`
	Digest  string `json:"digest"` // of the value
}

const remoteVersion = 1

// parseRemoteEntry reads the entry of a task's key; anything else is as good as none.
func parseRemoteEntry(data []byte, task, key string) (remoteEntry, bool) {
	var e remoteEntry
	if json.Unmarshal(data, &e) != nil || e.Version != remoteVersion || e.Task != task || e.Key != key {
		return remoteEntry{}, false
	}
	return e, true
}

// fetch asks for the entry of a key and then for its value.
func (c *RemoteCache) fetch(ctx context.Context, task, key string) (json.RawMessage, error) {
	data, err := c.load(ctx, "/ac/"+key, maxRemoteRecord)
	if err != nil {
		return nil, err
	}
	e, ok := parseRemoteEntry(data, task, key)
	if !ok || !isDigest(e.Digest) {
		return nil, errors.New("what it has is no result of this task for this key")
	}
	value, err := c.load(ctx, "/cas/"+e.Digest, maxRemoteValue)
	if err != nil { // missing too: the server has thrown it away
		return nil, err
	}
	if digestValue(value).String() != e.Digest || !json.Valid(value) {
		return nil, errors.New("a value is not what its digest says")
	}
	return value, nil
}

// send sends the value before the entry that names it: nobody finds an entry
// whose value is still on its way.
func (c *RemoteCache) send(ctx context.Context, task, key string, value json.RawMessage) error {
	digest := digestValue(value).String()
	data, err := json.Marshal(remoteEntry{Version: remoteVersion, Task: task, Key: key, Digest: digest})
	if err != nil {
		return err
	}
	if len(value) < headFirst || c.has(ctx, "/cas/"+digest) != nil {
		if err := c.store(ctx, "/cas/"+digest, value); err != nil {
			return err
		}
	}
	return c.store(ctx, "/ac/"+key, data)
}

func (c *RemoteCache) load(ctx context.Context, path string, limit int64) ([]byte, error) {
	answer, err := c.ask(ctx, http.MethodGet, path, nil)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode == http.StatusNotFound {
		drain(answer.Body)
		return nil, errRemoteMissing
	}
	if answer.StatusCode != http.StatusOK {
		return nil, statusError(answer)
	}
	data, err := io.ReadAll(io.LimitReader(answer.Body, limit+1))
	if err != nil {
		return nil, plainError(err)
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("an answer is bigger than %d KiB", limit>>10)
	}
	return data, nil
}

func (c *RemoteCache) has(ctx context.Context, path string) error {
	answer, err := c.ask(ctx, http.MethodHead, path, nil)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return statusError(answer)
	}
	return nil
}

func (c *RemoteCache) store(ctx context.Context, path string, data []byte) error {
	answer, err := c.ask(ctx, http.MethodPut, path, data)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	drain(answer.Body)
	switch code := answer.StatusCode; {
	case code >= 200 && code < 300:
		return nil
	case code == http.StatusUnauthorized, code == http.StatusForbidden, code == http.StatusMethodNotAllowed:
		return refusedError{statusError(answer)}
	}
	return statusError(answer)
}

// drain reads what is left of a small answer, so that its connection is free.
func drain(body io.Reader) { io.CopyN(io.Discard, body, maxRemoteAnswer) }

func (c *RemoteCache) ask(ctx context.Context, method, path string, data []byte) (*http.Response, error) {
	var body io.Reader
	if data != nil {
		body = bytes.NewReader(data)
	}
	request, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return nil, plainError(err)
	}
	request.Header.Set("User-Agent", "roost")
	if data != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	if c.o.Token != "" {
		request.Header.Set("Authorization", "Bearer "+c.o.Token)
	}
	answer, err := c.client.Do(request)
	if err != nil {
		return nil, plainError(err)
	}
	return answer, nil
}

// plainError leaves out the URL: the report names the server once.
func plainError(err error) error {
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		return wrapped.Err
	}
	return err
}

// statusError says the code alone: the rest of an answer is the server's own words.
func statusError(answer *http.Response) error {
	return fmt.Errorf("it answers %d %s", answer.StatusCode, http.StatusText(answer.StatusCode))
}
