package command

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// program starts c with the three files. The descriptor is readable when the
// program has ended.
func (c *Cmd) program(files []uintptr) (pid, ended int, err error) {
	env, err := c.environment()
	if err != nil {
		return 0, 0, err
	}
	path, remembered, err := find(c.Name)
	if err != nil {
		return 0, 0, err
	}
	argv := append([]string{c.Name}, c.Args...)
	attr := &syscall.ProcAttr{Dir: c.Dir, Env: env, Files: files}
	pid, ended, err = start(path, argv, attr, terminal())
	if err != nil && remembered { // it may have moved since
		forget(c.Name)
		if path, _, err = find(c.Name); err != nil {
			return 0, 0, err
		}
		pid, ended, err = start(path, argv, attr, terminal())
	}
	runtime.KeepAlive(c) // and with it the files
	if err == nil {
		return pid, ended, nil
	}
	if c.Dir != "" {
		if _, missing := os.Stat(c.Dir); missing != nil {
			return 0, 0, missing // fork/exec says the same of a program that is missing
		}
	}
	return 0, 0, &fs.PathError{Op: "fork/exec", Path: path, Err: err}
}

// environment is all of the program's environment.
func (c *Cmd) environment() ([]string, error) {
	if c.Env != nil && c.Environ != nil {
		return nil, errors.New("both Env and Environ are set")
	}
	for _, list := range [][]string{c.Env, c.Environ} {
		for _, v := range list {
			if strings.IndexByte(v, 0) >= 0 {
				name, _, _ := strings.Cut(v, "=")
				return nil, fmt.Errorf("the environment variable %q contains a NUL byte", name)
			}
		}
	}
	if c.Environ != nil {
		return c.Environ, nil
	}
	env := (&exec.Cmd{Dir: c.Dir}).Environ() // sets PWD
	if len(c.Env) > 0 {
		env = (&exec.Cmd{Env: append(env, c.Env...)}).Environ() // the last one wins
	}
	return env, nil
}

// programs remembers where a name was found in a PATH: a look through all of
// PATH costs a cheap program several percent of its time.
var programs sync.Map // lookup to string

type lookup struct{ name, path string }

func find(name string) (path string, remembered bool, err error) {
	switch {
	case name == "":
		return "", false, errors.New("no command")
	case filepath.Base(name) != name:
		return name, false, nil
	}
	key := lookup{name, os.Getenv("PATH")}
	if path, ok := programs.Load(key); ok {
		return path.(string), true, nil
	}
	if path, err = exec.LookPath(name); err == nil && filepath.IsAbs(path) {
		programs.Store(key, path)
	}
	return path, false, err
}

func forget(name string) { programs.Delete(lookup{name, os.Getenv("PATH")}) }

// terminal reports whether we have a controlling terminal, which a program
// would share unless it had a session of its own. Where there is none, a
// process group does: a session makes a cheap program up to 40 % slower on a
// busy Linux, whose scheduler gives each session a group of its own.
var terminal = sync.OnceValue(func() bool {
	fd, err := unix.Open("/dev/tty", unix.O_RDONLY|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err == nil {
		_ = unix.Close(fd)
	}
	return !errors.Is(err, unix.ENXIO)
})

// null is the input and the output of programs that have none.
var null = sync.OnceValues(func() (*os.File, error) { return os.OpenFile(os.DevNull, os.O_RDWR, 0) })
