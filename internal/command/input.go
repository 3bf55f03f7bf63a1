package command

import (
	"errors"
	"io"
	"os"
	"syscall"
	"time"
)

// input copies a reader to a program.
type input struct {
	theirs, ours *os.File
	done         chan error
}

func (i *input) pipe() (uintptr, error) {
	var err error
	if i.theirs, i.ours, err = os.Pipe(); err != nil {
		return 0, err
	}
	return i.theirs.Fd(), nil
}

// copy begins, when the program has started.
func (i *input) copy(r io.Reader) {
	if i.ours == nil {
		return
	}
	i.theirs.Close()
	i.done = make(chan error, 1)
	go func() {
		_, err := io.Copy(i.ours, r)
		i.done <- errors.Join(err, i.ours.Close())
	}()
}

// finish waits, when the program has ended, until all is copied. Who else reads
// it, a background process, has until patience is over. That it was not read
// to its end is no error.
func (i *input) finish(patience time.Duration) error {
	if i.done == nil {
		return nil
	}
	_ = i.ours.SetWriteDeadline(time.Now().Add(patience)) // fails where all is copied already
	err := <-i.done
	if errors.Is(err, syscall.EPIPE) || errors.Is(err, os.ErrDeadlineExceeded) {
		return nil
	}
	return err
}

func (i *input) close() {
	if i.done == nil && i.ours != nil {
		i.theirs.Close()
		i.ours.Close()
	}
}
