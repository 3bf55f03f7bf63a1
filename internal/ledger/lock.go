package ledger

import (
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/gofrs/flock"
)

// Holder is who holds a lock.
type Holder struct {
	Verb  string    `json:"verb"`
	PID   int       `json:"pid"`
	Host  string    `json:"host"` // the machine it runs on
	Since time.Time `json:"since"`
}

// HeldError says that another run is at work on this fleet.
type HeldError struct {
	Holder Holder // zero where its note could not be read
	Path   string
}

func (e *HeldError) Error() string {
	if e.Holder.PID == 0 {
		return "another run is at work on this fleet (lock " + e.Path + ")"
	}
	where := ""
	if here, err := os.Hostname(); err == nil && here != e.Holder.Host {
		where = " on " + e.Holder.Host // the state folder is shared
	}
	return fmt.Sprintf("another run is at work on this fleet: %s (pid %d on %s) since %s, for %s\n  Wait for it, or stop it%s: kill %d",
		e.Holder.Verb, e.Holder.PID, e.Holder.Host, e.Holder.Since.Format(time.DateTime),
		time.Since(e.Holder.Since).Round(time.Second), where, e.Holder.PID)
}

// Lock is held until Release, or until the process is gone, however it went.
type Lock struct{ file *flock.Flock }

// Lock takes the fleet's lock, or says at once who holds it (*HeldError). The
// lock is the kernel's, on the file; what stands in the file only tells.
func (s *State) Lock(verb string, now time.Time) (*Lock, error) {
	path := s.Path("locks", "run")
	file := flock.New(path, flock.SetPermissions(0o600))
	ok, err := file.TryLock()
	if err != nil {
		return nil, fmt.Errorf("take the fleet's lock %s: %w", path, err)
	}
	if !ok {
		held := &HeldError{Path: path}
		if data, err := os.ReadFile(path); err == nil && json.Unmarshal(data, &held.Holder) != nil {
			held.Holder = Holder{} // it is being written just now, or damaged: name nobody
		}
		return nil, held
	}
	host, _ := os.Hostname()
	note, err := json.Marshal(Holder{Verb: verb, PID: os.Getpid(), Host: host, Since: now})
	if err == nil {
		err = os.WriteFile(path, note, 0o600) // in place: the lock is on this inode
	}
	if err != nil {
		file.Unlock()
		return nil, fmt.Errorf("write into the fleet's lock %s: %w", path, err)
	}
	return &Lock{file}, nil
}

// Release gives the lock back. The file stays: to remove it would let two runs
// hold locks on two files of the same name.
func (l *Lock) Release() error { return l.file.Unlock() }
