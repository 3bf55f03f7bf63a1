package graph

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/google/renameio/v2"
)

// FileMemo remembers the digests of files, so that each content is read once.
// A digest is believed while size, mtime, ctime, inode and device are the same,
// and only if the file was already at rest when it was read: a file written in
// the same tick as it was hashed could change again without a trace ("racy").
//
// It is safe for use by many goroutines.
type FileMemo struct {
	path string // "" = kept in memory only
	now  func() time.Time

	mu    sync.Mutex
	known map[string]memo
	dirty bool
}

type memo struct {
	Stat   stamp  `json:"s"`
	Digest string `json:"d"`
	Read   int64  `json:"r"` // when it was read, Unix nanoseconds
}

// stamp is what the file system says of a file without reading it.
type stamp struct {
	Size, Mtime, Ctime int64
	Inode, Device      uint64
	Mode               uint32
}

// rest is how long a file must have been untouched before its digest is
// believed: the coarsest time stamps in use (FAT, some NFS) tick in 2 s.
const rest = 2 * time.Second

const memoVersion = "roost-files-1"

type memoFile struct {
	Version string          `json:"version"`
	Files   map[string]memo `json:"files"`
}

// OpenFileMemo reads the memo kept at path. A memo that is missing, damaged or
// of another version is begun anew: it costs time only.
func OpenFileMemo(path string) *FileMemo {
	m := &FileMemo{path: path, now: time.Now, known: map[string]memo{}}
	data, err := os.ReadFile(path)
	if err != nil {
		return m
	}
	var f memoFile
	if json.Unmarshal(data, &f) == nil && f.Version == memoVersion && f.Files != nil {
		m.known = f.Files
	}
	return m
}

// Save writes the memo back if it has changed.
func (m *FileMemo) Save() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.dirty || m.path == "" {
		return nil
	}
	data, err := json.Marshal(memoFile{memoVersion, m.known})
	if err != nil {
		return err
	}
	if err := renameio.WriteFile(m.path, data, 0o600); err != nil {
		return fmt.Errorf("save the memo of file digests: %w", err)
	}
	m.dirty = false
	return nil
}

// Digest returns the digest of the content of root/rel and of its being
// executable, "missing" if there is no such file, or the target of a symlink.
func (m *FileMemo) Digest(root, rel string) (string, error) {
	path := filepath.Join(root, filepath.FromSlash(rel))
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "missing", nil
	}
	if err != nil {
		return "", err
	}
	if info.Mode()&fs.ModeSymlink != 0 {
		target, err := os.Readlink(path)
		return "link " + target, err
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("%s is %s: only files and symlinks can be inputs", path, info.Mode().Type())
	}
	now := stampOf(info)
	m.mu.Lock()
	known, ok := m.known[path]
	m.mu.Unlock()
	if ok && known.Stat == now && atRest(known) {
		return known.Digest, nil
	}
	return m.read(path, now)
}

func atRest(k memo) bool {
	return max(k.Stat.Mtime, k.Stat.Ctime)+int64(rest) < k.Read
}

func (m *FileMemo) read(path string, before stamp) (string, error) {
	began := m.now().UnixNano()
	data, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(data)
	digest := hex.EncodeToString(sum[:])
	if before.Mode&0o111 != 0 {
		digest = "executable " + digest
	}
	info, err := os.Lstat(path)
	if err != nil {
		return "", err
	}
	if stampOf(info) != before {
		return "", fmt.Errorf("%s was changed while it was read; run again", path)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.known[path] = memo{before, digest, began}
	m.dirty = true
	return digest, nil
}
