// Package graph is roost's engine: declare tasks, plan them, run them, say why.
//
// It knows nothing of hosts or Nix. A task is one of three kinds:
//
//   - Pure: its result depends on its declared inputs alone. It is cached by
//     key and never run again for the same key.
//   - Observe: it reads the world. It is read once a run and never cached; its
//     value enters the keys of the tasks that use it.
//   - Effect: it changes the world. Check reads reality, Apply changes it, and
//     Check (or Prove) must then agree, or the task has failed.
//
// An effect that must not be repeated is declared with Once: a journal of its
// intents and results (Intents) takes the place of Check.
//
// A typed Ref is the only way to reach another task's result, and Use is the
// only way to read a Ref: so the dependency is the code that needs it.
//
//	g := graph.New()
//	greeting := graph.Pure(g, "all/greeting", func(t *graph.Task) graph.Compute[string] {
//		t.Value("word", "hello")
//		return graph.Compute[string]{Run: func(ctx context.Context) (string, error) {
//			return "hello", nil
//		}}
//	})
//	graph.Observe(g, "all/print", func(t *graph.Task) func(context.Context) (int, error) {
//		in := graph.Use(t, greeting)
//		return func(ctx context.Context) (int, error) {
//			return fmt.Println(in.Get(ctx))
//		}
//	})
//	result, err := g.Run(ctx, graph.Options{})
//
// # Deciding
//
// Work is done on demand, from the goals backwards. A task is decided as soon
// as the values it uses are known: a pure task by its key, an effect by its
// check. Only a task that must run demands what it comes After: so a host that
// already runs its system asks for no build and no copy.
//
// No effect is applied before every demanded task has a decision: the plan is
// whole before the world is changed. Heavy pure tasks (a build) may start
// earlier, for they change nothing. A dry run makes the same decisions with the
// same code, and stops there.
//
// # Running
//
// One goroutine owns the run. It submits ready tasks to a bounded conc pool,
// longest remaining path first. Lanes are held by one task at a time, pools
// bound tasks by weight; both are held only while a task works. One failure
// never stops unrelated work: the run's error lists every root cause once.
package graph
