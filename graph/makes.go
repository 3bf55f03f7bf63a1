package graph

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
)

// Makes declares files that a pure task makes, as slash-separated paths below
// root. They are a part of its result: they must be there when it has run, and
// one that was edited or removed since lets it run again.
func (t *Task) Makes(root string, rels ...string) {
	for _, rel := range rels {
		t.makes = append(t.makes, file{root, filepath.ToSlash(filepath.Clean(rel))})
	}
}

// made digests the files that the task makes, as they are now.
func (t *Task) made(files *FileMemo) (map[string]string, error) {
	if len(t.makes) == 0 {
		return nil, nil
	}
	made := map[string]string{}
	var errs []error
	for _, f := range t.makes {
		sum, err := files.Digest(f.root, f.rel)
		if err == nil && sum == "missing" {
			err = fmt.Errorf("%s, which it makes, is not there", f.rel)
		}
		made[f.rel] = sum
		errs = append(errs, err)
	}
	return made, errors.Join(errs...)
}

// remade says why the files that the task makes are not those of this record.
func (r *run) remade(t *Task, rec record, out *outcome) string {
	if len(t.makes) == 0 {
		return ""
	}
	made, err := t.made(r.o.Files)
	if err != nil {
		return firstLine(err.Error())
	}
	last, ok := r.o.Cache.lastOf(t.name)
	if !ok || last.Record.key() != rec.key() {
		return "what it makes is of other inputs"
	}
	if !maps.Equal(made, last.Made) {
		return "what it made was changed since"
	}
	out.made = made
	return ""
}

// digestResult is the digest of a value and of the files made with it.
func digestResult(out outcome) string {
	if len(out.made) == 0 {
		return digestValue(out.raw)
	}
	made, err := json.Marshal(out.made)
	if err != nil {
		panic(err) // a map of strings is a JSON value
	}
	return digestValue(append(append([]byte{}, out.raw...), made...))
}
