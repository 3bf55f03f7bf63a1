package hosts

import _ "embed"

//go:generate go run roost/internal/schemagen host.toml

//go:embed host.schema.json
var schema string

// Schema returns the JSON Schema (draft 2020-12) of host.toml, for editors. It
// is made from the Go types by go generate, so that nothing is made at run time.
func Schema() []byte { return []byte(schema) }
