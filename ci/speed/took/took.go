// Package took is what the programs of the benchmark tell each other: package
// launch of the process that it ran, the contender of the run that it made.
package took

import "time"

// StartEnv is the variable that tells a launched program when it was started,
// in nanoseconds since 1970.
const StartEnv = "ROOST_SPEED_START"

// Process is what one process took, with all that it started.
type Process struct {
	Began int64         `json:"began"` // nanoseconds since 1970
	Wall  time.Duration `json:"wall"`
	CPU   time.Duration `json:"cpu"`
	Peak  int64         `json:"peak"` // bytes resident of the largest one
	Exit  int           `json:"exit"` // -1: a signal ended it
}

// Run is what the contender says of its run.
type Run struct {
	Tasks  int           `json:"tasks"`
	Ran    int           `json:"ran"` // in a dry run: that would run
	Cached int           `json:"cached"`
	First  time.Duration `json:"first"` // from the start of the process to that of the first task; 0: none ran
	Wall   time.Duration `json:"wall"`  // from the start of the process to this line
	Peak   int64         `json:"peak"`  // bytes resident
	Events int           `json:"events"`
}
