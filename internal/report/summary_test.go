package report

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/charmbracelet/x/ansi"
	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs (-want +got); look at it, then: go test ./internal/report -update\n%s", path, diff)
	}
}

func TestSummary(t *testing.T) {
	for _, c := range []struct {
		golden string
		story  *story
		o      Options
	}{
		{"four-80.txt", four(), Options{Width: 80}},
		{"four-120.txt", four(), Options{Width: 120}},
		{"every-80.txt", every(), Options{Width: 80}},
		{"every-120.txt", every(), Options{Width: 120}},
		{"every-ascii.txt", every(), Options{Width: 80, ASCII: true}},
		{"every-colour.txt", every(), Options{Width: 100, Color: true}},
		{"dry-80.txt", dry(), Options{Width: 80}},
		{"dry-120.txt", dry(), Options{Width: 120}},
		{"many.txt", many(100), Options{}},
		{"own.txt", own(), Options{}},
	} {
		t.Run(c.golden, func(t *testing.T) {
			var out strings.Builder
			if err := Summary(&out, c.story.run(22), c.o); err != nil {
				t.Fatal(err)
			}
			width := c.o.Width
			if width == 0 {
				width = 80
			}
			for _, line := range strings.Split(out.String(), "\n") {
				if got := ansi.StringWidth(line); got > width {
					t.Errorf("a line has %d cells, the page has %d: %s", got, width, line)
				}
			}
			golden(t, c.golden, out.String())
		})
	}
}
