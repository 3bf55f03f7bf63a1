package graph

import (
	"encoding/hex"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
)

// Recorded is the record of a pure task's last success: all that its key is
// made of.
type Recorded struct {
	Key     string   // "" if it is not pure, or if its record is lost
	Lines   []string // canonical; Key is the hash of them
	Words   []string // the same in words, line by line
	Seconds float64
}

// Recorded returns what the last success of a task depended on. A task that is
// not pure has a success, but no lines and no key.
func (c *Cache) Recorded(task string) (Recorded, bool) {
	last, ok := c.lastOf(task)
	r := Recorded{Seconds: float64(last.seconds)}
	if lines := c.textOf(task, last.at); len(lines) > 0 {
		r.Key, r.Lines = lines.key().String(), lines
	}
	for _, l := range r.Lines {
		r.Words = append(r.Words, words(l))
	}
	return r, ok
}

// Tasks returns the names of all tasks with a recorded success, sorted.
func (c *Cache) Tasks() []string {
	c.mu.RLock()
	defer c.mu.RUnlock()
	names := make([]string, 0, c.index.tasks+c.tail.tasks.len())
	for i := range c.index.tasks {
		names = append(names, string(c.index.name(i)))
	}
	for id := range int32(c.tail.tasks.len()) {
		if c.tail.rows[id].at != 0 {
			names = append(names, string(c.tail.tasks.bytes(id)))
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// words says a line of a record in words. A line of another form is told as it is.
func words(l string) string {
	head, rest, _ := strings.Cut(l, ` "`)
	quotedName, errName := strconv.QuotedPrefix(`"` + rest)
	name, _ := strconv.Unquote(quotedName)
	quotedText, found := strings.CutPrefix(`"`+rest, quotedName+" = ")
	text, errText := strconv.Unquote(quotedText)
	if errName != nil || !found || errText != nil {
		return l
	}
	switch head {
	case "form":
		return "the form of this record: " + name
	case "task":
		return "the task: " + name
	case "code version":
		return "roost's own code for this task: version " + text
	case "value":
		return "the value " + strconv.Quote(name) + ": " + strconv.Quote(text)
	case "file":
		if !strings.ContainsAny(text, " ") && text != "missing" {
			text = "sha256 " + text
		}
		return "the file " + name + ": " + text
	case "input":
		return "the result of " + name + ": sha256 " + text
	case "makes":
		return "the file that it makes: " + name
	}
	return l
}

// ResultState says how the result for a key is.
type ResultState string

// The states of a result.
const (
	ResultKept    ResultState = "kept"    // it is in the cache and can be read
	ResultMissing ResultState = "missing" // pruned, or never kept here
	ResultDamaged ResultState = "damaged" // it will be computed again
)

// State says whether the result of a task for a key is in the cache and whole.
func (c *Cache) State(task, key string) ResultState {
	var k digest
	if n, err := hex.Decode(k[:], []byte(key)); err != nil || n != len(k) || len(key) != hex.EncodedLen(len(k)) {
		return ResultMissing
	}
	if e, ok := c.result(task, k); ok && json.Valid(e.value) {
		return ResultKept
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.claims(task, k) {
		return ResultDamaged
	}
	return ResultMissing
}

// isDigest says whether a text is a digest or a key: 64 hexadecimal digits.
func isDigest(s string) bool { return len(s) == 64 && strings.Trim(s, "0123456789abcdef") == "" }
