// Command schemagen writes host.schema.json from the types of package hosts. It
// is a program of its own so that no other binary links the schema library.
//
//	cd hosts && go generate
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
)

const output = "host.schema.json"

func main() {
	schema, err := generate()
	if err == nil {
		err = os.WriteFile(output, schema, 0o644)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "schemagen:", err)
		os.Exit(1)
	}
}

// generate returns the schema. The working directory must be the folder of
// package hosts, whose comments become the descriptions.
func generate() ([]byte, error) {
	r := jsonschema.Reflector{
		Anonymous:                  true,
		ExpandedStruct:             true,
		FieldNameTag:               "toml",
		RequiredFromJSONSchemaTags: true,
		Mapper:                     ownTypes,
	}
	if err := r.AddGoComments("roost/hosts", ".", jsonschema.WithFullComment()); err != nil {
		return nil, fmt.Errorf("read the comments of package hosts: %w", err)
	}
	for name, text := range r.CommentMap {
		r.CommentMap[name] = strings.Join(strings.Fields(text), " ")
	}
	schema := r.Reflect(hosts.Host{})
	schema.Title = "host.toml"
	schema.Definitions["HealthCheck"].DependentRequired = map[string][]string{"expect": {"http"}}

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
