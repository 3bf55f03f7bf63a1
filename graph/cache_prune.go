package graph

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Kept is one result in the cache.
type Kept struct {
	Task  string
	Key   string
	Bytes int64     // on disk
	Used  time.Time // when it was computed or last of use; exact to a day

	at int64
}

// Entries lists the results in the cache, the least recently used first.
func (c *Cache) Entries() ([]Kept, error) {
	if err := c.refresh(); err != nil {
		return nil, fmt.Errorf("list the cache: %w", err)
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.entries(), nil
}

func (c *Cache) entries() []Kept {
	var kept []Kept
	for _, row := range c.keyRows() {
		e, ok := c.journal.at(row.at)
		if !ok || e.kind != recordSuccess || len(e.value) == 0 {
			continue
		}
		kept = append(kept, Kept{
			Task: string(e.task), Key: e.key.String(), Bytes: int64(e.size()),
			Used: time.Unix(max(e.time, int64(row.used)*3600), 0), at: row.at,
		})
	}
	slices.SortFunc(kept, func(a, b Kept) int {
		return cmp.Or(a.Used.Compare(b.Used), cmp.Compare(a.Key, b.Key))
	})
	return kept
}

// PruneOptions say what may go. Both bounds hold.
type PruneOptions struct {
	OlderThan time.Duration   // what was of no use for longer goes
	MaxSize   int64           // bytes; then what was least recently used goes until so much is left
	Keep      map[string]bool // keys whose results stay, even if the rest is too big
	Dry       bool            // only say what would go
}

// Prune removes results, the least recently used first, and returns what went
// (in a dry run: would go) and what stays. A run that is at work meanwhile, and
// misses one, computes it again; what it keeps may be lost, which costs the
// same.
func (c *Cache) Prune(o PruneOptions) (removed, left []Kept, err error) {
	if err := c.refresh(); err != nil {
		return nil, nil, fmt.Errorf("prune the cache: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	kept := c.entries()
	var size int64
	for _, k := range kept {
		size += k.Bytes
	}
	for _, k := range kept {
		old, full := c.now().Sub(k.Used) > o.OlderThan, size > o.MaxSize
		if o.Keep[k.Key] || !old && !full {
			left = append(left, k)
			continue
		}
		removed = append(removed, k)
		size -= k.Bytes
	}
	if o.Dry || c.journal == nil {
		return removed, left, nil
	}
	if err := c.rewrite(left); err != nil {
		return nil, kept, fmt.Errorf("prune the cache: %w", err)
	}
	return removed, left, nil
}

// rewrite puts a journal in place that has only these results, and what each
// task and file was last.
func (c *Cache) rewrite(left []Kept) error {
	unlock, err := c.lock()
	if err != nil {
		return err
	}
	defer unlock()
	next, err := beginJournal(filepath.Join(c.dir, "journal.new"))
	if err != nil {
		return err
	}
	defer next.close()
	stays := map[int64]bool{}
	for _, k := range left {
		stays[k.at] = true
	}
	var buf []byte
	write := func(e entry, atLeast int) {
		if buf = e.appendTo(buf); len(buf) >= atLeast {
			err = errors.Join(err, next.append(buf))
			buf = buf[:0]
		}
	}
	_, _, errScan := c.journal.scan(int64(journalHeader), func(at int64, _ int, e entry) {
		switch {
		case e.kind != recordSuccess || stays[at]:
			write(e, 1<<20)
		case c.isLast(e.task, at): // why it ran last can still be told
			e.value, e.state = nil, sum{}
			write(e, 1<<20)
		}
	})
	if len(buf) > 0 {
		err = errors.Join(err, next.append(buf))
	}
	if err = errors.Join(errScan, err); err == nil {
		err = os.Rename(next.file.Name(), c.journalPath())
	}
	if err != nil {
		return errors.Join(err, os.Remove(next.file.Name()))
	}
	c.removeLeftovers()
	return c.open()
}

func (c *Cache) isLast(task []byte, at int64) bool {
	guess := -1
	row, ok := c.task(task, &guess)
	return ok && row.at == at
}

// leftoverAge is when a file with a name of its own was left behind by a
// process that was killed while it wrote.
const leftoverAge = 24 * time.Hour

func (c *Cache) removeLeftovers() {
	entries, _ := os.ReadDir(c.dir)
	for _, e := range entries {
		info, err := e.Info()
		ours := strings.HasPrefix(e.Name(), ".columns-") || strings.HasPrefix(e.Name(), ".journal-")
		if err == nil && ours && c.now().Sub(info.ModTime()) > leftoverAge {
			os.Remove(filepath.Join(c.dir, e.Name())) // else it is there the next time
		}
	}
}
