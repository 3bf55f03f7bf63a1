package own

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// TestSchemaAndLoaderAgreeOnKeys asks the loader, table by table: it knows every
// key of the schema, and those it lists as known are in the schema.
func TestSchemaAndLoaderAgreeOnKeys(t *testing.T) {
	type table struct {
		Properties map[string]struct{ Description string }
		Additional any `json:"additionalProperties"`
		Required   []string
	}
	var root struct {
		table
		Defs map[string]table `json:"$defs"`
	}
	if err := json.Unmarshal(Schema(), &root); err != nil {
		t.Fatal(err)
	}
	fleet := newFleet(t, nil)
	told := func(text string) string {
		_, err := read(fleet, []byte(text))
		return fmt.Sprint(err)
	}
	for header, table := range map[string]table{"": root.table, "[task.x]\n": root.Defs["Task"], "[task.x.retries]\n": root.Defs["Retries"]} {
		if table.Additional != false || len(table.Properties) == 0 {
			t.Errorf("%q: the schema allows unknown keys: %v", header, table)
		}
		for key, property := range table.Properties {
			if property.Description == "" {
				t.Errorf("%q: %s has no description", header, key)
			}
			if got := told(header + key + " = 1979-05-27\n"); strings.Contains(got, "unknown key") || !strings.Contains(got, key) {
				t.Errorf("%q: %q is in the schema, but: %s", header, key, got)
			}
		}
		// What is near to a key names it, what is near to none names what there is.
		for _, key := range slices.Sorted(maps.Keys(table.Properties)) {
			if got := told(header + key + "x = 1\n"); !strings.Contains(got, `"`+key+`"`) {
				t.Errorf("%q: %sx: %s", header, key, got)
			}
		}
		for _, key := range table.Required {
			if got := told(header); !strings.Contains(got, key+" is missing") {
				t.Errorf("%q: %s is required by the schema, but: %s", header, key, got)
			}
		}
	}
}
