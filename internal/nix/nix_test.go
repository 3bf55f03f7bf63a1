package nix

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"roost/internal/testneed"
)

func TestParseVersion(t *testing.T) {
	tests := []struct{ line, id, err string }{
		{"nix (Nix) 2.8.0", "nix-2.8.0", ""},
		{"nix (Nix) 2.34.8", "nix-2.34.8", ""},
		{"nix (Nix) 2.19.0pre20230921_abcdef1", "nix-2.19.0pre20230921_abcdef1", ""},
		{"nix (Lix, like Nix) 2.91.1", "lix-2.91.1", ""},
		{"nix (Determinate Nix 3.8.5) 2.30.1", "determinate-2.30.1", ""},
		{"nix (Nix) 3.0.0", "nix-3.0.0", ""},
		{"nix (Nix) 2.7.0", "", "2.7.0 is too old"},
		{"nix (Nix) 1.11.16", "", "too old"},
		{"nix 0.1 (a spreadsheet)", "", "really Nix?"},
		{"", "", "really Nix?"},
	}
	for _, tt := range tests {
		n, err := parseVersion(tt.line)
		switch {
		case tt.err != "":
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%q: got %v, %v", tt.line, n, err)
			}
		case err != nil || n.ID() != tt.id:
			t.Errorf("%q: got %v, %v, want %s", tt.line, n, err, tt.id)
		}
	}
}

func TestDetectWithoutNix(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	if _, err := Detect(t.Context()); !errors.Is(err, exec.ErrNotFound) || !strings.Contains(err.Error(), "apt install nix-bin") {
		t.Errorf("got %v", err)
	}
}

func TestDetect(t *testing.T) {
	testneed.Tool(t, "nix")
	n, err := Detect(t.Context())
	if err != nil || n.ID() == "" {
		t.Fatalf("got %v, %v", n, err)
	}
	t.Log(n.ID())
}

func TestRealPath(t *testing.T) {
	const path = "/nix/store/abc-x"
	tests := []struct{ remote, want string }{
		{"", path},
		{"daemon", path},
		{"local?root=/lab", "/lab" + path},
		{"local?root=/a%20b&read-only=true", "/a b" + path},
		{"local?store=/x", path},
	}
	for _, tt := range tests {
		t.Setenv("NIX_REMOTE", tt.remote)
		if got := new(Nix).RealPath(path); got != tt.want {
			t.Errorf("NIX_REMOTE=%s: got %s, want %s", tt.remote, got, tt.want)
		}
	}
}

func TestAttrPath(t *testing.T) {
	tests := []struct {
		parts []string
		want  string
	}{
		{[]string{"nixosConfigurations", "pi-4", "config"}, "nixosConfigurations.pi-4.config"},
		{[]string{"a", "b.c", "4x", ""}, `a."b.c"."4x".""`},
		{[]string{"a", `b".c."d`, "e", `f"`}, `a."b.c.d`}, // refused by Eval
	}
	for _, tt := range tests {
		if got := AttrPath(tt.parts...); got != tt.want {
			t.Errorf("AttrPath(%q) = %s, want %s", tt.parts, got, tt.want)
		}
	}
	if got := fragment(`a."b c%^#"`); got != `a."b%20c%25%5E%23"` {
		t.Errorf("got %s", got)
	}
	err := new(Nix).Eval(t.Context(), EvalRequest{Flake: "path:/x", Attr: AttrPath(`a"b`)}, new(any), nil)
	if err == nil || !strings.Contains(err.Error(), "cannot spell") {
		t.Errorf("got %v", err)
	}
}

const fleet = "testdata/fleet"

// fleetRequest is for a host of the test's fleet, at its absolute path.
func fleetRequest(t *testing.T, host string) EvalRequest {
	t.Helper()
	dir, err := filepath.Abs(fleet)
	if err != nil {
		t.Fatal(err)
	}
	return EvalRequest{Flake: "path:" + dir, Attr: AttrPath("nixosConfigurations", host, "config", "drv"), UserFiles: dir}
}

func TestEvalBuildCopy(t *testing.T) {
	n := privateStore(t)
	var drv string
	var log strings.Builder
	if err := n.Eval(t.Context(), fleetRequest(t, "a.b"), &drv, &log); err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(drv, "-ok.drv") || !n.Exists(drv) {
		t.Fatalf("drv %q", drv)
	}
	var names []string
	r := EvalRequest{Flake: fleetRequest(t, "").Flake, Attr: AttrPath("nixosConfigurations"), Apply: `set: builtins.filter (n: builtins.match "[a-b].*" n != null) (builtins.attrNames set)`}
	if err := n.Eval(t.Context(), r, &names, nil); err != nil || strings.Join(names, " ") != "a.b abort asserts bad" {
		t.Errorf("names %q, %v", names, err)
	}
	if err := n.Eval(t.Context(), r, &drv, nil); err == nil || !strings.Contains(err.Error(), "not what was expected") {
		t.Errorf("a list into a string: %v", err)
	}

	link := filepath.Join(t.TempDir(), "host")
	out, err := n.Build(t.Context(), drv, link, &log)
	if err != nil {
		t.Fatal(err)
	}
	if target, err := os.Readlink(link); err != nil || target != out {
		t.Errorf("the link points to %q, %v; want %s", target, err, out)
	}
	if b, err := os.ReadFile(filepath.Join(n.RealPath(out), "f")); err != nil || string(b) != "hi\n" {
		t.Errorf("built %q, %v", b, err)
	}
	if !strings.Contains(log.String(), "ok> building ok") {
		t.Errorf("the builder's output is not in the log: %q", log.String())
	}
	if again, err := n.Build(t.Context(), drv, "", nil); err != nil || again != out {
		t.Errorf("again: %q, %v", again, err)
	}

	to := filepath.Join(t.TempDir(), "other")
	if err := n.Copy(t.Context(), "local?root="+to, "", out, &log); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(to, out, "f")); err != nil {
		t.Error(err)
	}
}

// Nix calls the ssh that is on PATH: here one that fails as the real one does.
func TestCopyToUnreachableHost(t *testing.T) {
	n := privateStore(t)
	bin := t.TempDir()
	args := filepath.Join(bin, "args")
	script := "#!/bin/sh\necho \"$@\" >>" + args + "\necho 'ssh: connect to host pi port 22: Connection refused' >&2\nexit 255\n"
	if err := os.WriteFile(filepath.Join(bin, "ssh"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	var drv string
	if err := n.Eval(t.Context(), fleetRequest(t, "ok"), &drv, nil); err != nil {
		t.Fatal(err)
	}
	err := n.Copy(t.Context(), "ssh-ng://root@pi", "-p 2222", drv, nil)
	var link *LinkError
	if !errors.As(err, &link) || !strings.Contains(link.Message, "Connection refused") {
		t.Errorf("got %T: %v", err, err)
	}
	if b, err := os.ReadFile(args); err != nil || !strings.Contains(string(b), "-p 2222") {
		t.Errorf("ssh was called with %q, %v", b, err)
	}
}

func TestEvalErrors(t *testing.T) {
	n := privateStore(t)
	for _, name := range []string{"missing", "syntax", "undef", "deep"} {
		t.Run(name, func(t *testing.T) {
			err := n.Eval(t.Context(), fleetRequest(t, name), new(string), nil)
			var e *EvalError
			if !errors.As(err, &e) {
				t.Fatalf("got %T: %v", err, err)
			}
			if e.Frame != samples[name].frame || e.Attr != "nixosConfigurations."+name+".config.drv" {
				t.Errorf("got %s at %q, want %q\n%s", e.Attr, e.Frame, samples[name].frame, e.Trace)
			}
			if lines := strings.Count(e.Error(), "\n"); lines > 4 {
				t.Errorf("%d lines: the trace is in the message: %v", lines, e)
			}
		})
	}
	t.Run("nofile", func(t *testing.T) {
		var e *EvalError
		if err := n.Eval(t.Context(), fleetRequest(t, "nofile"), new(string), nil); !errors.As(err, &e) || e.Missing != "overlays" {
			t.Errorf("got %#v", e)
		}
	})
	t.Run("files of an input are not the user's", func(t *testing.T) {
		r := fleetRequest(t, "missing")
		r.UserFiles = t.TempDir() // has a modules/lib.nix, but another one
		if err := os.Mkdir(filepath.Join(r.UserFiles, "modules"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(r.UserFiles, "modules", "lib.nix"), []byte("{ }"), 0o600); err != nil {
			t.Fatal(err)
		}
		var e *EvalError
		if err := n.Eval(t.Context(), r, new(string), nil); !errors.As(err, &e) || e.Frame != "" {
			t.Errorf("frame %q: %v", e.Frame, err)
		}
	})
	t.Run("cancelled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		var e *EvalError
		if err := n.Eval(ctx, fleetRequest(t, "a.b"), new(string), nil); !errors.Is(err, context.Canceled) || errors.As(err, &e) {
			t.Errorf("got %v", err)
		}
	})
}

func TestBuildErrors(t *testing.T) {
	n := privateStore(t)
	var drv string
	if err := n.Eval(t.Context(), fleetRequest(t, "bad"), &drv, nil); err != nil {
		t.Fatal(err)
	}
	var e *BuildError
	if _, err := n.Build(t.Context(), drv, "", nil); !errors.As(err, &e) {
		t.Fatalf("got %T: %v", err, err)
	}
	if !strings.HasSuffix(e.Drv, "-child.drv") || !strings.Contains(e.Message, "exit code 3") || e.LogTail != "one\nerror: two" {
		t.Errorf("got %+v", e)
	}
	if want := "nix log " + e.Drv; !strings.Contains(e.Error(), want) {
		t.Errorf("%q does not say %q", e.Error(), want)
	}
	gone := "/nix/store/00000000000000000000000000000000-gone.drv"
	if _, err := n.Build(t.Context(), gone, "", nil); !errors.As(err, &e) || e.Drv != gone || e.LogTail != "" {
		t.Errorf("got %v", err)
	}
}
