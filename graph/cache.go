package graph

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/gofrs/flock"
)

// Cache keeps the results of pure tasks by key, and what each task and file was
// when the task last succeeded. It is a folder with two files: a journal, to
// which each success is appended, and an index of it, which is mapped into
// memory and made anew when the journal has grown. So a run in which nothing has
// changed reads a few columns, and a run that is killed loses nothing.
//
// Several processes may share the folder. Damage is never an error: what cannot
// be read is computed again, and Damage says so. It is safe for use by many
// goroutines, but for Close.
type Cache struct {
	dir string
	now func() time.Time

	mu      sync.RWMutex
	journal *journal // nil: there is none yet
	index   *index
	tail    tail
	damage  []string
}

// taskRow is what is known of a task's last success.
type taskRow struct {
	state       sum
	key, digest digest // key is zero for tasks that are not pure
	at, before  int64  // where the journal has it, and the success before of another key; 0 = none
	seconds     float32
}

type fileRow struct {
	stamp   uint64
	content content
}

// OpenCache opens the cache in a folder, which is made (0700) when something is
// first kept. Close gives back its memory.
func OpenCache(dir string) (*Cache, error) {
	c := &Cache{dir: dir, now: time.Now}
	if err := c.open(); err != nil {
		return nil, fmt.Errorf("open the cache: %w", err)
	}
	return c, nil
}

func (c *Cache) journalPath() string { return filepath.Join(c.dir, "journal") }
func (c *Cache) indexPath() string   { return filepath.Join(c.dir, "index") }

// open opens journal and index as they are now, and reads what the index lacks.
func (c *Cache) open() (err error) {
	// Journal and index stay for the runs that read from them, until they are gone.
	c.journal, c.index, c.tail = nil, &index{}, tail{}
	if c.journal, err = openJournal(c.journalPath(), false); err != nil {
		return err
	}
	if c.journal == nil {
		if _, err := os.Stat(c.journalPath()); err == nil {
			c.say("its journal cannot be read, and is begun anew")
		}
		return nil
	}
	var damaged bool
	if c.index, damaged = openIndex(c.indexPath(), c.journal.id); damaged {
		c.say("its index was damaged, and is made anew")
	}
	if size, err := c.journal.size(); err != nil {
		return err
	} else if size < c.index.end {
		c.say("the end of its journal is lost")
		c.index = &index{journal: c.journal.id, end: int64(journalHeader)}
	}
	c.tail.end = c.index.end
	return c.readTail()
}

// Close gives back what the cache holds of memory and files. Results that were
// taken from it stay valid.
func (c *Cache) Close() {
	if c != nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.journal.close()
		c.journal, c.index, c.tail = nil, &index{}, tail{}
	}
}

func (c *Cache) say(damage string) { c.damage = append(c.damage, damage) }

// Damage says what was found damaged since the cache was opened; "" if nothing.
// All it costs is that some results are computed again.
func (c *Cache) Damage() string {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if len(c.damage) == 0 {
		return ""
	}
	return fmt.Sprintf("the cache in %s: %s; results that are lost are computed again", c.dir, strings.Join(c.damage, "; "))
}

// refresh takes in what was appended since, by this process or others.
func (c *Cache) refresh() error {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	here, errHere := os.Stat(c.journalPath())
	if c.journal != nil && errHere == nil {
		open, err := c.journal.file.Stat()
		if err == nil && os.SameFile(here, open) && open.Size() >= c.tail.end {
			return c.readTail()
		}
	}
	if c.journal == nil && errors.Is(errHere, os.ErrNotExist) {
		return nil
	}
	return c.open() // it was begun, pruned or cut
}

// readTail reads the journal from where it was read last.
func (c *Cache) readTail() error {
	end, damaged, err := c.journal.scan(c.tail.end, func(off int64, _ int, e entry) { c.tail.add(c.index, off, e) })
	c.tail.end = end
	c.tail.sort(c.index)
	if damaged {
		c.say("a part of its journal was damaged, and is skipped")
	}
	return err
}

func hours(unix int64) uint32 { return uint32(unix / 3600) }

func (x *index) row(i int) taskRow {
	return taskRow{x.states[i], x.taskKeys[i], x.digests[i], x.at[i], x.before[i], x.seconds[i]}
}

// task is the last success of a task. guess is the caller's place in the index.
func (c *Cache) task(name []byte, guess *int) (taskRow, bool) {
	if at := c.tail.findTask(name); at >= 0 {
		return c.tail.rows[at], true
	}
	if at := c.index.findTask(name, guess); at >= 0 {
		return c.index.row(at), true
	}
	return taskRow{}, false
}

// lastOf is the last success of a task.
func (c *Cache) lastOf(task string) (taskRow, bool) {
	if c == nil {
		return taskRow{}, false
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	guess := -1
	return c.task([]byte(task), &guess)
}

// textOf is the record of what a success depended on, if its journal entry is whole.
func (c *Cache) textOf(task string, at int64) record {
	if e, ok := c.entryAt(at); ok && string(e.task) == task && e.kind == recordSuccess {
		return parseRecord(e.text)
	}
	return nil
}

func (c *Cache) entryAt(at int64) (entry, bool) {
	if c == nil || at <= 0 {
		return entry{}, false
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.journal == nil {
		return entry{}, false
	}
	return c.journal.at(at)
}

// result is what the journal has for a key.
func (c *Cache) result(task string, key digest) (entry, bool) {
	if c == nil {
		return entry{}, false
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.journal == nil {
		return entry{}, false
	}
	if at := c.tail.findKey(key); at > 0 {
		if e, ok := c.resultAt(at, task, key); ok {
			return e, true
		}
	}
	for _, at := range c.index.findKey(key) {
		if e, ok := c.resultAt(at, task, key); ok {
			return e, true
		}
	}
	return entry{}, false
}

// claims says whether index or tail say that there is a result of a key.
func (c *Cache) claims(task string, key digest) bool {
	guess := -1
	row, ok := c.task([]byte(task), &guess)
	return ok && row.key == key && row.state != sum{} || c.tail.findKey(key) > 0 || len(c.index.findKey(key)) > 0
}

// heal reads the whole journal again if it has not what is claimed of it: else
// the task would count as done for ever, and its value were lost.
func (c *Cache) heal(task string, key digest) {
	if c == nil {
		return
	}
	c.mu.RLock()
	claimed := c.claims(task, key)
	c.mu.RUnlock()
	if !claimed {
		return
	}
	if _, ok := c.result(task, key); ok {
		return // somebody else has computed it since
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.journal == nil || !c.claims(task, key) {
		return // somebody has healed it
	}
	c.say("a result in its journal was damaged")
	c.index = &index{journal: c.journal.id, end: int64(journalHeader)}
	c.tail = tail{end: c.index.end}
	// What cannot be read now is computed again, and the next run is told why.
	_ = c.readTail()
}

func (c *Cache) resultAt(at int64, task string, key digest) (entry, bool) {
	e, ok := c.journal.at(at)
	return e, ok && e.kind == recordSuccess && e.key == key && string(e.task) == task && len(e.value) > 0
}

// append keeps entries, in one write.
func (c *Cache) append(entries ...entry) error {
	if c == nil || len(entries) == 0 {
		return nil
	}
	buf := frames.Get().(*[]byte)
	defer frames.Put(buf)
	*buf = (*buf)[:0]
	for i := range entries {
		entries[i].time = c.now().Unix()
		*buf = entries[i].appendTo(*buf)
	}
	err := c.begin()
	if err == nil {
		c.mu.RLock()
		err = c.journal.append(*buf)
		c.mu.RUnlock()
	}
	if err != nil {
		return fmt.Errorf("keep the result in the cache: %w", err)
	}
	return nil
}

var frames = sync.Pool{New: func() any { return new([]byte) }}

// begin makes sure that there is a journal to append to.
func (c *Cache) begin() (err error) {
	c.mu.RLock()
	there := c.journal != nil
	c.mu.RUnlock()
	if there {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.journal == nil {
		if c.journal, err = openJournal(c.journalPath(), true); err == nil {
			c.index = &index{journal: c.journal.id, end: int64(journalHeader)}
			c.tail.end = int64(journalHeader)
		}
	}
	return err
}

// timed keeps how long a task took that is not pure, if that is news.
func (c *Cache) timed(task string, seconds float64, used map[string]int) error {
	last, ok := c.lastOf(task)
	if ok && len(used) == 0 && math.Abs(seconds-float64(last.seconds)) < float64(last.seconds)/4+0.01 {
		return nil
	}
	return c.append(entry{kind: recordTiming, task: []byte(task), seconds: float32(seconds), used: used})
}

// lock excludes other processes that would replace the index or the journal.
func (c *Cache) lock() (unlock func(), err error) {
	if err := os.MkdirAll(c.dir, 0o700); err != nil {
		return nil, err
	}
	l := flock.New(filepath.Join(c.dir, "lock"), flock.SetPermissions(0o600))
	if err := l.Lock(); err != nil {
		return nil, err
	}
	return func() { l.Unlock() }, nil
}
