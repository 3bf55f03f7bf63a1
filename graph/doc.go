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
//	cache, err := graph.OpenCache(dir)
//	result, err := g.Run(ctx, graph.Options{Cache: cache})
//
// Many declares pure tasks by the thousand that share their code. Files and
// Makes say which files a task reads and makes.
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
// # The look
//
// Before anything is decided one by one, a run with a cache looks at all files
// of the pure tasks that the cache knows, on every processor. A task whose
// files, values and inputs hash to what they did at its last success is as it
// was: its result is known without its key, and its value is read only if
// somebody asks for it. All others, and those with Valid, are decided by
// their keys.
//
// A file is read again if its size, mtime, ctime, inode, device or mode has
// changed since it was read, or if it had been touched less than 2 s before that:
// a coarse clock would not show another write. Symlinks are read each time.
// Options.Verify believes no stamp, and reads every file. Options.NoPlan leaves
// the plan out where nobody reads it: it has an entry for each task, changed or not.
//
// # The cache
//
// A Cache is a folder: a journal to which each success is appended, an index of
// it that is mapped into memory and can be made again, and what batches with a
// Key have declared (KeepIn). Damage is a miss, and said by Cache.Damage. A
// RemoteCache shares results between machines, but for those of tasks that make
// files: it has values alone.
//
// # Memory
//
// A declared task is a row of 32 bytes, its name, its values as text, and 4 bytes
// for each edge and use of a file, in slices that all tasks share; a task that
// is not of a batch has its code besides. The methods of Task that few tasks need (Lane, Pool,
// Timeout, Retries) cost a record more. A declaration that is taken from the
// cache, and the index, are used where they are mapped.
//
// # Running
//
// One goroutine owns the run. It submits ready tasks to a bounded conc pool,
// longest remaining path first. Lanes are held by one task at a time, pools
// bound tasks by weight; both are held only while a task works. One failure
// never stops unrelated work: the run's error lists every root cause once.
package graph
