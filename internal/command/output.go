package command

import (
	"errors"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// output copies what a program writes to our writers. os/exec can do that too,
// but where a background process keeps a pipe open, it can only give up after a
// fixed time, and drops what a slow writer has not taken by then. Here it is
// exact: what the program wrote is in the pipe when it ends, so that much is
// copied, and no more.
type output struct {
	mu      sync.Mutex // held while writing: the two writers may be the same
	theirs  []*os.File // ends for the program
	ours    []*os.File
	copying sync.WaitGroup
	err     error // the first of a writer
}

// pipe returns the file to give the program in place of w. Close theirs when
// the program has started.
func (o *output) pipe(w io.Writer) (*os.File, error) {
	r, theirs, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	o.theirs, o.ours = append(o.theirs, theirs), append(o.ours, r)
	o.copying.Go(func() { o.copy(r, w) })
	return theirs, nil
}

func (o *output) copy(r *os.File, w io.Writer) {
	defer r.Close()
	buf := make([]byte, 32<<10)
	rest := -1 // bytes still to copy; -1: until the end of file
	for rest != 0 {
		if rest > 0 && rest < len(buf) {
			buf = buf[:rest]
		}
		n, err := r.Read(buf)
		if n > 0 && !o.write(w, buf[:n]) {
			return
		}
		switch {
		case rest > 0:
			rest -= n
		case errors.Is(err, os.ErrDeadlineExceeded): // finish: the program has ended
			if rest = waiting(r); r.SetReadDeadline(time.Time{}) != nil {
				return
			}
			continue
		}
		if err != nil {
			return
		}
	}
}

// waiting returns how many bytes are in a pipe.
func waiting(r *os.File) int {
	n := 0
	if conn, err := r.SyscallConn(); err == nil {
		_ = conn.Control(func(fd uintptr) { n, err = unix.IoctlGetInt(int(fd), fionread) })
		if err != nil {
			return 0
		}
	}
	return n
}

func (o *output) write(w io.Writer, p []byte) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if _, err := w.Write(p); err != nil {
		if o.err == nil {
			o.err = err
		}
		return false
	}
	return true
}

func (o *output) started() {
	for _, f := range o.theirs {
		f.Close()
	}
}

// finish waits, after the program's end, until all it wrote is copied.
func (o *output) finish() error {
	for _, f := range o.ours {
		_ = f.SetReadDeadline(time.Unix(1, 0)) // fails where the copy is done already
	}
	o.copying.Wait()
	return o.err
}
