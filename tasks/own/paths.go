package own

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"

	"roost/internal/tomldoc"
)

// isGlob says that a path is a pattern.
func isGlob(p string) bool { return strings.ContainsAny(p, `*?[{\`) }

// below says what is wrong with a path that is to be below the fleet folder.
func (r *reader) below(p string) string {
	if !fs.ValidPath(p) || p == "." {
		return `must be a path below the fleet folder, such as "site/index.html": no slash first or last, no ".."`
	}
	if _, err := r.root.Lstat(p); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "cannot be reached in the fleet folder: " + reason(err)
	}
	return ""
}

// outputs checks where the task's files are to be, and notes who makes them.
func (r *reader) outputs(in *instance) {
	at := r.place(in.label)
	for i, file := range in.Outputs {
		place := at.At("outputs").Items[i].Value
		if r.Told(place) {
			continue
		}
		switch wrong := r.below(file); {
		case wrong != "":
			r.report(place, "output %q %s", file, wrong)
		case isGlob(file):
			r.report(place, "output %q: outputs are named one by one, without * ? [ { and \\", file)
		case r.isDir(file):
			r.report(place, "output %q is a folder: name the files in it", file)
		case r.makers[file] == in: // given twice, and told
		case r.makers[file] != nil && r.makers[file].label == in.label:
			r.report(place, "output %q is made on several hosts: put {host} into its name", file)
		case r.makers[file] != nil:
			r.report(place, "output %q is made by task %q already", file, r.makers[file].label)
		default:
			r.makers[file] = in
		}
	}
}

func (r *reader) isDir(p string) bool {
	info, err := r.root.Stat(p)
	return err == nil && info.IsDir()
}

// reading finds the files that the task reads, and the tasks that make them.
func (r *reader) reading(in *instance) {
	at := r.place(in.label)
	if in.Dir != "" && !r.Told(at.At("dir").Value) {
		r.dir(in, at.At("dir").Value)
	}
	for i, pattern := range in.Inputs {
		if place := at.At("inputs").Items[i].Value; !r.Told(place) {
			r.reads(in, "input", pattern, place)
		}
	}
	if in.Stdin != "" && !r.Told(at.At("stdin").Value) {
		if isGlob(in.Stdin) {
			r.report(at.At("stdin").Value, "stdin %q: it is one file, without * ? [ { and \\", in.Stdin)
		} else {
			r.reads(in, "stdin", in.Stdin, at.At("stdin").Value)
		}
	}
	if in.At == Here {
		r.ownProgram(in, "check", in.Check, at)
		r.ownProgram(in, "run", in.Run, at)
	}
	slices.Sort(in.files)
	in.files = slices.Compact(in.files)
}

func (r *reader) dir(in *instance, place int) {
	switch wrong := r.below(in.Dir); {
	case wrong != "":
		r.report(place, "dir %q %s", in.Dir, wrong)
	case !r.isDir(in.Dir):
		r.report(place, "dir %q is no folder of the fleet", in.Dir)
	}
}

// ownProgram takes a program of the fleet's own, such as scripts/site.sh, for an
// input: to edit it is to edit the task.
func (r *reader) ownProgram(in *instance, key string, argv []string, at *tomldoc.Node) {
	if len(argv) == 0 || !strings.Contains(argv[0], "/") || path.IsAbs(argv[0]) || r.Told(at.At(key).Items[0].Value) {
		return
	}
	program, place := path.Join(in.Dir, argv[0]), at.At(key).Items[0].Value
	if key == "run" && in.isEffect() {
		if maker := r.makers[program]; maker != nil {
			in.programs = append(in.programs, maker)
			return
		}
	}
	r.reads(in, key, program, place)
}

// reads adds what one path or pattern stands for. what names the key in problems.
func (r *reader) reads(in *instance, what, pattern string, place int) {
	m, known := r.matched[pattern]
	if !known {
		m = r.resolve(pattern)
		r.matched[pattern] = m
	}
	if m.wrong != "" {
		r.report(place, "%s %q %s", what, pattern, m.wrong)
		return
	}
	in.files = append(in.files, m.files...)
	for _, maker := range m.makers {
		if maker == in {
			r.report(place, "%s %q matches an output of the task itself: it would never be up to date", what, pattern)
		} else if !slices.Contains(in.reads, maker) {
			in.reads = append(in.reads, maker)
		}
	}
}

// matched is what a path or pattern stands for. Many hosts may share one.
type matched struct {
	files  []string
	makers []*instance // of some of the files
	wrong  string      // why it cannot be read; then there is nothing else
}

// resolve finds what a pattern matches now, and what tasks will have made that it
// matches then.
func (r *reader) resolve(pattern string) *matched {
	m := &matched{wrong: r.below(pattern)}
	if m.wrong != "" {
		return m
	}
	files := []string{pattern}
	if isGlob(pattern) {
		if !doublestar.ValidatePattern(pattern) {
			return &matched{wrong: "is no glob: a bracket or a brace has no end"}
		}
		var err error
		if files, err = match(r.root, pattern); err != nil {
			return &matched{wrong: "cannot be looked up: " + reason(err)}
		}
		files = append(files, r.willMatch(pattern)...)
		if len(files) == 0 {
			return &matched{wrong: "matches no file, and no task makes one: a task that depends on nothing would never run again"}
		}
	}
	slices.Sort(files)
	for _, file := range slices.Compact(files) {
		m.files = append(m.files, file)
		if maker := r.makers[file]; maker != nil {
			m.makers = append(m.makers, maker)
			continue
		}
		linked, wrong := r.readable(file)
		if wrong != "" && file != pattern {
			wrong = "matches " + file + ": it " + wrong
		}
		if wrong != "" {
			return &matched{wrong: wrong}
		}
		if linked != "" {
			m.files = append(m.files, linked)
		}
	}
	return m
}

// willMatch are the outputs that a pattern matches. Those that begin as the
// pattern does stand together.
func (r *reader) willMatch(pattern string) []string {
	base, _ := doublestar.SplitPattern(pattern)
	first := 0
	if base == "." {
		base = ""
	} else {
		base += "/"
		first, _ = slices.BinarySearch(r.made, base)
	}
	var files []string
	for _, file := range r.made[first:] {
		if !strings.HasPrefix(file, base) {
			break
		}
		if doublestar.MatchUnvalidated(pattern, file) {
			files = append(files, file)
		}
	}
	return files
}

// readable says what is wrong with a file that is to be read, or where it leads
// if it is a symlink.
func (r *reader) readable(file string) (linked, wrong string) {
	link, err := r.root.Lstat(file)
	if errors.Is(err, fs.ErrNotExist) {
		return "", "is not there, and no task makes it"
	}
	if err != nil {
		return "", "cannot be read: " + reason(err)
	}
	if link.Mode()&fs.ModeSymlink == 0 {
		if link.IsDir() {
			return "", fmt.Sprintf("is a folder: for all that is in it, write \"%s/**\"", file)
		}
		return "", ""
	}
	info, err := r.root.Stat(file)
	switch {
	case errors.Is(err, fs.ErrNotExist): // it is an input that it leads nowhere
		return "", ""
	case err != nil:
		return "", "cannot be read: " + reason(err)
	case info.IsDir(): // it is an input where it leads
		return "", ""
	}
	return r.target(file), ""
}

// target is the file that a symlink leads to. It is in the fleet folder: else
// os.Root had refused it.
func (r *reader) target(file string) string {
	to, err := filepath.EvalSymlinks(filepath.Join(r.fleet.Dir, file))
	if err == nil {
		var root string
		if root, err = filepath.EvalSymlinks(r.fleet.Dir); err == nil {
			to, err = filepath.Rel(root, to)
		}
	}
	if err != nil {
		return file // it is gone since
	}
	return filepath.ToSlash(to)
}

// match lists files as a shell does: a * does not stand for a dot at the start
// of a name, so **/* leaves .git out. Symlinks to folders are not followed.
func match(root *os.Root, pattern string) ([]string, error) {
	return doublestar.Glob(root.FS(), pattern, doublestar.WithFilesOnly(), doublestar.WithNoHidden(),
		doublestar.WithNoFollow(), doublestar.WithFailOnIOErrors())
}
