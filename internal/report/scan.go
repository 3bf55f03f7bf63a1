package report

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"syscall"

	"roost/graph"
)

// mapFile gives the bytes of a file without a copy: most of a record is only
// looked at to see that it does not matter. A record grows, and is never cut.
func mapFile(path string) (data []byte, unmap func(), err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, fmt.Errorf("read the record of a run: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err == nil && info.Size() > 0 {
		data, err = syscall.Mmap(int(f.Fd()), 0, int(info.Size()), syscall.PROT_READ, syscall.MAP_SHARED)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("read the record of a run %s: %w", path, err)
	}
	return data, func() {
		if data != nil {
			syscall.Munmap(data)
		}
	}, nil
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

// eventStart is what an event of this version begins with.
var eventStart = `{"v":` + strconv.Itoa(graph.EventVersion) + `,"seq":`

// eventTask finds the name of the task in a line that is as graph.Event's
// AppendJSON writes it, as it stands there. Of any other line, and of a name with
// an escape, it is not sure. It is called for each line of a record, so it goes
// from field to field and looks at nothing twice.
func eventTask(line []byte) (name []byte, ok bool) {
	const (
		timeField = `,"time":"`
		kindField = `","kind":"`
		taskField = `","task":"`
	)
	i := len(eventStart)
	if len(line) < i || string(line[:i]) != eventStart {
		return nil, false
	}
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
	return untilQuote(line[i+len(taskField):])
}

// plannedTask is eventTask of a line of a plan.
func plannedTask(line []byte) (name []byte, ok bool) {
	const start = `{"task":"`
	if len(line) < len(start) || string(line[:len(start)]) != start {
		return nil, false
	}
	return untilQuote(line[len(start):])
}

func untilQuote(line []byte) (name []byte, ok bool) {
	i := bytes.IndexByte(line, '"')
	if i < 0 {
		return nil, false
	}
	return line[:i], bytes.IndexByte(line[:i], '\\') < 0
}
