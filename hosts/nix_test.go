package hosts

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"roost/internal/testneed"
	"roost/internal/tomldoc"
)

// TestNixReadsTheSame: Nix and Go read one file, so what Load accepts must be
// the same to builtins.fromTOML.
func TestNixReadsTheSame(t *testing.T) {
	testneed.Tool(t, "nix-instantiate")
	files := map[string]string{"modules/opt-in/desktop/plasma.nix": "", "modules/opt-in/web.nix": ""}
	var want []any
	for _, r := range rules {
		text := r.text
		if !strings.HasPrefix(text, "\n") {
			text = base + text
		}
		if r.want == nil {
			name := fmt.Sprintf("host%03d", len(want))
			files["hosts/"+name+"/host.toml"] = text
			want = append(want, tomldoc.Parse([]byte(text), tomldoc.AsNix).Values)
		}
	}
	dir := writeFleet(t, files)
	if _, err := Load(dir); err != nil {
		t.Fatal(err)
	}
	paths, err := filepath.Glob(filepath.Join(dir, "hosts/*/host.toml"))
	if err != nil {
		t.Fatal(err)
	}
	expr := "builtins.toJSON (map (f: builtins.fromTOML (builtins.readFile f)) [ " + strings.Join(paths, " ") + " ])"
	cmd := exec.CommandContext(t.Context(), "nix-instantiate", "--eval", "--strict", "--json", "--store", "dummy://", "--expr", expr)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, &stderr)
	}
	var text string
	var got []any
	if err := json.Unmarshal(out, &text); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	if err := json.Unmarshal([]byte(text), &got); err != nil {
		t.Fatal(err)
	}
	asJSON, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var ours []any
	if err := json.Unmarshal(asJSON, &ours); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(ours, got); diff != "" {
		t.Errorf("(-Go +Nix):\n%s", diff)
	}
}
