package hosts

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"roost/internal/nearest"
)

// optIn answers whether an opt-in module exists. Each is looked up once per
// Load, however many hosts subscribe to it.
type optIn struct {
	dir     string
	checked map[string]string // what is wrong with a name, "" for nothing
}

const optInDir = "modules/opt-in"

func newOptIn(fleetDir string) *optIn {
	return &optIn{dir: filepath.Join(fleetDir, filepath.FromSlash(optInDir)), checked: map[string]string{}}
}

// check says what is wrong with the name of a module, or "".
func (o *optIn) check(name string) string {
	wrong, known := o.checked[name]
	if !known {
		wrong = o.lookUp(name)
		o.checked[name] = wrong
	}
	return wrong
}

func (o *optIn) lookUp(name string) string {
	if !fs.ValidPath(name) || name == "." {
		return fmt.Sprintf(`must be a path below %s such as "desktop/plasma"`, optInDir)
	}
	file, folder := name+".nix", path.Join(name, "default.nix")
	switch isFile, isFolder := o.isFile(file), o.isFile(folder); {
	case isFile && isFolder:
		return fmt.Sprintf("is both %s and %s in %s: keep one of them", file, folder, optInDir)
	case !isFile && !isFolder:
		return fmt.Sprintf("is not found, %s has neither %s nor %s; %s", optInDir, file, folder, nearest.Hint(name, "modules", o.all()))
	}
	return ""
}

func (o *optIn) isFile(name string) bool {
	info, err := os.Stat(filepath.Join(o.dir, filepath.FromSlash(name)))
	return err == nil && info.Mode().IsRegular()
}

// all lists the modules there are, for hints. What cannot be read is no hint.
func (o *optIn) all() []string {
	var modules []string
	_ = fs.WalkDir(os.DirFS(o.dir), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return nil
		}
		if module, isNix := strings.CutSuffix(name, ".nix"); isNix {
			modules = append(modules, strings.TrimSuffix(module, "/default"))
		}
		return nil
	})
	slices.Sort(modules)
	return slices.Compact(modules)
}
