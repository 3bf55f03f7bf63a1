// Package docs holds the documents to the code: what they name must exist, and
// what they show must happen.
package docs

import (
	"bytes"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"roost/graph"
	"roost/hosts"
	"roost/internal/testneed"
	"roost/tasks/own"
)

// block is a fenced block of a document.
type block struct {
	file string
	line int    // of its opening fence
	info string // "sh", "sh exec", "toml"
	text string
	next *block // the block that follows with nothing between
}

// documents are the pages, by path.
func documents(t *testing.T) map[string]string {
	t.Helper()
	texts := map[string]string{}
	for _, pattern := range []string{"../*.md", "*.md"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %d files, %v", pattern, len(files), err)
		}
		for _, file := range files {
			texts[file] = read(t, file)
		}
	}
	return texts
}

func read(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// split takes a document apart into its blocks and its prose.
func split(t *testing.T, file, text string) (blocks []*block, prose string) {
	t.Helper()
	var open, last *block
	for i, line := range strings.Split(text, "\n") {
		fence, isFence := strings.CutPrefix(line, "```")
		switch {
		case open != nil && line == "```":
			blocks, open = append(blocks, open), nil
			last = blocks[len(blocks)-1]
		case open != nil:
			open.text += line + "\n"
		case isFence:
			open = &block{file: file, line: i + 1, info: fence}
			if last != nil {
				last.next = open
			}
		case line != "":
			last = nil
			prose += line + "\n"
		}
	}
	if open != nil {
		t.Errorf("%s:%d: this block has no end", file, open.line)
	}
	return blocks, prose
}

// allBlocks are the blocks of all documents with this kind (the first word).
func allBlocks(t *testing.T, kind string) []*block {
	t.Helper()
	var found []*block
	texts := documents(t)
	for _, file := range slices.Sorted(maps.Keys(texts)) {
		blocks, _ := split(t, file, texts[file])
		for _, b := range blocks {
			if word, _, _ := strings.Cut(b.info, " "); word == kind {
				found = append(found, b)
			}
		}
	}
	if len(found) == 0 {
		t.Fatalf("no document has a block of %s", kind)
	}
	return found
}

var link = regexp.MustCompile(`\]\(([^)#\s]+)[^)]*\)`)

func TestLinks(t *testing.T) {
	for file, text := range documents(t) {
		_, prose := split(t, file, text)
		for _, m := range link.FindAllStringSubmatch(prose, -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(file), m[1])); err != nil {
				t.Errorf("%s links to %s: %v", file, m[1], err)
			}
		}
	}
}

var (
	span     = regexp.MustCompile("`[^`\n]+`")
	roostUse = regexp.MustCompile("(?:^|[\\s`/(])roost ([a-z]+(?::[a-z]+)?)")
	mageUse  = regexp.MustCompile("(?:^|[\\s`(])mage ([a-z]+(?::[a-z]+)?)")
	kongVerb = regexp.MustCompile(`cmd:"" name:"([^"]+)"`)
	variable = regexp.MustCompile(`ROOST_[A-Z_]+`)
	kongEnv  = regexp.MustCompile(`env:"(ROOST_[A-Z_]+)"`)
)

func TestVerbs(t *testing.T) {
	var roost []string
	for _, m := range kongVerb.FindAllStringSubmatch(sources(t, "../cmd/roost"), -1) {
		roost = append(roost, m[1])
	}
	targets := mageTargets(t)
	if len(roost) == 0 || len(targets) == 0 {
		t.Fatalf("found no verbs in the code: %q, %q", roost, targets)
	}
	for file, text := range documents(t) {
		blocks, prose := split(t, file, text)
		code := strings.Join(span.FindAllString(prose, -1), "\n")
		for _, b := range blocks {
			if strings.HasPrefix(b.info, "sh") || b.info == "ini" {
				code += "\n" + b.text
			}
		}
		for _, door := range []struct {
			use   *regexp.Regexp
			known []string
		}{{roostUse, roost}, {mageUse, targets}} {
			for _, m := range door.use.FindAllStringSubmatch(code, -1) {
				if !slices.Contains(door.known, m[1]) {
					t.Errorf("%s names %q; there are %s", file, strings.TrimSpace(m[0]), strings.Join(door.known, ", "))
				}
			}
		}
	}
}

// mageTargets reads the targets off the magefile, as mage names them.
func mageTargets(t *testing.T) (targets []string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "../magefile.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range file.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok || !f.Name.IsExported() {
			continue
		}
		name := strings.ToLower(f.Name.Name)
		if f.Recv != nil {
			name = strings.ToLower(f.Recv.List[0].Type.(*ast.Ident).Name) + ":" + name
		}
		targets = append(targets, name)
	}
	return targets
}

func TestVariables(t *testing.T) {
	all := sources(t, "../cmd/roost", "../internal/verbs", "../internal/testneed", "../lab", "../ci")
	for file, text := range documents(t) {
		for _, name := range variable.FindAllString(text, -1) {
			if !strings.Contains(all, `"`+name) { // "NAME" or "NAME="
				t.Errorf("%s names %s, which nothing reads", file, name)
			}
		}
	}
	operations := read(t, "operations.md")
	for _, m := range kongEnv.FindAllStringSubmatch(all, -1) {
		if !strings.Contains(operations, "`"+m[1]+"`") {
			t.Errorf("operations.md does not name %s", m[1])
		}
	}
}

// sources are the Go sources of folders, but for tests.
func sources(t *testing.T, dirs ...string) string {
	t.Helper()
	var all strings.Builder
	for _, dir := range dirs {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if !strings.HasSuffix(file, "_test.go") {
				all.WriteString(read(t, file))
			}
		}
	}
	return all.String()
}

// property is what this test reads of a JSON Schema.
type property struct {
	Ref        string              `json:"$ref"`
	Properties map[string]property `json:"properties"`
	Items      *property           `json:"items"`
	Defs       map[string]property `json:"$defs"`
}

// keys are the keys below a property that hold values: "update.health[].http".
func keys(root, p property, name string) []string {
	if p.Ref != "" {
		p = root.Defs[strings.TrimPrefix(p.Ref, "#/$defs/")]
	}
	var all []string
	switch {
	case p.Items != nil:
		all = append([]string{name}, keys(root, *p.Items, name+"[]")...)
	case p.Properties == nil && !strings.HasSuffix(name, "[]"):
		all = []string{name}
	}
	for key, child := range p.Properties {
		all = append(all, keys(root, child, strings.TrimPrefix(name+"."+key, "."))...)
	}
	return all
}

func TestKeys(t *testing.T) {
	for page, text := range map[string][]byte{"host.md": hosts.Schema(), "tasks.md": own.Schema()} {
		var schema property
		if err := json.Unmarshal(text, &schema); err != nil {
			t.Fatal(err)
		}
		top := schema
		if task, ok := schema.Defs["Task"]; ok { // tasks.md has the keys of one task
			top = task
		}
		want := keys(schema, top, "")
		_, table, _ := strings.Cut(read(t, page), "\n## Keys\n")
		table, _, _ = strings.Cut(table, "\n## ")
		var got []string
		for _, m := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\|").FindAllStringSubmatch(table, -1) {
			got = append(got, m[1])
		}
		slices.Sort(want)
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("the keys in %s are not those of the schema (-schema +%[1]s):\n%s", page, diff)
		}
	}
}

func TestTOMLLoads(t *testing.T) {
	for _, b := range allBlocks(t, "toml") {
		if b.info != "toml" {
			continue // of another file
		}
		fleet := t.TempDir()
		for name, text := range map[string]string{
			"hosts/example/host.toml":           b.text,
			"modules/opt-in/web.nix":            "{ }\n",
			"modules/opt-in/desktop/plasma.nix": "{ }\n",
		} {
			file := filepath.Join(fleet, filepath.FromSlash(name))
			if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := hosts.Load(fleet); err != nil {
			t.Errorf("%s:%d: %v", b.file, b.line, err)
		}
	}
}

func TestTasksLoad(t *testing.T) {
	tested := 0
	for _, b := range allBlocks(t, "toml") {
		if b.info != "toml tasks" {
			continue
		}
		tested++
		dir := filepath.Join(t.TempDir(), "fleet")
		if err := os.CopyFS(dir, os.DirFS("../lab/fleet")); err != nil {
			t.Fatal(err)
		}
		for name, text := range map[string]string{
			"tasks.toml": b.text, "site/motd": "", "site/deep/page.md": "", "scripts/index": "", "scripts/publish.sh": "",
		} {
			file := filepath.Join(dir, filepath.FromSlash(name))
			if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		fleet, err := hosts.Load(dir)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := own.Load(fleet); err != nil {
			t.Errorf("%s:%d: %v", b.file, b.line, err)
		}
	}
	if tested == 0 {
		t.Error("no block is marked `toml tasks`")
	}
}

func TestEventWords(t *testing.T) {
	files, err := filepath.Glob("../graph/*.go")
	if err != nil {
		t.Fatal(err)
	}
	events := read(t, "events.md")
	types := []string{"EventKind", "Status", "Decision", "Kind"}
	seen := map[string]int{}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok || spec.Type == nil || len(spec.Values) == 0 {
				return true
			}
			kind, ok := spec.Type.(*ast.Ident)
			if !ok || !slices.Contains(types, kind.Name) {
				return true
			}
			value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			seen[kind.Name]++
			if !strings.Contains(events, "`"+value+"`") {
				t.Errorf("events.md does not name the %s %q", kind.Name, value)
			}
			return true
		})
	}
	for _, name := range types {
		if seen[name] == 0 {
			t.Errorf("found no constant of type graph.%s", name)
		}
	}
}

// TestJSONIsEvents reads the examples strictly: each line is an event or, where
// it has no version, a task of a plan.
func TestJSONIsEvents(t *testing.T) {
	for _, b := range allBlocks(t, "json") {
		for line := range strings.Lines(b.text) {
			var into any = &graph.Event{}
			if !strings.HasPrefix(line, `{"v":`) {
				into = &graph.Planned{}
			}
			decoder := json.NewDecoder(strings.NewReader(line))
			decoder.DisallowUnknownFields()
			if err := decoder.Decode(into); err != nil {
				t.Errorf("%s:%d: %v in %.80s", b.file, b.line, err, line)
			}
			if again, err := json.Marshal(into); err != nil || string(again)+"\n" != line {
				t.Errorf("%s:%d: written again it is %s (%v), not %s", b.file, b.line, again, err, line)
			}
		}
	}
}

func TestShellParses(t *testing.T) {
	testneed.Tool(t, "bash")
	for _, b := range allBlocks(t, "sh") {
		bash := exec.Command("bash", "-n")
		bash.Stdin = strings.NewReader(b.text)
		if out, err := bash.CombinedOutput(); err != nil {
			t.Errorf("%s:%d: %v: %s", b.file, b.line, err, out)
		}
	}
}

// TestShellRuns executes the blocks marked "sh exec" in a copy of the lab's
// fleet, with the roost of this tree.
func TestShellRuns(t *testing.T) {
	testneed.Tool(t, "bash")
	bin, fleet := t.TempDir(), filepath.Join(t.TempDir(), "fleet")
	if out, err := exec.Command("go", "build", "-o", filepath.Join(bin, "roost"), "../cmd/roost").CombinedOutput(); err != nil {
		t.Fatalf("build roost: %v\n%s", err, out)
	}
	if err := os.CopyFS(fleet, os.DirFS("../lab/fleet")); err != nil {
		t.Fatal(err)
	}
	ran := 0
	for _, b := range allBlocks(t, "sh") {
		if b.info != "sh exec" {
			continue
		}
		ran++
		var out bytes.Buffer
		bash := exec.Command("bash", "-euc", b.text)
		bash.Dir, bash.Stdout, bash.Stderr = fleet, &out, &out
		bash.Env = []string{"PATH=" + bin + ":" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "ROOST_FLEET=" + fleet}
		if err := bash.Run(); err != nil {
			t.Errorf("%s:%d: %v\n%s", b.file, b.line, err, &out)
			continue
		}
		if b.next != nil && b.next.info == "text" {
			if diff := cmp.Diff(b.next.text, out.String()); diff != "" {
				t.Errorf("%s:%d: another output (-document +run):\n%s", b.next.file, b.next.line, diff)
			}
		}
	}
	if ran == 0 {
		t.Error("no block is marked `sh exec`")
	}
}
