package graph

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/google/renameio/v2"
)

// Cache keeps the results of pure tasks by key, one file an entry, so that
// several runs may share it; and, in one file, what each task did when it last
// ran, for reasons and for durations. Damage is never an error: what cannot be
// read is computed again. It is safe for use by many goroutines.
type Cache struct {
	dir string

	mu    sync.Mutex
	last  map[string]lastRun
	dirty bool
}

// lastRun is what is remembered of a task's last success.
type lastRun struct {
	Record  record  `json:"record,omitempty"`
	Seconds float64 `json:"seconds"`
}

// entry is one cached result. Task and Key are kept to notice a file that does
// not belong where it lies.
type entry struct {
	Version int             `json:"version"`
	Task    string          `json:"task"`
	Key     string          `json:"key"`
	Value   json.RawMessage `json:"value"`
	Digest  string          `json:"digest"` // of Value
}

const cacheVersion = 1

type lastFile struct {
	Version int                `json:"version"`
	Tasks   map[string]lastRun `json:"tasks"`
}

// OpenCache opens the cache in a folder, which is made (0700) when something is
// first kept.
func OpenCache(dir string) (*Cache, error) {
	c := &Cache{dir: dir, last: map[string]lastRun{}}
	data, err := os.ReadFile(c.lastPath())
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open the cache: %w", err)
	}
	var f lastFile
	if json.Unmarshal(data, &f) == nil && f.Version == cacheVersion && f.Tasks != nil {
		c.last = f.Tasks
	}
	return c, nil
}

// Save writes what tasks did last. Results are on disk already.
func (c *Cache) Save() error {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.dirty {
		return nil
	}
	data, err := json.Marshal(lastFile{cacheVersion, c.last})
	if err != nil {
		return err
	}
	if err := os.MkdirAll(c.dir, 0o700); err != nil {
		return fmt.Errorf("save the cache: %w", err)
	}
	if err := renameio.WriteFile(c.lastPath(), data, 0o600); err != nil {
		return fmt.Errorf("save the cache: %w", err)
	}
	c.dirty = false
	return nil
}

func (c *Cache) lastPath() string { return filepath.Join(c.dir, "last.json") }

func (c *Cache) path(key string) string {
	return filepath.Join(c.dir, "results", key[:2], key+".json")
}

// get returns the value kept for a key. An entry that is damaged, or not what
// its name says, is as good as none.
func (c *Cache) get(task, key string) (json.RawMessage, bool) {
	if c == nil {
		return nil, false
	}
	data, err := os.ReadFile(c.path(key))
	if err != nil {
		return nil, false
	}
	var e entry
	if json.Unmarshal(data, &e) != nil || e.Version != cacheVersion || e.Task != task || e.Key != key ||
		digestValue(e.Value) != e.Digest {
		return nil, false
	}
	return e.Value, true
}

func (c *Cache) put(task, key string, value json.RawMessage) error {
	if c == nil {
		return nil
	}
	data, err := json.Marshal(entry{cacheVersion, task, key, value, digestValue(value)})
	if err != nil {
		return err
	}
	path := c.path(key)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("keep the result in the cache: %w", err)
	}
	if err := renameio.WriteFile(path, data, 0o600); err != nil {
		return fmt.Errorf("keep the result in the cache: %w", err)
	}
	return nil
}

func (c *Cache) lastOf(task string) (lastRun, bool) {
	if c == nil {
		return lastRun{}, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	l, ok := c.last[task]
	return l, ok
}

func (c *Cache) remember(task string, l lastRun) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last[task] = l
	c.dirty = true
}
