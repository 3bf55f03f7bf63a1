package graph

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"
)

// The file of intents begins with a line that says its form. Then each entry is
// a line: the CRC-32 of its text in eight hexadecimal digits, a space, the text.
// The text is a JSON object, so it holds no newline, and a person can read it.
const intentsHeader = "roost-intents 1\n"

const crcWidth = len("01234567 ")

// intentBegin is the What of an intent. That of an end is the deed's new state.
const intentBegin = "begin"

// intentEntry is one line of the journal.
type intentEntry struct {
	What   string          `json:"what"`
	Task   string          `json:"task"`
	Key    string          `json:"key"`
	Run    string          `json:"run,omitempty"`
	Time   time.Time       `json:"time"`
	Record record          `json:"record,omitempty"` // of an intent: Key is its hash
	By     string          `json:"by,omitempty"`
	Why    string          `json:"why,omitempty"`
	Value  json.RawMessage `json:"result,omitempty"`
}

func (e intentEntry) line() ([]byte, error) {
	text, err := json.Marshal(e)
	if err != nil {
		return nil, err
	}
	return fmt.Appendf(nil, "%s %s\n", checkSum(text), text), nil
}

func checkSum(text []byte) string { return fmt.Sprintf("%08x", crc32.ChecksumIEEE(text)) }

// parseIntent reads a line without its newline.
func parseIntent(line []byte) (e intentEntry, err error) {
	if len(line) < crcWidth || line[crcWidth-1] != ' ' {
		return e, errors.New("it is not in the form of an intent")
	}
	text := line[crcWidth:]
	if string(line[:crcWidth-1]) != checkSum(text) {
		return e, errors.New("its check sum does not fit its text")
	}
	if err := json.Unmarshal(text, &e); err != nil {
		return e, err
	}
	switch {
	case !isDigest(e.Key):
		return e, errors.New("it has no key")
	case e.What != intentBegin && e.What != string(DeedDone) && e.What != string(DeedUndone):
		return e, fmt.Errorf("it says %q, which this roost does not know", e.What)
	case e.What == intentBegin && e.Record.key().String() != e.Key:
		return e, errors.New("its key is not that of its record")
	}
	return e, nil
}

// IntentsDamagedError says that the journal of intents cannot be believed.
type IntentsDamagedError struct {
	Path string
	Line int
	Err  error
}

func (e *IntentsDamagedError) Error() string {
	return fmt.Sprintf("the journal of once-only deeds is damaged: %s:%d: %v\n"+
		"  What it said is not guessed at: a deed could be done twice. Put the file back from a backup; or read that line,\n"+
		"  delete it, and settle what it was about: roost intents, roost intents:settle. Without the file nothing counts as done.",
		e.Path, e.Line, e.Err)
}

func (e *IntentsDamagedError) Unwrap() error { return e.Err }

// OpenIntents reads the journal in a file, which is made (0600, its folder 0700)
// when the first intent is written. A last line that was cut off, as by a power
// cut, is left out, and cut off by the next write: it was being written, so
// nothing was done on it yet. Any other damage is an *IntentsDamagedError.
func OpenIntents(path string) (*Intents, error) {
	i := newIntents(path)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return i, nil
	}
	lock := flock.New(path, flock.SetFlag(os.O_RDONLY))
	if err := lock.RLock(); err != nil {
		return nil, fmt.Errorf("open the journal of intents: %w", err)
	}
	data, err := os.ReadFile(path)
	if err := errors.Join(err, lock.Close()); err != nil {
		return nil, fmt.Errorf("open the journal of intents: %w", err)
	}
	i.torn, err = i.read(data)
	return i, err
}

func newIntents(path string) *Intents { return &Intents{path: path, deeds: map[deedID]*Deed{}} }

// Torn says in words that the end of the journal was cut off when it was
// opened; empty if it was not.
func (i *Intents) Torn() string {
	if i.torn == 0 {
		return ""
	}
	return fmt.Sprintf("The last line of %s was cut off (%d bytes), as by a power cut; it is left out. What it was about is unknown or never began: roost intents.", i.path, i.torn)
}

// read takes in what stands behind the entries read so far. It returns how many
// bytes are left over: a line that was cut off.
func (i *Intents) read(data []byte) (torn int64, err error) {
	damaged := func(err error) error { return &IntentsDamagedError{i.path, i.lines + 1, err} }
	if i.good == 0 {
		rest, ok := bytes.CutPrefix(data, []byte(intentsHeader))
		switch {
		case ok:
			i.good, i.lines, data = int64(len(intentsHeader)), 1, rest
		case bytes.HasPrefix([]byte(intentsHeader), data):
			return int64(len(data)), nil
		default:
			return 0, damaged(fmt.Errorf("it does not begin with %q: another version wrote it, or it is damaged", intentsHeader))
		}
	}
	for {
		line, rest, whole := bytes.Cut(data, []byte("\n"))
		if !whole && !isCutOff(line) {
			return 0, damaged(errors.New("it does not end where its text ends"))
		}
		if !whole {
			return int64(len(line)), nil
		}
		e, err := parseIntent(line)
		if err != nil {
			return 0, damaged(err)
		}
		i.take(e)
		i.good, i.lines, data = i.good+int64(len(line))+1, i.lines+1, rest
	}
}

// isCutOff tells a line that was cut off from a whole one that has lost its
// newline and goes on.
func isCutOff(line []byte) bool {
	if len(line) < crcWidth {
		return true
	}
	var text json.RawMessage
	d := json.NewDecoder(bytes.NewReader(line[crcWidth:]))
	if d.Decode(&text) != nil {
		return true
	}
	end := crcWidth + int(d.InputOffset())
	_, err := parseIntent(line[:end])
	return end == len(line) || err != nil
}

// append writes an entry and waits for the disk, if may, which is asked under
// the lock with what is known of the deed by then, lets it.
func (i *Intents) append(e intentEntry, may func(*Deed) error) (err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.broken != nil {
		return i.broken
	}
	e.Time = e.Time.UTC()
	line, err := e.line()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(i.path), 0o700); err != nil {
		return err
	}
	lock := flock.New(i.path, flock.SetFlag(os.O_CREATE|os.O_RDWR), flock.SetPermissions(0o600))
	if err := lock.Lock(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	f, err := os.OpenFile(i.path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := i.catchUp(f); err != nil {
		return err
	}
	if may != nil {
		if err := may(i.deeds[deedID{e.Task, e.Key}]); err != nil {
			return err
		}
	}
	if i.good == 0 {
		line = append([]byte(intentsHeader), line...)
	}
	if err := i.write(f, line); err != nil {
		// What is on disk now is not known: it is read again by the next process.
		i.broken = fmt.Errorf("the journal of intents could not be written: %w", err)
		return i.broken
	}
	_, err = i.read(line)
	return err
}

// catchUp reads what other processes have written since.
func (i *Intents) catchUp(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.Size() < i.good {
		return &IntentsDamagedError{i.path, i.lines, errors.New("the file is shorter than it was")}
	}
	data := make([]byte, info.Size()-i.good)
	if _, err := f.ReadAt(data, i.good); err != nil && err != io.EOF {
		return err
	}
	_, err = i.read(data)
	return err
}

// write puts lines behind the good ones, in place of what was cut off there. In
// a new file the folder is synced too, or a power cut would take the file away.
func (i *Intents) write(f *os.File, lines []byte) error {
	if err := f.Truncate(i.good); err != nil {
		return err
	}
	if _, err := f.WriteAt(lines, i.good); err != nil {
		return errors.Join(err, f.Truncate(i.good))
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if i.good > 0 {
		return nil
	}
	dir, err := os.Open(filepath.Dir(i.path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
