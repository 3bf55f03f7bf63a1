package graph

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"time"
)

// Kept is one result in the cache.
type Kept struct {
	Task  string // in what Prune removed, if it could be read
	Key   string
	Bytes int64     // on disk
	Used  time.Time // when it was written or last of use; exact to a day
}

// entryName is how a file of a result is called.
var entryName = regexp.MustCompile(`^([0-9a-f]{64})\.json$`)

// leftoverAge is when a file that is no entry was left behind by a process that
// was killed while it wrote.
const leftoverAge = 24 * time.Hour

// Entries lists the results in the cache, the least recently used first. They
// are counted, not read.
func (c *Cache) Entries() ([]Kept, error) {
	kept, _, err := c.list()
	return kept, err
}

// list also returns the paths of what processes that were killed left behind.
func (c *Cache) list() (kept []Kept, leftovers []string, err error) {
	err = filepath.WalkDir(filepath.Join(c.dir, "results"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return ignoreGone(err)
		}
		info, err := d.Info()
		if err != nil {
			return ignoreGone(err)
		}
		switch name := entryName.FindStringSubmatch(d.Name()); {
		case name != nil && path == c.path(name[1]):
			kept = append(kept, Kept{Key: name[1], Bytes: info.Size(), Used: info.ModTime()})
		case c.now().Sub(info.ModTime()) > leftoverAge:
			leftovers = append(leftovers, path)
		}
		return nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("list the cache: %w", err)
	}
	slices.SortFunc(kept, func(a, b Kept) int {
		return cmp.Or(a.Used.Compare(b.Used), cmp.Compare(a.Key, b.Key))
	})
	return kept, leftovers, nil
}

// ignoreGone: what another process removes meanwhile is not there, no more.
func ignoreGone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// PruneOptions say what may go. Both bounds hold.
type PruneOptions struct {
	OlderThan time.Duration   // what was of no use for longer goes
	MaxSize   int64           // bytes; then what was least recently used goes until so much is left
	Keep      map[string]bool // keys whose results stay, even if the rest is too big
	Dry       bool            // only say what would go
}

// Prune removes results, the least recently used first, and returns what went
// (in a dry run: would go) and what stays. It needs no lock: a run that misses
// one computes it again.
func (c *Cache) Prune(o PruneOptions) (removed, left []Kept, err error) {
	kept, leftovers, err := c.list()
	if err != nil {
		return nil, nil, err
	}
	var size int64
	for _, k := range kept {
		size += k.Bytes
	}
	var errs []error
	remove := func(path string) bool {
		if o.Dry {
			return true
		}
		err := ignoreGone(os.Remove(path))
		errs = append(errs, err)
		return err == nil
	}
	for _, path := range leftovers {
		remove(path)
	}
	for _, k := range kept {
		old, full := c.now().Sub(k.Used) > o.OlderThan, size > o.MaxSize
		if o.Keep[k.Key] || !old && !full {
			left = append(left, k)
			continue
		}
		k.Task = c.taskOf(k.Key)
		if !remove(c.path(k.Key)) {
			left = append(left, k)
			continue
		}
		removed = append(removed, k)
		size -= k.Bytes
	}
	if err := errors.Join(errs...); err != nil {
		return removed, left, fmt.Errorf("prune the cache: %w", err)
	}
	return removed, left, nil
}

// taskOf reads whose result an entry is; "" if it is damaged.
func (c *Cache) taskOf(key string) string {
	var e entry
	data, err := os.ReadFile(c.path(key))
	if err != nil || json.Unmarshal(data, &e) != nil {
		return ""
	}
	return e.Task
}
