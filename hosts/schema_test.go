package hosts

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// object is the part of a JSON Schema that this test reads.
type object struct {
	Ref        string `json:"$ref"`
	Defs       map[string]*object
	Type       string
	Properties map[string]*object
	Additional *bool `json:"additionalProperties"`
	Items      *object
	Enum       []string
	Required   []string
	Default    any
	Text       string `json:"description"`
}

func readSchema(t *testing.T) *object {
	t.Helper()
	var root object
	root.Defs = map[string]*object{}
	raw := struct {
		*object
		Schema string              `json:"$schema"`
		Defs   *map[string]*object `json:"$defs"`
	}{object: &root, Defs: &root.Defs}
	if err := json.Unmarshal(Schema(), &raw); err != nil {
		t.Fatal(err)
	}
	if raw.Schema != "https://json-schema.org/draft/2020-12/schema" {
		t.Errorf("$schema is %q", raw.Schema)
	}
	return &root
}

// tables returns the object schemas by the TOML table they describe.
func (root *object) tables(t *testing.T) map[string]*object {
	found := map[string]*object{}
	var walk func(path string, o *object)
	walk = func(path string, o *object) {
		if o.Ref != "" {
			o = root.Defs[strings.TrimPrefix(o.Ref, "#/$defs/")]
		}
		switch {
		case o == nil:
			t.Fatalf("%s: a reference to nothing", path)
		case o.Items != nil:
			walk(path, o.Items)
		case o.Type == "object":
			found[path] = o
			for key, child := range o.Properties {
				walk(strings.TrimPrefix(path+"."+key, "."), child)
			}
		}
	}
	walk("", root)
	return found
}

// messages loads a host.toml and returns its problems in one text.
func messages(t *testing.T, text string) string {
	_, problems := read("malphas", "hosts/malphas/host.toml", []byte(text), newOptIn(t.TempDir()))
	return fmt.Sprint(problems)
}

// header opens a table as host.toml writes it.
var header = map[string]string{"": "", "ssh": "[ssh]\n", "update": "[update]\n", "update.health": "[[update.health]]\n"}

// TestSchemaAndLoaderAgreeOnKeys asks the loader, table by table: it knows every
// key of the schema, and those it lists as known are in the schema.
func TestSchemaAndLoaderAgreeOnKeys(t *testing.T) {
	tables := readSchema(t).tables(t)
	if got, want := slices.Sorted(maps.Keys(tables)), slices.Sorted(maps.Keys(header)); !slices.Equal(got, want) {
		t.Fatalf("tables of the schema: %q, want %q", got, want)
	}
	for path, table := range tables {
		if table.Additional == nil || *table.Additional {
			t.Errorf("[%s]: the schema allows unknown keys", path)
		}
		for key, property := range table.Properties {
			if property.Text == "" {
				t.Errorf("%s.%s has no description", path, key)
			}
			if got := messages(t, header[path]+key+" = 1.5\n"); strings.Contains(got, "unknown key") {
				t.Errorf("[%s]: %q is in the schema, but: %s", path, key, got)
			}
		}
		got := messages(t, header[path]+"_ = 1\n")
		_, list, ok := strings.Cut(got, "known keys: ")
		list, _, _ = strings.Cut(strings.TrimSuffix(list, "]"), " hosts/")
		keys := strings.Split(list, ", ")
		slices.Sort(keys)
		if want := slices.Sorted(maps.Keys(table.Properties)); !ok || !slices.Equal(keys, want) {
			t.Errorf("[%s]: the loader knows %q, the schema %q", path, keys, want)
		}
	}
}

func TestSchemaAndLoaderAgreeOnValues(t *testing.T) {
	root := readSchema(t)
	good := map[string]string{"system": "aarch64-linux", "role": "server"} // goes with every value of the other
	if want := slices.Sorted(maps.Keys(good)); !slices.Equal(slices.Sorted(slices.Values(root.Required)), want) {
		t.Errorf("required are %q, want %q", root.Required, want)
	}
	for key, property := range root.Properties {
		if (property.Enum != nil) != (good[key] != "") {
			t.Errorf("%s: enum %q", key, property.Enum)
		}
	}
	for key := range good {
		other := map[string]string{"system": "role", "role": "system"}[key]
		rest := fmt.Sprintf("%s = %q\n", other, good[other])
		if got := messages(t, rest); !strings.Contains(got, key+" is missing") {
			t.Errorf("%s is required by the schema, but: %s", key, got)
		}
		for _, value := range root.Properties[key].Enum {
			if got := messages(t, fmt.Sprintf("%s%s = %q\n", rest, key, value)); got != "[]" {
				t.Errorf("%s = %q is in the schema, but: %s", key, value, got)
			}
		}
		got := messages(t, rest+key+" = 'x'\n")
		if want := "one of " + strings.Join(root.Properties[key].Enum, ", "); !strings.Contains(got, want) {
			t.Errorf("%s: the loader says %s, the schema %s", key, got, want)
		}
	}
	host, _ := read("malphas", "", []byte(base+"[[update.health]]\nunit = 'x'\n"), nil)
	ssh, health := root.Defs["SSH"].Properties, root.Defs["HealthCheck"].Properties
	if ssh["user"].Default != host.SSH.User || health["timeout"].Default != host.Update.Health[0].Timeout.String() {
		t.Errorf("defaults of the schema: %v, %v", ssh["user"].Default, health["timeout"].Default)
	}
}
