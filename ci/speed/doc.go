// Package speed measures the engine against programs that do only what no
// engine can leave out (look at files, hash them, start processes), and against
// engines of others, on the same graphs with the same commands.
//
//	results, err := speed.Measure(ctx, speed.Options{Out: os.Stdout, Most: 100_000})
//	page := speed.Page(results)
//
// Whole processes are timed, in interleaved rounds (A B C, A B C), and medians
// are compared. A round in which something else used the processors is repeated.
// The goals are computed from the samples.
//
// Gate is the short form for CI: the ratios to the floor programs at 10,000
// tasks. It must not fail by noise and must not let a regression pass; see gate.go.
package speed
