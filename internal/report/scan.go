package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"slices"
	"sync"
	"syscall"
)

// mapped is a file whose bytes are there without a copy: most of a record is only
// looked at to see that it does not matter. A record grows, and is never cut.
type mapped struct{ data []byte }

func mapFile(path string) (*mapped, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read the record of a run: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	m := &mapped{}
	if err == nil && info.Size() > 0 {
		m.data, err = syscall.Mmap(int(f.Fd()), 0, int(info.Size()), syscall.PROT_READ, syscall.MAP_SHARED)
	}
	if err != nil {
		return nil, fmt.Errorf("read the record of a run: %w", &os.PathError{Op: "map", Path: path, Err: err})
	}
	return m, nil
}

// close ends the use of the bytes. A nil one has none.
func (m *mapped) close() {
	if m != nil && m.data != nil {
		syscall.Munmap(m.data) // fails only for what is not mapped
		m.data = nil
	}
}

// smallPart is how many bytes are too few to give them to one more processor.
const smallPart = 1 << 20

// scan returns the lines which are of use, in their order and without their ends.
// It asks for several at a time.
func scan(data []byte, use func(line []byte) bool) [][]byte {
	parts := max(1, min(runtime.GOMAXPROCS(0), len(data)/smallPart))
	found := make([][][]byte, parts)
	var all sync.WaitGroup
	rest := data
	for part := range parts {
		here := rest
		if size := len(data) / parts; part < parts-1 && size < len(rest) {
			end := bytes.IndexByte(rest[size:], '\n') + 1
			if end > 0 {
				here = rest[:size+end]
			}
		}
		rest = rest[len(here):]
		all.Go(func() {
			for len(here) > 0 {
				line := here
				if end := bytes.IndexByte(here, '\n'); end >= 0 {
					line, here = here[:end], here[end+1:]
				} else {
					here = nil
				}
				if use(line) {
					found[part] = append(found[part], line)
				}
			}
		})
	}
	all.Wait()
	return slices.Concat(found...)
}

// eventTask finds the name of the task in a line that is as graph.Event's
// AppendJSON writes it, and returns the line from there on. Of any other line it
// is not sure. It is called for each line of a record: so it goes from field to
// field, and looks at nothing twice.
func eventTask(line []byte) (name []byte, ok bool) {
	const (
		start     = `{"v":1,"seq":` // graph.EventVersion
		timeField = `,"time":"`
		kindField = `","kind":"`
		taskField = `","task":"`
	)
	if len(line) < len(start) || string(line[:len(start)]) != start {
		return nil, false
	}
	i := len(start)
	for i < len(line) && '0' <= line[i] && line[i] <= '9' {
		i++
	}
	if line = line[i:]; len(line) < len(timeField) || string(line[:len(timeField)]) != timeField {
		return nil, false
	}
	line = line[len(timeField):]
	if i = bytes.IndexByte(line, '"'); i < 0 || len(line) < i+len(kindField) || string(line[i:i+len(kindField)]) != kindField {
		return nil, false
	}
	line = line[i+len(kindField):]
	if i = bytes.IndexByte(line, '"'); i < 0 || len(line) < i+len(taskField) || string(line[i:i+len(taskField)]) != taskField {
		return nil, false
	}
	return line[i+len(taskField):], true
}

// plannedTask is eventTask of a line of a plan.
func plannedTask(line []byte) (name []byte, ok bool) {
	return bytes.CutPrefix(line, []byte(`{"task":"`))
}

// nameAt is the name that these functions found the beginning of.
func nameAt(text []byte) string {
	end := 0
	for end < len(text) && text[end] != '"' {
		if text[end] == '\\' {
			end++
		}
		end++
	}
	end = min(end, len(text))
	if bytes.IndexByte(text[:end], '\\') < 0 {
		return string(text[:end])
	}
	var name string
	if json.Unmarshal(slices.Concat([]byte{'"'}, text[:end], []byte{'"'}), &name) != nil {
		return string(text[:end])
	}
	return name
}

// among asks whether what begins with the name of a task, as JSON has it, is
// about one of these tasks. It may say yes of another.
func among(tasks []string) func(name []byte) bool {
	set := map[string]bool{}
	only := ""
	for _, task := range tasks {
		if text, err := json.Marshal(task); err == nil {
			only = string(text[1:])
			set[only] = true
		}
	}
	if len(set) == 1 { // as most often
		return func(name []byte) bool { return len(name) >= len(only) && string(name[:len(only)]) == only }
	}
	return func(name []byte) bool {
		end := bytes.IndexByte(name, '"') + 1
		if end >= 2 && name[end-2] == '\\' {
			return true // a quote inside the name
		}
		return set[string(name[:end])]
	}
}
