package graph

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// record is the canonical text of all that a pure task's result depends on, a
// line each. The key is the hash of this text and reasons are read off it, so
// that what `why` says can never drift from what the key means.
type record []string

// recordVersion is part of every key: raise it when the record's form changes.
const recordVersion = "roost-key-1"

// record writes the task's record from the digests of the values it uses.
func (t *Task) record(files *FileMemo, digest func(id int) string, name func(id int) string) (record, error) {
	r := record{
		line("form", recordVersion, ""),
		line("task", t.name, ""),
		line("code version", "", fmt.Sprint(t.version)),
	}
	for _, v := range t.values {
		r = append(r, line("value", v.name, v.text))
	}
	for _, f := range t.files {
		sum, err := files.Digest(f.root, f.rel)
		if err != nil {
			return nil, err
		}
		r = append(r, line("file", f.rel, sum))
	}
	for _, id := range t.uses {
		r = append(r, line("input", name(id), digest(id)))
	}
	slices.Sort(r[2:]) // what was declared, not in which order
	return r, nil
}

// line writes one line of a record. Names and texts are quoted, so no line can
// pass for another.
func line(kind, name, text string) string { return fmt.Sprintf("%s %q = %q", kind, name, text) }

func (r record) key() string {
	sum := sha256.Sum256([]byte(strings.Join(r, "\n")))
	return hex.EncodeToString(sum[:])
}

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
	}
	return name
}

// digestValue is the digest of a task's value: of its canonical JSON, in which
// encoding/json sorts the keys of maps.
func digestValue(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

func encodeValue(v any) (json.RawMessage, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("the result is not a JSON value: %w", err)
	}
	return data, nil
}
