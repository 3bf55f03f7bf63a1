package speed

import (
	"bufio"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"roost/ci/speed/shape"
)

// Names in a workspace, besides src/ and out/.
const (
	statList  = "paths.list"    // for the floor programs stat and hash
	spawnList = "commands.list" // for the floor program spawn
	stateDir  = ".state"        // of the contender
)

// workspace is a folder with the sources of a shape and the files of every
// engine. Each entrant has one of its own, with the same relative paths.
type workspace struct {
	dir    string
	shape  shape.Shape
	edited int // how often
}

// newWorkspace writes the sources and the list of commands.
func newWorkspace(dir string, s shape.Shape) (*workspace, error) {
	w := &workspace{dir: dir, shape: s}
	for _, sub := range []string{"src", "out"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			return nil, err
		}
	}
	var paths, commands strings.Builder
	for i := range s.Len() {
		if source := s.Source(i); source != "" {
			if err := os.WriteFile(filepath.Join(dir, source), []byte("the source of "+s.Name(i)+"\n"), 0o600); err != nil {
				return nil, err
			}
			paths.WriteString(source + "\x00")
		}
		paths.WriteString(s.Out(i) + "\x00")
		commands.WriteString(shape.Command(s.Out(i)) + "\x00")
	}
	return w, errors.Join(
		os.WriteFile(filepath.Join(dir, statList), []byte(paths.String()), 0o600),
		os.WriteFile(filepath.Join(dir, spawnList), []byte(commands.String()), 0o600))
}

// write makes a file of the workspace with what fill writes.
func (w *workspace) write(name string, fill func(*bufio.Writer)) error {
	f, err := os.Create(filepath.Join(w.dir, name))
	if err != nil {
		return err
	}
	buf := bufio.NewWriter(f)
	fill(buf)
	return errors.Join(buf.Flush(), f.Close())
}

// clean removes what tasks have made and the folders named, for a cold run.
func (w *workspace) clean(states ...string) error {
	for _, sub := range append(states, "out") {
		if err := os.RemoveAll(filepath.Join(w.dir, sub)); err != nil {
			return err
		}
	}
	return os.Mkdir(filepath.Join(w.dir, "out"), 0o700)
}

// makeOuts makes the stamp files, for what only looks at them.
func (w *workspace) makeOuts() error {
	for i := range w.shape.Len() {
		if err := os.WriteFile(filepath.Join(w.dir, w.shape.Out(i)), nil, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// editLeaf changes the content of one source.
func (w *workspace) editLeaf() error {
	w.edited++
	source := filepath.Join(w.dir, w.shape.Source(w.shape.Leaf()))
	return os.WriteFile(source, []byte("edited "+strconv.Itoa(w.edited)+"\n"), 0o600)
}

// touch gives every source a new time, and leaves its content.
func (w *workspace) touch() error {
	now := time.Now()
	for i := range w.shape.Len() {
		if source := w.shape.Source(i); source != "" {
			if err := os.Chtimes(filepath.Join(w.dir, source), now, now); err != nil {
				return err
			}
		}
	}
	return nil
}

// firstOut is when the first stamp file was made, as exact as the file system's
// clock: a few milliseconds. The error names one that is not there.
func (w *workspace) firstOut() (time.Time, error) {
	var first time.Time
	for i := range w.shape.Len() {
		info, err := os.Lstat(filepath.Join(w.dir, w.shape.Out(i)))
		if err != nil {
			return first, err
		}
		if at := info.ModTime(); first.IsZero() || at.Before(first) {
			first = at
		}
	}
	return first, nil
}

// scratch makes a folder for workspaces with so many tasks: in memory where that
// takes less than a third of what is free, for a disk's file system can take
// longer to make a file again than a process takes.
func scratch(tasks int) (dir string, inMemory bool, err error) {
	const shm, aTask = "/dev/shm", 8 << 10 // bytes: a page of source, two inodes, its lines in lists
	var fs syscall.Statfs_t
	need := 3 * int64(tasks) * aTask
	if syscall.Statfs(shm, &fs) == nil && int64(fs.Bavail)*int64(fs.Bsize) > need && available() > need {
		if dir, err = os.MkdirTemp(shm, "roost-speed-"); err == nil {
			return dir, true, nil
		}
	}
	dir, err = os.MkdirTemp("", "roost-speed-")
	return dir, false, err
}

// available is how much memory the machine could give, in bytes.
func available() int64 {
	data, _ := os.ReadFile("/proc/meminfo")
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, "MemAvailable:"); ok {
			kib, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			return kib << 10
		}
	}
	return 0
}
