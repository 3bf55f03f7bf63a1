package graph

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"math"
	"os"
	"path/filepath"
)

// The journal of a cache is a file to which every run appends what succeeded,
// one write a success: a run that is killed loses nothing that had ended.
// Each record is framed by a mark, its length and a checksum, so that a torn or
// damaged one is noticed, and skipped; what it told is computed again.

const (
	journalMagic  = "roost-journal-1\n"
	journalHeader = len(journalMagic) + 8 // and a random id, by which an index knows its journal
	frameMagic    = "\x00roo"
	frameHeader   = len(frameMagic) + 8 // and length and checksum of what follows
	maxFrame      = 1 << 30
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// digest is a SHA-256.
type digest [32]byte

func (d digest) String() string { return hex.EncodeToString(d[:]) }

// sum is a quick hash for what is only compared on this machine.
type sum [16]byte

// The kinds of journal records.
const (
	recordSuccess = 'S' // a pure task's result, computed
	recordAgain   = 'A' // a pure task's result is again one that an older success had
	recordTiming  = 'T' // how long an effect or an observation took
	recordFile    = 'F' // what a file's content was, by what the file system said of it
)

// entry is a journal record of any kind; which fields count hangs on the kind.
type entry struct {
	kind    byte
	task    []byte
	key     digest
	digest  digest // of the result, with the files it made; or a file's content
	state   sum
	seconds float32
	time    int64 // Unix seconds
	used    map[string]int
	made    []content // what the files were that the task made
	value   []byte    // JSON; empty once it was pruned
	text    []byte    // the record of what the key is made of
	root    []byte
	file    []byte
	stamp   uint64
	content contentKind
}

func appendBytes(b, text []byte) []byte {
	return append(binary.AppendUvarint(b, uint64(len(text))), text...)
}

// appendTo appends the entry, framed.
func (e *entry) appendTo(b []byte) []byte {
	start := len(b)
	b = append(b, make([]byte, frameHeader)...)
	b = append(b, e.kind)
	switch e.kind {
	case recordFile:
		b = appendBytes(appendBytes(b, e.root), e.file)
		b = append(binary.LittleEndian.AppendUint64(b, e.stamp), byte(e.content))
		b = append(b, e.digest[:]...)
	default:
		b = appendBytes(b, e.task)
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(e.seconds))
		b = binary.AppendVarint(b, e.time)
		b = binary.AppendUvarint(b, uint64(len(e.used)))
		for pool, n := range e.used {
			b = binary.AppendVarint(appendBytes(b, []byte(pool)), int64(n))
		}
		if e.kind == recordTiming {
			break
		}
		b = append(append(append(b, e.key[:]...), e.digest[:]...), e.state[:]...)
		b = binary.AppendUvarint(b, uint64(len(e.made)))
		for _, m := range e.made {
			b = append(append(b, byte(m.kind)), m.digest[:]...)
		}
		if e.kind == recordSuccess {
			b = appendBytes(appendBytes(b, e.value), e.text)
		}
	}
	payload := b[start+frameHeader:]
	copy(b[start:], frameMagic)
	binary.LittleEndian.PutUint32(b[start+len(frameMagic):], uint32(len(payload)))
	binary.LittleEndian.PutUint32(b[start+len(frameMagic)+4:], crc32.Checksum(payload, castagnoli))
	return b
}

// size is how long the entry is in the journal.
func (e *entry) size() int { return len(e.appendTo(nil)) }

// fields reads an entry field by field; bad is set when one is not there.
type fields struct {
	b   []byte
	bad bool
}

func (f *fields) take(n uint64) []byte {
	if f.bad || n > uint64(len(f.b)) {
		f.bad = true
		return make([]byte, min(n, 64))
	}
	taken := f.b[:n:n]
	f.b = f.b[n:]
	return taken
}

func (f *fields) uvarint() uint64 {
	v, n := binary.Uvarint(f.b)
	if n <= 0 {
		f.bad = true
		return 0
	}
	f.b = f.b[n:]
	return v
}

func (f *fields) varint() int64 {
	v, n := binary.Varint(f.b)
	if n <= 0 {
		f.bad = true
		return 0
	}
	f.b = f.b[n:]
	return v
}

func (f *fields) text() []byte { return f.take(f.uvarint()) }

// parseEntry reads the payload of a frame. Its slices are those of the payload.
func parseEntry(payload []byte) (entry, bool) {
	if len(payload) == 0 {
		return entry{}, false
	}
	e := entry{kind: payload[0]}
	f := fields{b: payload[1:]}
	switch e.kind {
	case recordFile:
		e.root, e.file = f.text(), f.text()
		e.stamp, e.content = binary.LittleEndian.Uint64(f.take(8)), contentKind(f.take(1)[0])
		e.digest = digest(f.take(32))
	case recordSuccess, recordAgain, recordTiming:
		e.task = f.text()
		e.seconds = math.Float32frombits(binary.LittleEndian.Uint32(f.take(4)))
		e.time = f.varint()
		for range min(f.uvarint(), uint64(len(f.b))) {
			if e.used == nil {
				e.used = map[string]int{}
			}
			e.used[string(f.text())] = int(f.varint())
		}
		if e.kind == recordTiming {
			break
		}
		e.key, e.digest, e.state = digest(f.take(32)), digest(f.take(32)), sum(f.take(16))
		for range min(f.uvarint(), uint64(len(f.b))) {
			e.made = append(e.made, content{contentKind(f.take(1)[0]), digest(f.take(32))})
		}
		if e.kind == recordSuccess {
			e.value, e.text = f.text(), f.text()
		}
	default:
		return entry{}, false
	}
	return e, !f.bad && len(f.b) == 0
}

// journal is the open file. Appends of several processes do not mix: each is
// one write to a file opened for appending.
type journal struct {
	file *os.File
	id   uint64
}

// openJournal opens the journal at path, or returns nil if there is none that
// can be read; with make it begins one then.
func openJournal(path string, create bool) (*journal, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND, 0)
	if errors.Is(err, fs.ErrPermission) {
		f, err = os.Open(path)
	}
	if err == nil {
		var header [journalHeader]byte
		if _, err := f.ReadAt(header[:], 0); err == nil && string(header[:len(journalMagic)]) == journalMagic {
			return &journal{f, binary.LittleEndian.Uint64(header[len(journalMagic):])}, nil
		}
		f.Close() // damaged, or of another version: begun anew
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if !create {
		return nil, nil
	}
	return beginJournal(path)
}

// beginJournal puts an empty journal in place. Of two processes that do so at
// the same time one loses what it appends, which only costs time.
func beginJournal(path string) (*journal, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".journal-")
	if err != nil {
		return nil, err
	}
	defer os.Remove(f.Name()) // gone already, if all went well
	header := append([]byte(journalMagic), make([]byte, 8)...)
	if _, err := rand.Read(header[len(journalMagic):]); err != nil {
		return nil, err
	}
	_, err = f.Write(header)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return nil, err
	}
	return openJournal(path, false)
}

func (j *journal) append(frames []byte) error {
	_, err := j.file.Write(frames)
	return err
}

func (j *journal) close() {
	if j != nil {
		j.file.Close()
	}
}

// size is where the next record will begin.
func (j *journal) size() (int64, error) {
	info, err := j.file.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// at reads the record that begins at an offset.
func (j *journal) at(off int64) (entry, bool) {
	size, err := j.size()
	if err != nil || off < int64(journalHeader) || off >= size {
		return entry{}, false
	}
	w := window{file: j.file, from: off, size: size, buf: make([]byte, 0, 512)} // most records fit
	frame, err := w.frame(off)
	if err != nil || frame == nil {
		return entry{}, false
	}
	return parseEntry(frame[frameHeader:])
}

// scan calls f for each record from an offset on, and returns where the last
// whole one ends. What f is given is valid until it returns. A damaged stretch
// is skipped, up to the next record that is whole; what is not whole yet, at the
// end, is no damage.
func (j *journal) scan(from int64, f func(off int64, length int, e entry)) (end int64, damaged bool, err error) {
	size, err := j.size()
	if err != nil {
		return from, false, err
	}
	w := window{file: j.file, from: from, size: size, buf: make([]byte, 0, min(256<<10, size))}
	end = from
	for at := from; at < size; {
		frame, err := w.frame(at)
		if err != nil {
			return end, damaged, fmt.Errorf("read the journal: %w", err)
		}
		e, ok := entry{}, false
		if frame != nil {
			e, ok = parseEntry(frame[frameHeader:])
		}
		if !ok {
			next, err := w.next(at + 1)
			if err != nil || next < 0 {
				return end, damaged, err
			}
			at, damaged = next, true
			continue
		}
		f(at, len(frame), e)
		at += int64(len(frame))
		end = at
	}
	return end, damaged, nil
}

// window is a stretch of the journal in memory.
type window struct {
	file *os.File
	buf  []byte
	from int64 // where buf begins
	size int64 // of the journal
}

// bytes returns n bytes at an offset, or fewer where the journal ends.
func (w *window) bytes(off int64, n int) ([]byte, error) {
	n = int(min(int64(n), w.size-off))
	if at := off - w.from; at < 0 || at+int64(n) > int64(len(w.buf)) {
		want := int(min(int64(max(n, cap(w.buf), 512)), w.size-off))
		if cap(w.buf) < want {
			w.buf = make([]byte, want)
		}
		w.buf, w.from = w.buf[:want], off
		if _, err := w.file.ReadAt(w.buf, off); err != nil {
			w.buf = w.buf[:0]
			return nil, err
		}
	}
	return w.buf[off-w.from:][:n], nil
}

// frame is the whole frame at an offset, or nil.
func (w *window) frame(off int64) ([]byte, error) {
	head, err := w.bytes(off, frameHeader)
	length, ok := frameLength(head)
	if err != nil || !ok || off+int64(length) > w.size {
		return nil, err
	}
	frame, err := w.bytes(off, length)
	if err != nil || !frameWhole(frame) {
		return nil, err
	}
	return frame, nil
}

// next is where the next frame begins at the earliest, from an offset on; -1 if
// nothing looks like one.
func (w *window) next(off int64) (int64, error) {
	for off < w.size {
		stretch, err := w.bytes(off, 64<<10)
		if err != nil {
			return -1, err
		}
		if at := bytes.Index(stretch, []byte(frameMagic)); at >= 0 {
			return off + int64(at), nil
		}
		off += int64(max(1, len(stretch)-len(frameMagic)+1))
	}
	return -1, nil
}

// frameLength is how long a frame is with its header, by its header.
func frameLength(head []byte) (int, bool) {
	if len(head) < frameHeader || string(head[:len(frameMagic)]) != frameMagic {
		return 0, false
	}
	length := binary.LittleEndian.Uint32(head[len(frameMagic):])
	return frameHeader + int(length), length <= maxFrame
}

func frameWhole(frame []byte) bool {
	return crc32.Checksum(frame[frameHeader:], castagnoli) == binary.LittleEndian.Uint32(frame[len(frameMagic)+4:])
}
