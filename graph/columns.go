package graph

import (
	"bufio"
	"encoding/binary"
	"hash"
	"hash/crc32"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"unsafe"
)

// A column file is what this machine has in memory, on disk: some numbers, and
// columns of values as they lie in memory. It is mapped, not read: of a column
// that nobody asks for not a byte is touched. It is written whole or not at all.

const (
	columnMagic   = 16
	byteOrder     = 0x0102030405060708 // another machine's file is none
	columnPadding = 8
)

type columnFile struct {
	data    []byte
	numbers []uint64
	starts  []uint64
}

// columnLayout says what a kind of column file has.
type columnLayout struct {
	magic            string // 16 bytes, with the version
	numbers, columns int
}

func (l columnLayout) header() int { return columnMagic + 8*(1+l.numbers+l.columns+1) }

// open maps a file. A nil file was not there, or is damaged or of another
// version. Writing into its memory changes nothing on disk.
func (l columnLayout) open(path string) (f *columnFile, damaged bool) {
	file, err := os.Open(path)
	if err != nil {
		return nil, false
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil || info.Size() < int64(l.header()) || info.Size() != int64(int(info.Size())) {
		return nil, true
	}
	data, err := syscall.Mmap(int(file.Fd()), 0, int(info.Size()), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_PRIVATE)
	if err != nil {
		return nil, false
	}
	f = &columnFile{data: data}
	if !f.parse(l) {
		syscall.Munmap(data)
		return nil, true
	}
	// Who began with this file goes on with it when there is a newer one.
	runtime.AddCleanup(f, func(data []byte) { syscall.Munmap(data) }, data)
	return f, false
}

func (f *columnFile) parse(l columnLayout) bool {
	head := f.data[:l.header()]
	words := make([]uint64, 1+l.numbers+l.columns+1)
	for i := range words {
		words[i] = binary.NativeEndian.Uint64(head[columnMagic+8*i:])
	}
	if string(head[:columnMagic]) != l.magic || words[0] != byteOrder ||
		uint64(crc32.Checksum(head[:len(head)-8], castagnoli)) != words[len(words)-1] {
		return false
	}
	f.numbers, f.starts = words[1:1+l.numbers], words[1+l.numbers:len(words)-1]
	for i, start := range f.starts {
		if start%columnPadding != 0 || start > uint64(len(f.data)) || i > 0 && start < f.starts[i-1] {
			return false
		}
	}
	return true
}

// raw is a column's memory, with what pads it.
func (f *columnFile) raw(which int) []byte {
	if which+1 < len(f.starts) {
		return f.data[f.starts[which]:f.starts[which+1]]
	}
	return f.data[f.starts[which]:]
}

// column is a column of n values; ok is made false if there are not so many.
func column[T any](f *columnFile, which, n int, ok *bool) []T {
	var one T
	bytes := f.raw(which)
	if n < 0 || uint64(len(bytes)) < uint64(n)*uint64(unsafe.Sizeof(one)) {
		*ok = false
		return nil
	}
	if n == 0 {
		return nil
	}
	return unsafe.Slice((*T)(unsafe.Pointer(&bytes[0])), n)
}

// columnWriter writes columns one after the other.
type columnWriter struct {
	w      *bufio.Writer
	at     uint64
	starts []uint64
	sums   hash.Hash // of what is written, if somebody wants it
	err    error
}

// write writes a file. Nobody waits for the disk: one that a power cut has
// damaged is noticed, and made again.
func (l columnLayout) write(path string, numbers []uint64, columns func(*columnWriter)) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".columns-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // gone already, if all went well
	w := &columnWriter{w: bufio.NewWriterSize(f, 256<<10)}
	w.bytes(make([]byte, l.header()))
	columns(w)
	if w.err == nil {
		w.err = w.w.Flush()
	}
	if w.err == nil {
		head := append(make([]byte, 0, l.header()), l.magic...)
		for _, words := range [][]uint64{{byteOrder}, numbers, w.starts} {
			for _, word := range words {
				head = binary.NativeEndian.AppendUint64(head, word)
			}
		}
		head = binary.NativeEndian.AppendUint64(head, uint64(crc32.Checksum(head, castagnoli)))
		_, w.err = f.WriteAt(head, 0)
	}
	if err := f.Close(); w.err == nil {
		w.err = err
	}
	if w.err != nil {
		return w.err
	}
	return os.Rename(f.Name(), path)
}

// begin begins the next column.
func (w *columnWriter) begin() {
	if odd := w.at % columnPadding; odd != 0 {
		w.bytes(make([]byte, columnPadding-odd))
	}
	w.starts = append(w.starts, w.at)
}

func (w *columnWriter) bytes(b []byte) {
	n, err := w.w.Write(b)
	if w.sums != nil {
		w.sums.Write(b)
	}
	w.at += uint64(n)
	if w.err == nil {
		w.err = err
	}
}

// writeColumn writes n values as they lie in memory.
func writeColumn[T any](w *columnWriter, n int, at func(i int) T) {
	w.begin()
	buf := make([]T, 0, 1024)
	for i := 0; i < n; {
		buf = buf[:0]
		for ; i < n && len(buf) < cap(buf); i++ {
			buf = append(buf, at(i))
		}
		w.bytes(memoryOf(buf))
	}
}

// writeSlice writes a column that lies in memory as it is.
func writeSlice[T any](w *columnWriter, values []T) {
	w.begin()
	w.bytes(memoryOf(values))
}

// memoryOf is the memory of a slice of values without pointers.
func memoryOf[T any](values []T) []byte {
	var one T
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(values))), uintptr(len(values))*unsafe.Sizeof(one))
}
