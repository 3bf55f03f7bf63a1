package graph

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/google/renameio/v2"
)

// Cache keeps the results of pure tasks by key, one file an entry, so that
// several runs may share it; and, in one file, what each task did when it last
// ran, for reasons and for durations. Damage is never an error: what cannot be
// read is computed again. It is safe for use by many goroutines.
type Cache struct {
	dir string
	now func() time.Time

	mu    sync.Mutex
	last  map[string]lastRun
	fresh map[string]bool // tasks whose last is not on disk yet
}

// lastRun is what is remembered of a task's last success.
type lastRun struct {
	Record  record  `json:"record,omitempty"`
	Before  record  `json:"before,omitempty"` // of the success before, if it differs
	Seconds float64 `json:"seconds"`
	// Used is what it took of measured pools.
	Used map[string]int `json:"used,omitempty"`
	// Made are the digests of the files that it made.
	Made map[string]string `json:"made,omitempty"`
}

// entry is one cached result. Task and Key are kept to notice a file that does
// not belong where it lies. A remote cache holds the value apart.
type entry struct {
	Version int             `json:"version"`
	Task    string          `json:"task"`
	Key     string          `json:"key"`
	Value   json.RawMessage `json:"value,omitempty"`
	Digest  string          `json:"digest"` // of Value
}

// parseEntry reads the entry of a task's key; anything else is as good as none.
func parseEntry(data []byte, task, key string) (entry, bool) {
	var e entry
	if json.Unmarshal(data, &e) != nil || e.Version != cacheVersion || e.Task != task || e.Key != key {
		return entry{}, false
	}
	return e, true
}

const cacheVersion = 1

type lastFile struct {
	Version int                `json:"version"`
	Tasks   map[string]lastRun `json:"tasks"`
}

// OpenCache opens the cache in a folder, which is made (0700) when something is
// first kept.
func OpenCache(dir string) (*Cache, error) {
	c := &Cache{dir: dir, now: time.Now, fresh: map[string]bool{}}
	var err error
	if c.last, err = c.readLast(); err != nil {
		return nil, fmt.Errorf("open the cache: %w", err)
	}
	return c, nil
}

func (c *Cache) readLast() (map[string]lastRun, error) {
	data, err := os.ReadFile(c.lastPath())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var f lastFile
	if json.Unmarshal(data, &f) != nil || f.Version != cacheVersion || f.Tasks == nil {
		return map[string]lastRun{}, nil
	}
	return f.Tasks, nil
}

// Save writes what tasks did last, into what another process may have written
// since. Results are on disk already.
func (c *Cache) Save() error {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.fresh) == 0 {
		return nil
	}
	all, err := c.readLast()
	if err != nil {
		return fmt.Errorf("save the cache: %w", err)
	}
	for task := range c.fresh {
		all[task] = c.last[task]
	}
	data, err := json.Marshal(lastFile{cacheVersion, all})
	if err != nil {
		return err
	}
	if err := os.MkdirAll(c.dir, 0o700); err != nil {
		return fmt.Errorf("save the cache: %w", err)
	}
	if err := renameio.WriteFile(c.lastPath(), data, 0o600); err != nil {
		return fmt.Errorf("save the cache: %w", err)
	}
	clear(c.fresh)
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
	e, ok := parseEntry(data, task, key)
	if !ok || digestValue(e.Value) != e.Digest {
		return nil, false
	}
	return e.Value, true
}

// used notes that the result of a key was of use, which keeps it from being
// pruned. The note is the file's mtime; once a day is enough.
func (c *Cache) used(key string) {
	if c == nil {
		return
	}
	info, err := os.Stat(c.path(key))
	if now := c.now(); err == nil && now.Sub(info.ModTime()) >= 24*time.Hour {
		os.Chtimes(c.path(key), now, now) // not ours to write: then it only looks older than it is
	}
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
	if err := writeWhole(path, data); err != nil {
		return fmt.Errorf("keep the result in the cache: %w", err)
	}
	return nil
}

// writeWhole writes a file whole or not at all, but does not wait for the disk:
// an entry that a power cut has damaged is noticed by its digest, and computed
// again.
func writeWhole(path string, data []byte) error {
	f, err := renameio.NewPendingFile(path, renameio.WithPermissions(0o600), renameio.WithTempDir(filepath.Dir(path)))
	if err != nil {
		return err
	}
	defer f.Cleanup()
	if _, err := f.Write(data); err != nil {
		return err
	}
	if err := f.File.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
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
	before := c.last[task]
	if l.Before = before.Record; slices.Equal(l.Record, before.Record) {
		l.Before = before.Before
	}
	c.last[task] = l
	c.fresh[task] = true
}
