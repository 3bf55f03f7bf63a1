package command

import (
	"strings"
	"testing"
)

// A closed environment has nothing of ours, not even where it is empty.
func TestEnviron(t *testing.T) {
	t.Setenv("ROOST_COMMAND_TEST", "ours")
	for _, environ := range [][]string{{}, {"A=1"}} {
		c := sh(`echo "$A$ROOST_COMMAND_TEST"`)
		c.Environ = environ
		out, err := Output(t.Context(), c)
		if want := strings.TrimPrefix(strings.Join(environ, ""), "A="); err != nil || strings.TrimSpace(string(out)) != want {
			t.Errorf("%q: got %q, %v", environ, out, err)
		}
	}
	c := sh("true")
	c.Environ, c.Env = []string{}, []string{"A=1"}
	if err := Run(t.Context(), c); err == nil || !strings.Contains(err.Error(), "both Env and Environ are set") {
		t.Errorf("got %v", err)
	}
}
