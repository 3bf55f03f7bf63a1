package graph

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"github.com/zeebo/xxh3"
	"golang.org/x/sys/unix"
)

// fileNames are the files of a graph, each once, as what tasks read or make.
type fileNames struct {
	roots []string
	paths texts // two bytes for the root's number, then the path below it
	at    []byte
}

// add returns the number of a file.
func (f *fileNames) add(root, rel string) int32 {
	return f.addBytes(root, unsafe.Slice(unsafe.StringData(rel), len(rel)))
}

func (f *fileNames) addBytes(root string, rel []byte) int32 {
	at := len(f.roots) - 1
	for at >= 0 && f.roots[at] != root { // the last is most likely the same
		at--
	}
	if at < 0 {
		at = len(f.roots)
		f.roots = append(f.roots, root)
	}
	f.at = append(appendRoot(f.at[:0], at), rel...)
	id, _ := f.paths.add(f.at)
	return id
}

// appendRoot appends a root's number, as a file's name begins with it.
func appendRoot(b []byte, root int) []byte { return append(b, byte(root), byte(root>>8)) }

func (f *fileNames) root(id int32) int {
	b := f.paths.bytes(id)
	return int(b[0]) | int(b[1])<<8
}

// rel is a file's path below its root.
func (f *fileNames) rel(id int32) []byte { return f.paths.bytes(id)[2:] }

func (f *fileNames) path(id int32) string {
	return filepath.Join(f.roots[f.root(id)], string(f.rel(id)))
}

// cleanRel is a path below a root in its one form.
func cleanRel(rel string) string {
	rel = path.Clean(filepath.ToSlash(rel))
	for len(rel) > 1 && rel[0] == '/' {
		rel = rel[1:]
	}
	return rel
}

// contentKind says what was found where a file should be.
type contentKind uint8

const (
	notLooked contentKind = iota
	regular
	executable
	missing
	symlink
)

// content is what a file is: of a symlink, the digest is that of its target.
type content struct {
	kind   contentKind
	digest digest
}

// appendTo appends what a record says of a file.
func (c content) appendTo(b []byte) []byte {
	switch c.kind {
	case missing:
		return append(b, "missing"...)
	case executable:
		b = append(b, "executable "...)
	case symlink:
		b = append(b, "link "...)
	}
	return hex.AppendEncode(b, c.digest[:])
}

// stamp is what the file system says of a file without reading it.
type stamp struct {
	size, mtime, ctime int64
	inode, device      uint64
	mode               uint64
}

// sum stands for the stamp, and for what the file was found to be with it, so
// that neither is believed where one of them is damaged. It is never 0.
func (s *stamp) sum(is content) uint64 {
	var room [96]byte
	b := append(room[:0], unsafe.Slice((*byte)(unsafe.Pointer(s)), unsafe.Sizeof(*s))...)
	return xxh3.Hash(append(append(b, byte(is.kind)), is.digest[:]...)) | 1
}

// rest is how long a file must have been untouched before its digest is
// believed: the coarsest time stamps in use (FAT, some NFS) tick in 2 s. A file
// that was written in the tick in which it was read could change again without
// a trace. It is no constant so that a test can wait for it.
var rest = 2 * time.Second

func (s *stamp) atRest(read time.Time) bool {
	return max(s.mtime, s.ctime)+int64(rest) < read.UnixNano()
}

const openFlags = syscall.O_RDONLY | syscall.O_CLOEXEC | syscall.O_NOFOLLOW | syscall.O_NONBLOCK

// contents knows what the files of a graph are, and reads what it must. In a
// run each file is looked at as often as it is asked for, and read only if the
// file system says that it may have changed: size, mtime, ctime, inode, device
// and mode tell. It is safe for use by many goroutines.
type contents struct {
	names    *fileNames
	verify   bool // believe no stamp: read everything
	roots    []atomic.Pointer[openRoot]
	turn     sync.Mutex  // of who opens a root again
	gone     []*openRoot // roots in whose place others are
	index    *index      // what files were when the cache was opened
	rows     []int32     // by file: its row there, -1 if it has none; nil: none has
	stamps   []uint64    // read since: the sum of the stamp with which it was; 0 = not to be believed
	known    []content
	seen     []bool // by file: it was looked at before anything was decided
	fresh    []bool // read in this run, so that the cache does not know it yet
	anyFresh atomic.Bool
	locks    [64]sync.Mutex
}

func openContents(names *fileNames, verify bool) *contents {
	n := names.paths.len()
	c := &contents{
		names: names, verify: verify, roots: make([]atomic.Pointer[openRoot], len(names.roots)),
		stamps: make([]uint64, n), known: make([]content, n), fresh: make([]bool, n), seen: make([]bool, n),
	}
	for i, root := range names.roots {
		c.roots[i].Store(newRoot(root))
	}
	return c
}

// openRoot is a folder below which files are looked at.
type openRoot struct {
	dir   int
	err   error // of opening it
	quick bool  // its file system answers at once
}

func newRoot(path string) *openRoot {
	dir, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_DIRECTORY, 0)
	return &openRoot{dir, err, err == nil && isQuick(dir)}
}

func (o *openRoot) close() {
	if o.err == nil {
		unix.Close(o.dir)
	}
}

// reopen opens a root again if there is another folder now: one that a task has
// made, or put in the place of an older one.
func (c *contents) reopen(root int) {
	c.turn.Lock()
	defer c.turn.Unlock()
	was := c.roots[root].Load()
	var open, here unix.Stat_t
	err := unix.Stat(c.names.roots[root], &here)
	if err != nil && was.err != nil {
		return
	}
	if err == nil && was.err == nil && unix.Fstat(was.dir, &open) == nil && open.Ino == here.Ino && open.Dev == here.Dev {
		return
	}
	c.roots[root].Store(newRoot(c.names.roots[root]))
	c.gone = append(c.gone, was) // somebody may be at work with it
}

// learn takes in what a cache knows of the files.
func (c *contents) learn(cache *Cache) {
	cache.mu.RLock()
	defer cache.mu.RUnlock()
	c.index, c.rows = cache.index, make([]int32, len(c.known))
	find := cache.fileFinder(c.names)
	for id := range c.rows {
		at, ok := find(int32(id))
		switch {
		case !ok:
			c.rows[id] = -1
		case at < 0:
			row := cache.fileAt(at)
			c.known[id], c.stamps[id], c.rows[id] = row.content, row.stamp, -1
		default:
			c.rows[id] = at
		}
	}
}

// stamp is that of a file when it was looked at last.
func (c *contents) stamp(id int32) uint64 {
	if c.known[id].kind == notLooked && c.rows != nil && c.rows[id] >= 0 {
		return c.index.stamps[c.rows[id]]
	}
	return c.stamps[id]
}

// is is what a file was found to be.
func (c *contents) is(id int32) content {
	if c.known[id].kind == notLooked && c.rows != nil && c.rows[id] >= 0 {
		return content{c.index.kinds[c.rows[id]], c.index.contents[c.rows[id]]}
	}
	return c.known[id]
}

func (c *contents) close() {
	for i := range c.roots {
		c.roots[i].Load().close()
	}
	for _, root := range c.gone {
		root.close()
	}
}

// news is the journal's record of a file, if the cache does not know it yet.
func (c *contents) news(id int32) (entry, bool) {
	lock := &c.locks[id%int32(len(c.locks))]
	lock.Lock()
	defer lock.Unlock()
	if !c.fresh[id] {
		return entry{}, false
	}
	c.fresh[id] = false
	return entry{
		kind: recordFile, root: []byte(c.names.roots[c.names.root(id)]), file: c.names.rel(id),
		stamp: c.stamps[id], content: c.known[id].kind, digest: c.known[id].digest,
	}, true
}

// buffers are what files are read into, one a reader.
var buffers = sync.Pool{New: func() any { return new([64 << 10]byte) }}

// look says what a file is now.
func (c *contents) look(id int32) (content, error) {
	lock := &c.locks[id%int32(len(c.locks))]
	lock.Lock()
	defer lock.Unlock()
	return c.lookAlone(id)
}

// lookAlone is look for a caller that has the file to itself.
func (c *contents) lookAlone(id int32) (content, error) {
	root := c.roots[c.names.root(id)].Load()
	if root.err != nil {
		if errors.Is(root.err, fs.ErrNotExist) {
			return c.found(id, content{kind: missing}, 0), nil
		}
		return content{}, fmt.Errorf("open %s: %w", c.names.roots[c.names.root(id)], root.err)
	}
	name := c.names.paths.arena[c.names.paths.start(id)+2 : c.names.paths.ends[id]]
	if !c.verify {
		now, err := statAt(root.dir, name, root.quick)
		if err == nil {
			if is := c.is(id); is.kind != notLooked && c.stamp(id) == now.sum(is) {
				return is, nil
			}
		}
		if err == nil && now.mode&syscall.S_IFMT == syscall.S_IFLNK {
			return c.readLink(id)
		}
		if err != nil {
			return c.failed(id, err)
		}
	}
	return c.read(id, root.dir, name)
}

// found notes what a file is, and by which stamp it may be believed next time.
func (c *contents) found(id int32, is content, stamp uint64) content {
	if stamp != c.stamp(id) || is != c.is(id) {
		if c.fresh[id] = stamp != 0; stamp != 0 {
			c.anyFresh.Store(true)
		}
	}
	c.known[id], c.stamps[id] = is, stamp
	return is
}

func (c *contents) failed(id int32, err error) (content, error) {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return c.found(id, content{kind: missing}, 0), nil
	case errors.Is(err, syscall.ELOOP): // what open says of a symlink
		return c.readLink(id)
	}
	return content{}, &fs.PathError{Op: "look at", Path: c.names.path(id), Err: err}
}

func (c *contents) readLink(id int32) (content, error) {
	target, err := os.Readlink(c.names.path(id))
	if err != nil {
		return content{}, err
	}
	return c.found(id, content{symlink, sha256.Sum256([]byte(target))}, 0), nil
}

// read reads and digests a file. Its stamp is taken when all is read: what was
// written meanwhile, or just before, makes it one that is not believed.
func (c *contents) read(id int32, dir int, name []byte) (content, error) {
	began := time.Now()
	fd, err := openAt(dir, name)
	if err != nil {
		return c.failed(id, err)
	}
	defer unix.Close(fd)
	sum, st, err := digestOf(fd)
	if err == nil && st.Mode&syscall.S_IFMT != syscall.S_IFREG {
		err = errors.New("only files and symlinks can be inputs")
	}
	if err != nil {
		return content{}, &fs.PathError{Op: "read", Path: c.names.path(id), Err: err}
	}
	is := content{regular, sum}
	if st.Mode&0o111 != 0 {
		is.kind = executable
	}
	now, believed := stampOf(&st), uint64(0)
	if now.atRest(began) {
		believed = now.sum(is)
	}
	return c.found(id, is, believed), nil
}

// digestOf is the SHA-256 of what an open file holds, and what the file system
// says of it when that was read.
func digestOf(fd int) (sum digest, st syscall.Stat_t, err error) {
	buf := buffers.Get().(*[64 << 10]byte)
	defer buffers.Put(buf)
	n, err := unix.Read(fd, buf[:])
	if errStat := syscall.Fstat(fd, &st); errStat != nil {
		return sum, st, errStat
	}
	if st.Mode&syscall.S_IFMT != syscall.S_IFREG {
		return sum, st, nil
	}
	if err == nil && n < len(buf) && int64(n) == st.Size { // most files: there is no need to ask whether it ends here
		return sha256.Sum256(buf[:n]), st, nil
	}
	h := sha256.New()
	for n = max(n, 0); err == nil || err == syscall.EINTR; {
		h.Write(buf[:n])
		if n, err = readFull(fd, buf[:]); n == 0 {
			break
		}
	}
	if err != nil {
		return sum, st, err
	}
	return digest(h.Sum(nil)), st, syscall.Fstat(fd, &st)
}

// readFull reads until the buffer is full or the file ends.
func readFull(fd int, buf []byte) (n int, err error) {
	for n < len(buf) {
		got, err := unix.Read(fd, buf[n:])
		if err == syscall.EINTR {
			continue
		}
		if err != nil || got == 0 {
			return n, err
		}
		n += got
	}
	return n, nil
}
