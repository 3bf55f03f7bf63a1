package lab

import (
	"context"
	"fmt"
	"os"
	"testing"
)

// upEnv makes this test binary an `Up` in the folder it names: a process of its
// own, which tests kill.
const upEnv = "ROOST_LAB_TEST_UP"

func TestMain(m *testing.M) {
	MaybeSupervise()
	if dir := os.Getenv(upEnv); dir != "" {
		l, err := Open(dir)
		if err == nil {
			err = l.Up(context.Background(), "testdata/fleet", os.Stdout)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}
