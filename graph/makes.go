package graph

import (
	"fmt"
	"os"
	"path/filepath"
)

// Makes declares files that a pure task makes, as slash-separated paths below
// root. They must be there when it has run; one that is gone lets it run again.
func (t *Task) Makes(root string, rels ...string) {
	for _, rel := range rels {
		t.makes = append(t.makes, file{root, filepath.ToSlash(filepath.Clean(rel))})
	}
}

// made says which of the files that the task makes is not there.
func (t *Task) made() error {
	for _, f := range t.makes {
		if _, err := os.Lstat(filepath.Join(f.root, filepath.FromSlash(f.rel))); err != nil {
			return fmt.Errorf("%s, which it makes, is not there: %w", f.rel, err)
		}
	}
	return nil
}
