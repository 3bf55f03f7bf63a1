package verbs

import (
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"

	"roost/hosts"
	"roost/tasks/own"
)

// Hosts lists the selected hosts, from their host.toml alone.
func Hosts(o Options) error {
	o.fill()
	_, selected, err := load(o)
	if err != nil {
		return err
	}
	if o.JSON {
		out := json.NewEncoder(o.Stdout)
		for _, h := range selected {
			err := out.Encode(map[string]any{
				"name": h.Name, "system": h.System, "role": h.Role, "tags": append([]string{}, h.Tags...),
				"modules": append([]string{}, h.Modules...), "address": h.SSH.Address,
			})
			if err != nil {
				return err
			}
		}
		return nil
	}
	w := tabwriter.NewWriter(o.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "HOST\tSYSTEM\tROLE\tTAGS\tMODULES")
	for _, h := range selected {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", h.Name, h.System, h.Role, strings.Join(h.Tags, " "), strings.Join(h.Modules, " "))
	}
	return w.Flush()
}

// Schema prints the JSON Schema of a file: host.toml or tasks.toml.
func Schema(o Options, file string) error {
	o.fill()
	schema := hosts.Schema()
	if file == own.FileName {
		schema = own.Schema()
	}
	_, err := o.Stdout.Write(schema)
	return err
}
