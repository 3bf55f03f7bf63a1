package own

import (
	"fmt"
	"regexp"

	"roost/hosts"
	"roost/internal/nearest"
)

var (
	placeholder = regexp.MustCompile(`\{?\{[a-z]+\}`)

	placeholders = []string{"{host}", "{address}", "{user}", "{system}", "{role}"}
)

// expand puts what the host has in place of {host} and its like; "{{host}" is
// the text "{host}". host may be nil.
func expand(text string, host *hosts.Host) (string, error) {
	var wrong error
	expanded := placeholder.ReplaceAllStringFunc(text, func(found string) string {
		switch {
		case found[1] == '{':
			return found[1:]
		case host == nil:
			if wrong == nil {
				wrong = fmt.Errorf("%s needs a host, and the task has no `on`; for the text itself write {%s", found, found)
			}
			return found
		}
		switch found {
		case "{host}":
			return host.Name
		case "{address}":
			return host.SSH.Address
		case "{user}":
			return host.SSH.User
		case "{system}":
			return string(host.System)
		case "{role}":
			return string(host.Role)
		}
		if wrong == nil {
			wrong = fmt.Errorf("%s stands for nothing: %s; for the text itself write {%s", found, nearest.Hint(found, "placeholders", placeholders), found)
		}
		return found
	})
	return expanded, wrong
}
