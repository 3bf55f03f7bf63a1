package nix

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var versions = []string{"2.8.0", "2.26.3", "2.34.8"}

// samples are the hosts of testdata/fleet that fail. What three versions of
// Nix said about them is in testdata/said; record it with
//
//	nix eval --json --no-write-lock-file --show-trace --option eval-cache false \
//		path:testdata/fleet#nixosConfigurations.NAME.config.drv
var samples = map[string]struct {
	message string // in each version's
	frame   string
	missing string
}{
	"missing": {"attribute 'hostname' missing\nDid you mean hostName?", "modules/lib.nix:3:15", ""},
	"thrown":  {"The option `services.foo' does not exist.\n\nDefinition values:\n- In `/x/y.nix': true", "hosts/malphas/thrown.nix:3:9", ""},
	"asserts": {"", "hosts/malphas/asserts.nix:3:9", ""},
	"type":    {"cannot coerce an integer to a string", "hosts/malphas/type.nix:3:15", ""},
	"syntax":  {"syntax error, unexpected '}', expecting ';'", "hosts/malphas/syntax.nix:4:1", ""},
	"undef":   {"undefined variable 'pkgs'", "hosts/malphas/undef.nix:3:9", ""},
	"nofile":  {"/nix/store/anzp6fscg7xljgwiyxx030g9nda7fn0j-source/overlays", "hosts/malphas/nofile.nix:3:9", "overlays"},
	"readdir": {"/nix/store/anzp6fscg7xljgwiyxx030g9nda7fn0j-source/overlays", "hosts/malphas/readdir.nix:3:29", "overlays"},
	"deep":    {"", "hosts/malphas/deep.nix:3:25", ""},
	"abort":   {"evaluation aborted with the following error message: 'no error: here'", "hosts/malphas/abort.nix:3:9", ""},
	"nosuch":  {"flake 'path:/home/me/fleet' does not provide attribute ", "", ""},
}

func TestSaidEval(t *testing.T) {
	for _, version := range versions {
		for name, want := range samples {
			t.Run(version+" "+name, func(t *testing.T) {
				text, err := os.ReadFile(filepath.Join("testdata/said", version, name))
				if err != nil {
					t.Fatal(err)
				}
				e := new(Nix).evalError(EvalRequest{Attr: "x", UserFiles: fleet}, string(text))
				frame := want.frame
				if version == "2.8.0" && (name == "thrown" || name == "abort") {
					frame = "modules/lib.nix:2:42" // it does not say where these were called
				}
				if e.Frame != frame || e.Missing != want.missing {
					t.Errorf("frame %q missing %q, want %q %q", e.Frame, e.Missing, frame, want.missing)
				}
				if !strings.Contains(e.Message, want.message) || strings.HasPrefix(e.Message, "error:") || strings.Contains(e.Message, "…") || strings.Contains(e.Message, "| ") {
					t.Errorf("message %q, want %q", e.Message, want.message)
				}
			})
		}
	}
}

func TestSaidBuild(t *testing.T) {
	for _, version := range versions {
		text, err := os.ReadFile(filepath.Join("testdata/said", version, "build"))
		if err != nil {
			t.Fatal(err)
		}
		e := newBuildError("/nix/store/x-parent.drv", string(text))
		if e.Drv != "/nix/store/m731ix8mlxkzg2zpx1dpkn8q7ff6dybg-child.drv" || !strings.Contains(e.Message, "exit code 3") ||
			strings.Contains(e.Message, "parent") || e.LogTail != "one\nerror: two" {
			t.Errorf("%s: got %+v", version, e)
		}
	}
}

// What Nix says when a copy fails, seen with the versions named.
func TestSaidCopy(t *testing.T) {
	const to = "ssh-ng://root@pi"
	tests := []struct{ name, said, want string }{
		{"2.8 refused", "ssh: connect to host pi port 22: Connection refused\nerror: cannot open connection to remote store '" + to + "': error: unexpected end-of-file\n", "link"},
		{"2.26 refused", "ssh: connect to host pi port 22: Connection refused\nerror: failed to start SSH connection to 'root@pi'\n", "link"},
		{"2.34 no daemon", "error: cannot open connection to remote store '" + to + "': error: Nix daemon disconnected unexpectedly (maybe it crashed?)\n", "link"},
		{"2.8 lost", "copying 1 paths...\nerror: unexpected end-of-file\n", "link"},
		{"written to nobody", "copying 1 paths...\nerror: writing to file: Broken pipe\n", "link"},
		{"2.8 full", "copying 1 paths...\ncopying path '/nix/store/x' to '" + to + "'...\nerror: writing to file: No space left on device\n", "full"},
		{"2.34 full", "error: setting journal mode: database or disk is full, database or disk is full (in '/nix/var/nix/db/db.sqlite')\n", "full"},
		{"full, then lost", "error: writing to file: No space left on device\nerror: unexpected end-of-file\n", "full"},
		{"2.8 signature", "error: cannot add path '/nix/store/x' because it lacks a valid signature\n", "trust"},
		{"2.26 signature", "error: cannot add path '/nix/store/x' because it lacks a signature by a trusted key\n", "trust"},
		{"another", "error: path '/nix/store/x' is not valid\n", "other"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := copyFailure(to, "/nix/store/x", tt.said)
			got := "other"
			var link *LinkError
			var full *DiskFullError
			var trust *TrustError
			switch {
			case errors.As(err, &link):
				got = "link"
			case errors.As(err, &full):
				got = "full"
			case errors.As(err, &trust):
				got = "trust"
			}
			if got != tt.want || strings.Contains(err.Error(), "copying path") {
				t.Errorf("got %s: %v", got, err)
			}
			if strings.HasPrefix(tt.said, "ssh: ") && !strings.Contains(err.Error(), "Connection refused") {
				t.Errorf("ssh's reason is lost: %v", err)
			}
		})
	}
}

func FuzzReadFailure(f *testing.F) {
	for _, version := range versions {
		for name := range samples {
			text, err := os.ReadFile(filepath.Join("testdata/said", version, name))
			if err != nil {
				f.Fatal(err)
			}
			f.Add(string(text))
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		failure := readFailure(text)
		for _, frame := range failure.frames {
			if !strings.Contains(text, frame.file+frame.position) {
				t.Errorf("invented frame %v", frame)
			}
		}
		newBuildError("/x", text)
	})
}
