package own

import _ "embed"

//go:generate go run roost/internal/schemagen tasks.toml

//go:embed tasks.schema.json
var schema string

// Schema returns the JSON Schema (draft 2020-12) of tasks.toml, for editors. It
// is made from the Go types by go generate, so that nothing is made at run time.
func Schema() []byte { return []byte(schema) }
