package graph

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// isQuick is of use on Linux alone.
func isQuick(int) bool { return false }

// statAt looks at a path (NUL-terminated) below an open folder.
func statAt(dir int, path []byte, _ bool) (stamp, error) {
	var st unix.Stat_t
	for {
		err := unix.Fstatat(dir, string(path[:len(path)-1]), &st, unix.AT_SYMLINK_NOFOLLOW)
		if err == syscall.EINTR {
			continue
		}
		return stamp{
			size: st.Size, mtime: st.Mtim.Nano(), ctime: st.Ctim.Nano(),
			inode: st.Ino, device: uint64(st.Dev), mode: uint64(st.Mode),
		}, err
	}
}

func openAt(dir int, path []byte) (int, error) {
	for {
		fd, err := unix.Openat(dir, string(path[:len(path)-1]), openFlags, 0)
		if err == syscall.EINTR {
			continue
		}
		return fd, err
	}
}

func stampOf(st *syscall.Stat_t) stamp {
	return stamp{
		size: st.Size, mtime: st.Mtimespec.Nano(), ctime: st.Ctimespec.Nano(),
		inode: st.Ino, device: uint64(st.Dev), mode: uint64(st.Mode),
	}
}
