package verbs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// newScratch makes a private folder for this process: stages of evaluations and
// ssh's sockets. It also removes those of processes that were killed.
func newScratch() (string, error) {
	prefix := fmt.Sprintf("roost-%d-", os.Getuid())
	sweep(prefix)
	dir, err := os.MkdirTemp("", prefix+strconv.Itoa(os.Getpid())+"-")
	if err != nil {
		return "", fmt.Errorf("make a temporary folder: %w", err)
	}
	return dir, nil // MkdirTemp makes it 0700
}

func sweep(prefix string) {
	old, err := filepath.Glob(filepath.Join(os.TempDir(), prefix+"*-*"))
	if err != nil {
		return
	}
	for _, dir := range old {
		pid, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(dir), prefix), "-")
		n, err := strconv.Atoi(pid)
		info, errStat := os.Lstat(dir)
		if err != nil || errStat != nil || !info.IsDir() || !ours(info) {
			continue
		}
		if errors.Is(syscall.Kill(n, 0), syscall.ESRCH) {
			os.RemoveAll(dir) // what stays is told by nobody and harms nobody
		}
	}
}

func ours(info os.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(stat.Uid) == os.Getuid()
}
