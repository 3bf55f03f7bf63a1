package lab

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// A kind says what a record of the journal is about, and so how it is undone.
type kind string

const (
	kindBoot    kind = "boot"    // Name: boot id of the machine; what stands before is gone
	kindClaim   kind = "claim"   // Number: the lab's number, claimed for the whole machine
	kindLink    kind = "link"    // Name: a network interface
	kindDisk    kind = "disk"    // Path: a file which a loop device may have open
	kindCgroup  kind = "cgroup"  // Path: a folder of a cgroup file system
	kindProcess kind = "process" // PID, Start
	kindNspawn  kind = "nspawn"  // Path: what nspawn leaves in /run when it is killed
	kindFault   kind = "fault"   // Host, Name, On: for Status; goes with the host
)

// A record stands in the journal before the thing it names is made.
type record struct {
	Kind   kind   `json:"kind"`
	Name   string `json:"name,omitempty"`
	Path   string `json:"path,omitempty"`
	Host   string `json:"host,omitempty"`
	Number int    `json:"number,omitempty"`
	On     bool   `json:"on,omitempty"`
	process
}

// journal is an append-only file, one JSON record a line.
type journal struct {
	path string
	mu   sync.Mutex
}

// add appends a record and returns when it is on the disk.
func (j *journal) add(r record) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	line, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if err := j.write(append(line, '\n')); err != nil {
		return fmt.Errorf("journal %s: %w", j.path, err)
	}
	return nil
}

func (j *journal) write(line []byte) error {
	file, err := os.OpenFile(j.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err := file.Write(line); err != nil {
		return err
	}
	if err := file.Sync(); err != nil {
		return err
	}
	if size, err := file.Seek(0, 2); err != nil || size > int64(len(line)) {
		return err
	}
	dir, err := os.Open(filepath.Dir(j.path)) // the file is new
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}

// repair ends a line which a crash cut off, so that the next one is readable.
func (j *journal) repair() error {
	data, err := os.ReadFile(j.path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && (len(data) == 0 || data[len(data)-1] == '\n') {
		return nil
	}
	if err == nil {
		err = j.write([]byte("\n"))
	}
	if err != nil {
		return fmt.Errorf("journal %s: %w", j.path, err)
	}
	return nil
}

// records gives what may exist now on a machine with this boot id, oldest first.
func (j *journal) records(bootID string) ([]record, error) {
	data, err := os.ReadFile(j.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return replay(data, bootID), nil
}

// replay leaves out a line it cannot read: the crash that cut it off came
// before the thing was made. Equal records are given once.
func replay(data []byte, bootID string) []record {
	var records []record
	seen := map[record]bool{}
	current := ""
	for line := range bytes.Lines(data) {
		var r record
		if json.Unmarshal(line, &r) != nil || r.Kind == "" {
			continue
		}
		switch {
		case r.Kind == kindBoot:
			if r.Name != current {
				records, seen, current = nil, map[record]bool{}, r.Name
			}
		case r.Kind == kindFault || !seen[r]:
			seen[r] = true
			records = append(records, r)
		}
	}
	if current != bootID {
		return nil
	}
	return records
}

// faultsOf gives the faults of a host that are on, in the order they came.
func faultsOf(records []record, host string) []string {
	var on []string
	for _, r := range records {
		if r.Kind != kindFault || r.Host != host {
			continue
		}
		var rest []string
		for _, name := range on {
			if name != r.Name {
				rest = append(rest, name)
			}
		}
		if r.On {
			rest = append(rest, r.Name)
		}
		on = rest
	}
	return on
}

func machineBootID() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(id))
}
