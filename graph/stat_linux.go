package graph

import (
	"slices"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// quickTypes are file systems of this machine, which answer at once. What may
// lie behind a network is not among them.
var quickTypes = []int64{
	unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC, unix.TMPFS_MAGIC, unix.F2FS_SUPER_MAGIC,
	unix.OVERLAYFS_SUPER_MAGIC, 0x2fc12fc1, // ZFS, which is not part of the kernel
}

// isQuick says whether a folder lies on a file system that answers at once.
func isQuick(dir int) bool {
	var st unix.Statfs_t
	return unix.Fstatfs(dir, &st) == nil && slices.Contains(quickTypes, int64(st.Type))
}

// statAt looks at a path (NUL-terminated) below an open folder. A call without
// allocation, for a hundred thousand files are looked at in each run; and where
// the answer comes at once, one that does not tell Go's scheduler that it may
// take long, which costs a fifth.
func statAt(dir int, path []byte, quick bool) (stamp, error) {
	var st syscall.Stat_t
	for {
		var errno syscall.Errno
		if quick {
			_, _, errno = syscall.RawSyscall6(unix.SYS_NEWFSTATAT, uintptr(dir), uintptr(unsafe.Pointer(&path[0])),
				uintptr(unsafe.Pointer(&st)), unix.AT_SYMLINK_NOFOLLOW, 0, 0)
		} else {
			_, _, errno = syscall.Syscall6(unix.SYS_NEWFSTATAT, uintptr(dir), uintptr(unsafe.Pointer(&path[0])),
				uintptr(unsafe.Pointer(&st)), unix.AT_SYMLINK_NOFOLLOW, 0, 0)
		}
		switch errno {
		case 0:
			return stampOf(&st), nil
		case syscall.EINTR:
			continue
		}
		return stamp{}, errno
	}
}

func openAt(dir int, path []byte) (int, error) {
	for {
		fd, _, errno := syscall.Syscall6(syscall.SYS_OPENAT, uintptr(dir), uintptr(unsafe.Pointer(&path[0])),
			openFlags, 0, 0, 0)
		switch errno {
		case 0:
			return int(fd), nil
		case syscall.EINTR:
			continue
		}
		return -1, errno
	}
}

func stampOf(st *syscall.Stat_t) stamp {
	return stamp{
		size: st.Size, mtime: st.Mtim.Nano(), ctime: st.Ctim.Nano(),
		inode: st.Ino, device: st.Dev, mode: uint64(st.Mode),
	}
}
