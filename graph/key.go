package graph

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/zeebo/xxh3"
)

// record is the canonical text of all that a pure task's result depends on, a
// line each. The key is the hash of this text and reasons are read off it, so
// that what `why` says can never drift from what the key means.
type record []string

// recordVersion is part of every key: raise it when the record's form changes.
const recordVersion = "roost-key-1"

// parseRecord reads a record's text; nil if there is none.
func parseRecord(text []byte) record {
	if len(text) == 0 {
		return nil
	}
	return strings.Split(string(text), "\n")
}

// recordText writes a pure task's record, from what the files are that it reads
// and from the results of what it uses. What was declared counts, not in which
// order.
func (r *run) recordText(id int32, files []content) []byte {
	b := make([]byte, 0, 512)
	b = append(appendLine(b, "form", recordVersion, ""), '\n')
	b = append(appendLine(b, "task", r.name(id), ""), '\n')
	head := len(b)
	b = append(b, `code version "" = "`...)
	b = append(strconv.AppendInt(b, int64(r.rows[id].version), 10), "\"\n"...)
	var hexes [2 * len(digest{})]byte
	namesakes := r.namesakes(id)
	for i, use := range r.filesOf(id) {
		rel := r.files.rel(int32(use >> 1))
		if fileUse(use&1) == makes {
			b = append(appendLine(b, "makes", rel, ""), '\n')
			continue
		}
		var room [96]byte
		is := files[0].appendTo(room[:0])
		if n := namesakes(i); n > 0 {
			is = fmt.Appendf(is, " in folder %d", n+1)
		}
		b = append(appendLine(b, "file", rel, is), '\n')
		files = files[1:]
	}
	for _, e := range r.needs(id) {
		if e.kind() == uses {
			hex.Encode(hexes[:], r.digestOf(e.task())[:])
			b = append(appendLine(b, "input", r.name(e.task()), hexes[:]), '\n')
		}
	}
	b = append(b, r.textOf(id)...)
	return sortLines(b, head)
}

// namesakes returns what counts the files that a task reads before its i-th and
// that have the same name, below other roots: which is which must show in the key.
func (r *run) namesakes(id int32) func(i int) int {
	uses := r.filesOf(id)
	root := func(use uint32) int { return r.files.root(int32(use >> 1)) }
	if !slices.ContainsFunc(uses, func(use uint32) bool { return root(use) != root(uses[0]) }) {
		return func(int) int { return 0 } // all but a few tasks
	}
	return func(i int) (n int) {
		for _, use := range uses[:i] {
			same := bytes.Equal(r.files.rel(int32(use>>1)), r.files.rel(int32(uses[i]>>1)))
			if same && fileUse(use&1) == reads && root(use) != root(uses[i]) {
				n++
			}
		}
		return n
	}
}

// sortLines sorts the lines of b from head on, drops what is there twice, and
// drops the last newline.
func sortLines(b []byte, head int) []byte {
	var room [32][2]int
	lines, sorted := room[:0], true
	for from := head; from < len(b); {
		to := from + bytes.IndexByte(b[from:], '\n')
		if n := len(lines); n > 0 && bytes.Compare(b[lines[n-1][0]:lines[n-1][1]], b[from:to]) >= 0 {
			sorted = false
		}
		lines = append(lines, [2]int{from, to})
		from = to + 1
	}
	if sorted {
		return b[:len(b)-1]
	}
	slices.SortFunc(lines, func(x, y [2]int) int { return bytes.Compare(b[x[0]:x[1]], b[y[0]:y[1]]) })
	all := append(make([]byte, 0, len(b)), b[:head]...)
	for i, l := range lines {
		text := b[l[0]:l[1]]
		if i > 0 && bytes.Equal(text, b[lines[i-1][0]:lines[i-1][1]]) {
			continue
		}
		all = append(append(all, text...), '\n')
	}
	return all[:len(all)-1]
}

// state stands for all that a pure task's record is made of: it changes when
// the record would, and costs a tenth of it. It never leaves this machine.
// digestOf knows the results of what it uses.
func (r *run) state(id int32, files []content, digestOf func(int32) *digest) sum {
	var room [512]byte
	b := binary.LittleEndian.AppendUint32(room[:0], uint32(r.rows[id].version))
	b = append(append(b, r.names.bytes(id)...), 0)
	for _, use := range r.filesOf(id) {
		b = append(append(b, r.files.rel(int32(use>>1))...), 0, byte(use&1))
		if fileUse(use&1) == reads {
			b = append(append(b, byte(files[0].kind)), files[0].digest[:]...)
			files = files[1:]
		}
	}
	for _, e := range r.needs(id) {
		if e.kind() == uses {
			b = append(append(b, r.names.bytes(e.task())...), 0)
			b = append(b, digestOf(e.task())[:]...)
		}
	}
	b = append(b, r.textOf(id)...)
	return sum(xxh3.Hash128(b).Bytes())
}

// ended is the state of a task that had this result: with it a damaged digest
// is not taken for what the task has found.
func (s sum) ended(result digest, made []content) sum {
	b := append(make([]byte, 0, 256), s[:]...)
	b = append(b, result[:]...)
	for _, m := range made {
		b = append(append(b, byte(m.kind)), m.digest[:]...)
	}
	return sum(xxh3.Hash128(b).Bytes())
}

func (r record) key() digest { return sha256.Sum256([]byte(strings.Join(r, "\n"))) }

// maxReasons bounds how many differences a reason names.
const maxReasons = 3

// difference says in words what changed from an older record to this one.
func (r record) difference(old record) string {
	var said []string
	for _, d := range r.differences(old) {
		switch {
		case d.Old == "":
			said = append(said, d.What+" is new")
		case d.New == "":
			said = append(said, d.What+" is gone")
		case d.value && len(d.Old)+len(d.New) < 80:
			said = append(said, fmt.Sprintf("%s changed from %s to %s", d.What, d.Old, d.New))
		default:
			said = append(said, d.What+" changed")
		}
	}
	if len(said) > maxReasons {
		said = append(said[:maxReasons], fmt.Sprintf("and %d more", len(said)-maxReasons))
	}
	return strings.Join(said, ", ")
}

func (r record) byName() map[string]string {
	m := make(map[string]string, len(r))
	for _, l := range r {
		head, text, _ := strings.Cut(l, " = ")
		m[head] = text
	}
	return m
}

// plain turns `file "modules/ssh.nix"` into words.
func plain(head string) string {
	kind, quoted, _ := strings.Cut(head, " ")
	name := strings.Trim(quoted, `"`)
	switch kind {
	case "file":
		return name
	case "code": // "code version"
		return "roost's own code for this task"
	case "input":
		return "the result of " + name
	case "makes":
		return "the output " + name
	}
	return name
}

// digestValue is the digest of a task's value: of its canonical JSON, in which
// encoding/json sorts the keys of maps.
func digestValue(data []byte) digest { return sha256.Sum256(data) }

// digestMade is the digest of the result of a task that makes files.
func digestMade(value []byte, made []content) digest {
	d := digestValue(value)
	if len(made) == 0 {
		return d
	}
	b := append(make([]byte, 0, 128), d[:]...)
	for _, m := range made {
		b = append(append(b, byte(m.kind)), m.digest[:]...)
	}
	return sha256.Sum256(b)
}

// emptyStruct is what most values are that are nothing but the files made.
var emptyStruct = json.RawMessage("{}")

func encodeValue(v any) (json.RawMessage, error) {
	if _, ok := v.(None); ok {
		return emptyStruct, nil
	}
	data, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("the result is not a JSON value: %w", err)
	}
	return data, nil
}
