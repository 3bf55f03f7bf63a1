package tomldoc

import (
	"encoding"
	"fmt"
	"reflect"
	"strings"

	"roost/internal/nearest"
)

// Decode fills a struct from the document by its toml tags: `toml:"key"`, or
// `toml:"key,empty"` where an empty string says something. What is unknown or of
// a wrong type is reported and left zero.
func (d *Document) Decode(into any) {
	d.table("", d.Values, d.Root, reflect.ValueOf(into).Elem())
}

// table fills dst from the keys of one table. path is its dotted name, empty
// for the file itself.
func (d *Document) table(path string, values map[string]any, at *Node, dst reflect.Value) {
	fields := keysOf(dst.Type())
	for key, value := range values {
		i := indexOf(fields, key)
		if i < 0 {
			where := ""
			if path != "" {
				where = fmt.Sprintf(" in [%s]", path)
			}
			d.Report(at.Keys[key].Key, "unknown key %q%s; %s", key, where, nearest.Hint(key, "keys", names(fields)))
			continue
		}
		full := key
		if path != "" {
			full = path + "." + key
		}
		d.value(full, value, at.Keys[key], dst.Field(fields[i].index), fields[i].empty)
	}
}

// value sets one value. empty says that an empty string is one.
func (d *Document) value(path string, value any, at *Node, dst reflect.Value, empty bool) {
	if text, ok := dst.Addr().Interface().(Former); ok {
		if s, ok := value.(string); !ok {
			d.wrongType(path, value, at, dst)
		} else if err := text.UnmarshalText([]byte(s)); err != nil {
			d.Report(at.Value, "%s: %v", path, err)
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
			tables := dst.Type().Elem().Kind() == reflect.Struct
			if !tables {
				path = "an entry of " + path
			}
			for i, item := range list {
				if _, ok := item.(map[string]any); tables && !ok {
					d.Report(at.Items[i].Value, "%s must hold tables, not %s", path, typeName(item))
					continue
				}
				d.value(path, item, at.Items[i], dst.Index(i), empty)
			}
			return
		}
	case reflect.Map:
		if m, ok := value.(map[string]any); ok {
			d.entries(path, m, at, dst, empty)
			return
		}
	case reflect.String:
		if s, ok := value.(string); ok {
			d.text(path, s, at, dst, empty)
			return
		}
	case reflect.Bool:
		if b, ok := value.(bool); ok {
			dst.SetBool(b)
			return
		}
	case reflect.Int:
		if n, ok := value.(int64); ok {
			dst.SetInt(n)
			return
		}
	default:
		panic("tomldoc: no rule to decode " + dst.Type().String())
	}
	d.wrongType(path, value, at, dst)
}

// entries fills a map, whose keys are the file's own words.
func (d *Document) entries(path string, values map[string]any, at *Node, dst reflect.Value, empty bool) {
	dst.Set(reflect.MakeMapWithSize(dst.Type(), len(values)))
	for key, value := range values {
		entry := reflect.New(dst.Type().Elem()).Elem()
		d.value(path+"."+key, value, at.Keys[key], entry, empty)
		dst.SetMapIndex(reflect.ValueOf(key), entry)
	}
}

// text sets a string. An empty one mostly says nothing, and Nix, as every
// argument of a program, cuts one at a NUL.
func (d *Document) text(path, s string, at *Node, dst reflect.Value, empty bool) {
	switch {
	case s == "" && !empty:
		d.Report(at.Value, "%s is empty; give it a value or leave it out", path)
	case strings.ContainsRune(s, 0):
		d.Report(at.Value, "%s contains a NUL character", path)
	default:
		dst.SetString(s)
	}
}

// Former is a type whose text has a form of its own.
type Former interface {
	encoding.TextUnmarshaler
	Form() string // such as: a duration in quotes, such as "10s"
}

func (d *Document) wrongType(path string, value any, at *Node, dst reflect.Value) {
	want := map[reflect.Kind]string{
		reflect.Struct: "be a table", reflect.Map: "be a table", reflect.String: "be a string",
		reflect.Int: "be an integer", reflect.Bool: "be true or false",
	}[dst.Kind()]
	switch formed, ok := dst.Addr().Interface().(Former); {
	case ok:
		want = "be " + formed.Form()
	case dst.Kind() == reflect.Slice && dst.Type().Elem().Kind() == reflect.Struct:
		want = fmt.Sprintf("be an array of tables, [[%s]]", path)
	case dst.Kind() == reflect.Slice:
		want = "be an array of " + map[reflect.Kind]string{reflect.String: "strings", reflect.Int: "integers"}[dst.Type().Elem().Kind()]
	}
	d.Report(at.Value, "%s must %s, not %s", path, want, typeName(value))
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
	empty bool
}

func keysOf(t reflect.Type) []field {
	var fields []field
	for i := range t.NumField() {
		if key, option, _ := strings.Cut(t.Field(i).Tag.Get("toml"), ","); key != "-" {
			fields = append(fields, field{key, i, option == "empty"})
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
