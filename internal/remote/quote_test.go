package remote

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"roost/internal/testneed"
)

func TestQuote(t *testing.T) {
	tests := []struct {
		args []string
		want string
	}{
		{nil, ""},
		{[]string{"if"}, "'if'"},
		{[]string{"/bin/true", "-x", "a.b"}, "/bin/true -x a.b"},
		{[]string{"A=b", ""}, "'A=b' ''"},
		{[]string{"/e", "it's", `back\slash`}, `/e 'it'"'"'s' 'back'"\\"'slash'`},
		{[]string{"/e", "~", "$HOME", "*", "a\nb", "=ls"}, "/e '~' '$HOME' '*' 'a\nb' '=ls'"},
	}
	for _, tt := range tests {
		if got := Quote(tt.args...); got != tt.want {
			t.Errorf("Quote(%q) = %s, want %s", tt.args, got, tt.want)
		}
	}
}

// readBack returns the words that a real shell makes of a line.
func readBack(t interface{ Fatal(...any) }, shell, line string) []string {
	out, err := exec.Command(shell, "-c", `printf '%s\0' `+line).Output()
	if err != nil {
		t.Fatal(shell, err, line)
	}
	words := strings.Split(string(out), "\x00")
	return words[:len(words)-1]
}

func TestQuoteAgainstShells(t *testing.T) {
	testneed.Tool(t, "sh")
	for _, shell := range []string{"sh", "bash", "zsh", "fish"} {
		if _, err := exec.LookPath(shell); err != nil && shell != "sh" {
			continue // sh is the one that must hold everywhere
		}
		t.Run(shell, rapid.MakeCheck(func(t *rapid.T) {
			char := rapid.OneOf(rapid.ByteRange(1, 255), rapid.SampledFrom([]byte(`'"\$`+"`!*?~#&;|<>(){}[] \t\n%=^")))
			word := rapid.Map(rapid.SliceOfN(char, 0, 12), func(b []byte) string { return string(b) })
			if shell == "fish" { // it refuses text that is not UTF-8
				word = rapid.StringMatching(`[ -~\n\t]{0,12}`)
			}
			args := rapid.SliceOfN(word, 1, 5).Draw(t, "args")
			if diff := cmp.Diff(args, readBack(t, shell, Quote(args...))); diff != "" {
				t.Fatal(diff)
			}
		}))
	}
}

func FuzzQuote(f *testing.F) {
	f.Add("it's", `a\`)
	f.Add("$(touch x)", "\n")
	f.Fuzz(func(t *testing.T, a, b string) {
		if strings.ContainsRune(a+b, 0) {
			t.Skip("no argument can hold a NUL byte")
		}
		if diff := cmp.Diff([]string{a, b}, readBack(t, "sh", Quote(a, b))); diff != "" {
			t.Error(diff)
		}
	})
}

func TestTyped(t *testing.T) {
	const unit = `a\x2db;reboot.service` // a host may call its units what it likes
	here := Dial(Target{Name: "malphas", Local: true}, Options{})
	there := Dial(Target{Name: "malphas", Address: "192.0.2.7", User: "admin"}, Options{RuntimeDir: "/run/roost"})
	if got, want := there.Typed("journalctl", "-u", "web.service"), "ssh admin@192.0.2.7 journalctl -u web.service"; got != want {
		t.Errorf("got %s", got)
	}
	printf := func(line string) string {
		t.Helper()
		out, err := exec.Command("sh", "-c", line).CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v: %s", line, err, out)
		}
		return string(out)
	}
	if got := printf(here.Typed("printf", "%s|", "-u", unit)); got != "-u|"+unit+"|" {
		t.Errorf("here the shell reads %s", got)
	}
	// ssh hands its arguments to another shell.
	line := strings.Replace(there.Typed("printf", "%s|", "-u", unit), "ssh admin@192.0.2.7", "sh -c", 1)
	if got := printf(line); got != "-u|"+unit+"|" {
		t.Errorf("there the shell reads %s", got)
	}
}
