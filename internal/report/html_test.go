package report

import (
	"regexp"
	"strings"
	"testing"
)

func htmlOf(t *testing.T, run *Run) string {
	t.Helper()
	var out strings.Builder
	if err := HTML(&out, run); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// body is the page without its style sheet and script, whose every change
// would change each golden file.
func body(page string) string {
	page = regexp.MustCompile(`(?s)<style>.*?</style>|<script>.*?</script>`).ReplaceAllString(page, "")
	return regexp.MustCompile(`\n{2,}`).ReplaceAllString(page, "\n")
}

func TestHTML(t *testing.T) {
	for name, s := range map[string]*story{
		"four.html": four(), "every.html": every(), "dry.html": dry(),
	} {
		t.Run(name, func(t *testing.T) { golden(t, name, body(htmlOf(t, s.run(22)))) })
	}
}

func TestManyHostsAreFolded(t *testing.T) {
	page := htmlOf(t, many(foldHosts+140).run(60))
	_, graph, _ := strings.Cut(page, "<h2>What needed what</h2>")
	graph, _, _ = strings.Cut(graph, "</section>")
	golden(t, "many-graph.html", graph)
	if want := "50 hosts that took less time are not drawn."; !strings.Contains(page, want) {
		t.Errorf("the timeline does not say %q", want)
	}
}

func TestHTMLNeedsNothingElse(t *testing.T) {
	page := htmlOf(t, every().run(22))
	for _, outside := range []string{"http://", "https://", "src=", "@import", "<link", "url(http"} {
		if strings.Contains(page, outside) {
			t.Errorf("the page has %q: it must not load anything", outside)
		}
	}
	for _, must := range []string{"&lt;1&gt; &amp; left", "prefers-color-scheme: dark", "<title>raum/activate: failed"} {
		if !strings.Contains(page, must) {
			t.Errorf("the page has no %q", must)
		}
	}
	if strings.Contains(page, "\x1b") {
		t.Error("the page has an escape sequence")
	}
}
