package own

import (
	"errors"
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
	if wrong := r.below(pattern); wrong != "" {
		r.report(place, "%s %q %s", what, pattern, wrong)
		return
	}
	var files []string
	if isGlob(pattern) {
		if !doublestar.ValidatePattern(pattern) {
			r.report(place, "%s %q is no glob: a bracket or a brace has no end", what, pattern)
			return
		}
		files = r.glob(pattern, place)
		for file := range r.makers {
			if ok, _ := doublestar.Match(pattern, file); ok {
				files = append(files, file)
			}
		}
		if len(files) == 0 {
			r.report(place, "%s %q matches no file, and no task makes one: a task that depends on nothing would never run again", what, pattern)
		}
	} else {
		files = []string{pattern}
	}
	slices.Sort(files)
	for _, file := range slices.Compact(files) {
		r.readsFile(in, what, file, place)
	}
}

// readsFile adds one file: made by a task, or there already.
func (r *reader) readsFile(in *instance, what, file string, place int) {
	in.files = append(in.files, file)
	switch maker := r.makers[file]; {
	case maker == in:
		r.report(place, "%s %q is an output of the task itself: it would never be up to date", what, file)
		return
	case maker != nil:
		if !slices.Contains(in.reads, maker) {
			in.reads = append(in.reads, maker)
		}
		return
	}
	info, err := r.root.Stat(file)
	link, errLink := r.root.Lstat(file)
	switch {
	case errors.Is(err, fs.ErrNotExist) && errLink != nil:
		r.report(place, "%s %q is not there, and no task makes it", what, file)
	case err != nil:
		r.report(place, "%s %q: %s", what, file, reason(err))
	case info.IsDir() && link.IsDir():
		r.report(place, "%s %q is a folder: for all that is in it, write \"%[2]s/**\"", what, file)
	case link.Mode()&fs.ModeSymlink != 0 && !info.IsDir():
		in.files = append(in.files, r.target(file))
	}
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

// glob lists what a pattern matches now. A pattern is looked up once.
func (r *reader) glob(pattern string, place int) []string {
	files, known := r.globs[pattern]
	if !known {
		var err error
		if files, err = match(r.root, pattern); err != nil {
			r.report(place, "input %q: %s", pattern, reason(err))
		}
		r.globs[pattern] = files
	}
	return slices.Clone(files)
}

// match lists files as a shell does: a * does not stand for a dot at the start
// of a name, so **/* leaves .git out. Symlinks to folders are not followed.
func match(root *os.Root, pattern string) ([]string, error) {
	return doublestar.Glob(root.FS(), pattern, doublestar.WithFilesOnly(), doublestar.WithNoHidden(),
		doublestar.WithNoFollow(), doublestar.WithFailOnIOErrors())
}
