package graph

import "context"

// Batch is pure tasks that share their code, numbered from 0: a hundred
// thousand command lines, say. Declared so, a task costs some bytes and no
// closure.
type Batch[T any] struct {
	N int
	// Key, if it is not empty, stands for all that the results of Name and Declare
	// hang on, such as the digest of the file that lists the commands. While it is
	// the same, a graph that keeps declarations (KeepIn) calls neither. The batch
	// must be the first that its graph declares, else Key does nothing.
	Key string
	// Name appends the name of task i.
	Name func(b []byte, i int) []byte
	// Declare declares what task i depends on and makes, as the function that
	// Pure takes does; it may use tasks of the same batch with lower numbers,
	// by Refs.At.
	Declare func(t *Task, i int, all Refs[T])
	// Run does the work of task i.
	Run func(ctx context.Context, i int) (T, error)
}

// Refs are the results of a batch.
type Refs[T any] struct{ first int32 }

// At is the result of task i.
func (r Refs[T]) At(i int) Ref[T] { return Ref[T]{r.first + int32(i) + 1} }

// Many declares the tasks of a batch.
//
//	stamps := graph.Many(g, graph.Batch[graph.None]{
//		N:    len(commands),
//		Name: func(b []byte, i int) []byte { return append(b, commands[i].Name...) },
//		Declare: func(t *graph.Task, i int, all graph.Refs[graph.None]) {
//			t.FileBytes(dir, commands[i].Source)
//			t.MakesBytes(dir, commands[i].Stamp)
//		},
//		Run: func(ctx context.Context, i int) (graph.None, error) { return graph.None{}, run(ctx, commands[i]) },
//	})
func Many[T any](g *Graph, b Batch[T]) Refs[T] {
	all := Refs[T]{int32(len(g.rows))}
	g.codes = append(g.codes, code{
		kind: KindPure, decode: decode[T],
		run: func(ctx context.Context, at int) (any, error) { return b.Run(ctx, at) },
	})
	shared := int32(len(g.codes) - 1)
	keepable := g.keepable(all.first, shared, b.Key)
	if keepable && g.recall(b.Key, b.N) {
		return all
	}
	before := g.size()
	t := &Task{g: g}
	var name []byte
	for i := range b.N {
		if i == b.N/16 && i > 0 {
			g.reserve(before, b.N-i)
		}
		name = b.Name(name[:0], i)
		t.id = g.begin(name, shared)
		g.rows[t.id].at = int32(i)
		if b.Declare != nil {
			b.Declare(t, i, all)
		}
		g.open = false
	}
	if keepable && len(g.rares) == 0 && len(g.problems) == 0 {
		g.remember(b.Key)
	}
	return all
}

// None is the value of a task whose result is the files it makes.
type None struct{}

// FileBytes is Files for one path in its clean form, without a string of it.
func (t *Task) FileBytes(root string, rel []byte) { t.fileBytes(root, rel, reads) }

// MakesBytes is Makes for one path in its clean form, without a string of it.
func (t *Task) MakesBytes(root string, rel []byte) { t.fileBytes(root, rel, makes) }

func (t *Task) fileBytes(root string, rel []byte, how fileUse) {
	t.row()
	t.use(t.g.files.addBytes(root, rel), how)
}

// ValueBytes is Value without a string of the text.
func (t *Task) ValueBytes(name string, text []byte) {
	t.row()
	t.g.text = append(appendLine(t.g.text, "value", name, text), '\n')
}
