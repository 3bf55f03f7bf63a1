package command

import "bytes"

// tail keeps the last limit bytes written to it.
type tail struct {
	limit int
	buf   []byte
	cut   bool
}

func (t *tail) write(p []byte) {
	t.buf = append(t.buf, p...)
	if len(t.buf) > 2*t.limit {
		t.shrink()
	}
}

func (t *tail) shrink() {
	if extra := len(t.buf) - t.limit; extra > 0 {
		t.buf = append(t.buf[:0], t.buf[extra:]...)
		t.cut = true
	}
}

// String returns what was kept, from the start of a line.
func (t *tail) String() string {
	t.shrink()
	b := t.buf
	if t.cut {
		if i := bytes.IndexByte(b, '\n'); i >= 0 && i < len(b)-1 {
			b = b[i+1:]
		}
	}
	return string(bytes.ToValidUTF8(b, []byte("?")))
}
