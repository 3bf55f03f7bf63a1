package ci

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"roost/ci/speed"
)

func TestBenchParts(t *testing.T) {
	engine, lab := benchParts[0], benchParts[1]
	page := withPart("", lab, "lab one\n\n### Packages\n\nsome\n")
	page = withPart(page, engine, "engine one\n")
	want := pageHead + "\n## The engine\n\nengine one\n\n## update:all on the lab\n\nlab one\n\n### Packages\n\nsome\n"
	if diff := cmp.Diff(want, page); diff != "" {
		t.Errorf("both parts:\n%s", diff)
	}
	page = withPart(page, engine, "engine two\n\n### Goals\n")
	want = strings.Replace(want, "engine one\n", "engine two\n\n### Goals\n", 1)
	if diff := cmp.Diff(want, page); diff != "" {
		t.Errorf("the engine anew, the lab as it was:\n%s", diff)
	}
	page = withPart(page, lab, "lab two")
	if !strings.HasSuffix(page, "\n## update:all on the lab\n\nlab two\n") || !strings.Contains(page, "\n\nengine two\n") {
		t.Errorf("the lab anew, the engine as it was:\n%s", page)
	}
}

// The page of the tree is one that writePart can keep parts of.
func TestPerformancePage(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("..", performancePage))
	ok(t, err)
	page := string(data)
	for _, p := range benchParts {
		if strings.TrimSpace(partOf(page, p)) == "" {
			t.Errorf("%s has no part %q", performancePage, p.title)
		}
		if diff := cmp.Diff(page, withPart(page, p, partOf(page, p))); diff != "" {
			t.Errorf("%s is not as mage bench writes it:\n%s", performancePage, diff)
		}
	}
}

func TestWritePart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "page.md")
	ok(t, writePart(path, benchParts[1], "first"))
	ok(t, writePart(path, benchParts[0], "second"))
	data, err := os.ReadFile(path)
	ok(t, err)
	if got := string(data); !strings.Contains(got, "\nfirst\n") || !strings.Contains(got, "\nsecond\n") {
		t.Errorf("the page is %q", got)
	}
	if err := writePart(filepath.Join(path, "none"), benchParts[0], "x"); err == nil {
		t.Error("a page that cannot be written is no error")
	}
}

func TestBenchMost(t *testing.T) {
	for text, want := range map[string]int{"": 0, "1000": 1000, "999": -1, "many": -1} {
		t.Setenv("ROOST_BENCH_MOST", text)
		var o speed.Options
		if err := setMost(&o); (err != nil) != (want < 0) || err == nil && o.Most != want {
			t.Errorf("ROOST_BENCH_MOST=%q: %d, %v; want %d", text, o.Most, err, want)
		}
	}
}

func TestChosenParts(t *testing.T) {
	for name, want := range map[string]string{"": "engine lab", "engine": "engine", "lab": "lab"} {
		parts, err := chosenParts(name)
		var got []string
		for _, p := range parts {
			got = append(got, p.name)
		}
		if strings.Join(got, " ") != want || err != nil {
			t.Errorf("ROOST_BENCH=%q: %q, %v", name, got, err)
		}
	}
	if _, err := chosenParts("labs"); err == nil || !strings.Contains(err.Error(), `ROOST_BENCH="labs": want engine, lab, or nothing`) {
		t.Errorf("a part that is not: %v", err)
	}
}
