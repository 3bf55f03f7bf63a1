// Command schemagen writes the JSON Schemas of the files that a fleet is made of,
// from the Go types that read them. It is a program of its own so that no other
// binary links the schema library.
//
//	go generate ./hosts ./tasks/own
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"strings"

	"github.com/invopop/jsonschema"

	"roost/hosts"
	"roost/tasks/own"
)

// file is a file and the type that its keys are read into.
type file struct {
	title  string // its name in a fleet
	pkg    string // the package of the type; the schema is beside its sources
	schema string
	value  any
	adjust func(*jsonschema.Schema)
}

var files = []file{
	{"host.toml", "roost/hosts", "host.schema.json", hosts.Host{}, func(s *jsonschema.Schema) {
		s.Definitions["HealthCheck"].DependentRequired = map[string][]string{"expect": {"http"}}
	}},
	{"tasks.toml", "roost/tasks/own", "tasks.schema.json", own.File{}, func(s *jsonschema.Schema) {
		for _, key := range []string{"check", "always", "inputs", "outputs"} { // what says when it must run
			s.Definitions["Task"].AnyOf = append(s.Definitions["Task"].AnyOf, &jsonschema.Schema{Required: []string{key}})
		}
	}},
}

func main() {
	for _, f := range files {
		if len(os.Args) != 2 || os.Args[1] != f.title {
			continue
		}
		schema, err := f.generate()
		if err == nil {
			err = os.WriteFile(f.schema, schema, 0o644)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "schemagen:", err)
			os.Exit(1)
		}
		return
	}
	fmt.Fprintln(os.Stderr, "usage, in the folder of the types: schemagen host.toml | tasks.toml")
	os.Exit(2)
}

// generate returns the schema. The working directory must be the folder of the
// package, whose comments become the descriptions.
func (f file) generate() ([]byte, error) {
	r := jsonschema.Reflector{
		Anonymous:                  true,
		ExpandedStruct:             true,
		FieldNameTag:               "toml",
		RequiredFromJSONSchemaTags: true,
		Mapper:                     ownTypes,
	}
	if err := r.AddGoComments(f.pkg, ".", jsonschema.WithFullComment()); err != nil {
		return nil, fmt.Errorf("read the comments of %s: %w", f.pkg, err)
	}
	for name, text := range r.CommentMap {
		r.CommentMap[name] = strings.Join(strings.Fields(text), " ")
	}
	schema := r.Reflect(f.value)
	schema.Title = f.title
	f.adjust(schema)

	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(schema); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// ownTypes gives the types whose values are text with rules of its own.
func ownTypes(t reflect.Type) *jsonschema.Schema {
	switch t {
	case reflect.TypeFor[hosts.System]():
		return enum(hosts.Systems())
	case reflect.TypeFor[hosts.Role]():
		return enum(hosts.Roles())
	case reflect.TypeFor[own.At]():
		return enum(own.Places())
	case reflect.TypeFor[hosts.Duration]():
		return &jsonschema.Schema{Type: "string", Pattern: `^([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$`}
	}
	return nil
}

func enum[T any](values []T) *jsonschema.Schema {
	s := &jsonschema.Schema{Type: "string"}
	for _, v := range values {
		s.Enum = append(s.Enum, v)
	}
	return s
}
