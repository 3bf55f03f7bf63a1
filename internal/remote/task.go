package remote

import (
	"errors"

	"roost/graph"
)

// ForTask sorts an error for the engine: a host that is away is deferred, one
// that must not be trusted is refused.
func ForTask(err error) error {
	if _, ok := errors.AsType[*UnreachableError](err); ok {
		return graph.Defer(err)
	}
	if _, ok := errors.AsType[*HostKeyError](err); ok {
		return graph.Refuse(err)
	}
	return err
}
