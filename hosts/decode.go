package hosts

import (
	"encoding"
	"fmt"
	"reflect"
	"strings"
)

// decode fills a struct from the document by its toml tags. What is unknown or
// of a wrong type is reported and left zero.
func (d *document) decode(host *Host) {
	d.table("", d.values, d.root, reflect.ValueOf(host).Elem())
}

// table fills dst from the keys of one table. path is its dotted name, empty
// for the file itself.
func (d *document) table(path string, values map[string]any, at *node, dst reflect.Value) {
	fields := keysOf(dst.Type())
	for key, value := range values {
		i := indexOf(fields, key)
		if i < 0 {
			where := ""
			if path != "" {
				where = fmt.Sprintf(" in [%s]", path)
			}
			d.report(at.keys[key].key, "unknown key %q%s; %s", key, where, Nearest(key, "keys", names(fields)))
			continue
		}
		full := key
		if path != "" {
			full = path + "." + key
		}
		d.value(full, value, at.keys[key], dst.Field(fields[i].index))
	}
}

func (d *document) value(path string, value any, at *node, dst reflect.Value) {
	if text, ok := dst.Addr().Interface().(encoding.TextUnmarshaler); ok {
		if s, ok := value.(string); !ok {
			d.wrongType(path, value, at, dst)
		} else if err := text.UnmarshalText([]byte(s)); err != nil {
			d.report(at.value, "%s: %v", path, err)
		}
		return
	}
	switch dst.Kind() {
	case reflect.Struct:
		if m, ok := value.(map[string]any); ok {
			d.table(path, m, at, dst)
			return
		}
	case reflect.Slice:
		if list, ok := value.([]any); ok {
			dst.Set(reflect.MakeSlice(dst.Type(), len(list), len(list)))
			if dst.Type().Elem().Kind() == reflect.String {
				path = "an entry of " + path
			}
			for i, item := range list {
				d.value(path, item, at.items[i], dst.Index(i))
			}
			return
		}
	case reflect.String:
		if s, ok := value.(string); ok {
			d.text(path, s, at, dst)
			return
		}
	case reflect.Int:
		if n, ok := value.(int64); ok {
			dst.SetInt(n)
			return
		}
	default:
		panic("hosts: no rule to decode " + dst.Type().String())
	}
	d.wrongType(path, value, at, dst)
}

// text sets a string. An empty one says nothing, and Nix cuts one at a NUL.
func (d *document) text(path, s string, at *node, dst reflect.Value) {
	switch {
	case s == "":
		d.report(at.value, "%s is empty; give it a value or leave it out", path)
	case strings.ContainsRune(s, 0):
		d.report(at.value, "%s contains a NUL character", path)
	default:
		dst.SetString(s)
	}
}

func (d *document) wrongType(path string, value any, at *node, dst reflect.Value) {
	want := ""
	switch dst.Interface().(type) {
	case Duration:
		want = `be a duration in quotes, such as "10s"`
	case []string:
		want = "be an array of strings"
	case []HealthCheck:
		want = fmt.Sprintf("be an array of tables, [[%s]]", path)
	case HealthCheck:
		want = "hold tables"
	default:
		want = map[reflect.Kind]string{
			reflect.Struct: "be a table", reflect.String: "be a string", reflect.Int: "be an integer",
		}[dst.Kind()]
	}
	d.report(at.value, "%s must %s, not %s", path, want, typeName(value))
}

// typeName is what TOML calls the type of a value that go-toml read.
func typeName(value any) string {
	switch value.(type) {
	case string:
		return "a string"
	case int64:
		return "an integer"
	case float64:
		return "a float"
	case bool:
		return "a boolean"
	case []any:
		return "an array"
	case map[string]any:
		return "a table"
	}
	return "a date or time"
}

// field is a key of a table and the struct field it goes to.
type field struct {
	key   string
	index int
}

func keysOf(t reflect.Type) []field {
	var fields []field
	for i := range t.NumField() {
		if key := t.Field(i).Tag.Get("toml"); key != "-" {
			fields = append(fields, field{key, i})
		}
	}
	return fields
}

func indexOf(fields []field, key string) int {
	for i, f := range fields {
		if f.key == key {
			return i
		}
	}
	return -1
}

func names(fields []field) []string {
	keys := make([]string, len(fields))
	for i, f := range fields {
		keys[i] = f.key
	}
	return keys
}
