package command

import (
	"errors"
	"io"
	"os"
	"sync"
	"time"
)

// idle is how long a pipe that somebody still holds must be silent after the
// program's end to be taken for read out. What the program wrote is in the pipe
// by then, so it is there at once.
const idle = 200 * time.Millisecond

// output copies what a program writes to our writers. os/exec can do that too,
// but where a background process keeps a pipe open, it can only give up after a
// fixed time and drop what a slow writer has not taken yet. Here only the
// silence of the pipe counts.
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
	// A read fails at once when its deadline has passed, even if there is
	// something to read: only a deadline that was set and waited for since the
	// last byte means silence.
	progress := true
	for {
		n, err := r.Read(buf)
		if n > 0 {
			progress = true
			if !o.write(w, buf[:n]) {
				return
			}
		}
		switch {
		case err == nil:
		case errors.Is(err, os.ErrDeadlineExceeded) && progress:
			progress = false
			if r.SetReadDeadline(time.Now().Add(idle)) != nil {
				return
			}
		default:
			return
		}
	}
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
		_ = f.SetReadDeadline(time.Now().Add(idle)) // fails where it is closed already
	}
	o.copying.Wait()
	return o.err
}
