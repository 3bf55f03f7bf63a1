package graph_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"roost/graph"
)

// A pure task reads a file it declares; an effect makes the world match. The
// plan says what a run would do and why, and the second run does nothing.
func Example() {
	dir, _ := os.MkdirTemp("", "example")
	defer os.RemoveAll(dir)
	os.WriteFile(filepath.Join(dir, "name.txt"), []byte("malphas"), 0o600)
	cache, _ := graph.OpenCache(filepath.Join(dir, "cache"))
	world := "nobody"

	g := graph.New()
	name := graph.Pure(g, "malphas/name", func(t *graph.Task) graph.Compute[string] {
		t.Files(dir, "name.txt")
		return graph.Compute[string]{Run: func(context.Context) (string, error) {
			data, err := os.ReadFile(filepath.Join(dir, "name.txt"))
			return strings.ToUpper(string(data)), err
		}}
	})
	graph.Effect(g, "malphas/set", func(t *graph.Task) graph.Change[string] {
		want := graph.Use(t, name)
		t.Lane("world")
		return graph.Change[string]{
			Check: func(ctx context.Context) (graph.State[string], error) {
				return graph.State[string]{Done: world == want.Get(ctx), Value: world, Reason: "it is " + world}, nil
			},
			Apply: func(ctx context.Context) error {
				world = want.Get(ctx)
				return nil
			},
		}
	})

	options := graph.Options{Cache: cache}
	plan, _ := g.Plan(context.Background(), options)
	plan.Write(os.Stdout, false)
	for range 2 {
		result, err := g.Run(context.Background(), options)
		fmt.Println(world, err, result.Counts)
	}
	// Output:
	// malphas
	//   name  run        never ran
	//   set   run        it is nobody
	// MALPHAS <nil> map[ran:2]
	// MALPHAS <nil> map[cached:1 satisfied:1]
}

// One failure stops only what needs it. The error names each root cause once.
func ExampleGraph_Run_keepGoing() {
	g := graph.New()
	for _, host := range []string{"malphas", "rook"} {
		build := graph.Pure(g, host+"/build", func(*graph.Task) graph.Compute[string] {
			return graph.Compute[string]{Run: func(context.Context) (string, error) {
				if host == "rook" {
					return "", fmt.Errorf("no space left")
				}
				return "/nix/store/" + host, nil
			}}
		})
		graph.Observe(g, host+"/report", func(t *graph.Task) func(context.Context) (string, error) {
			path := graph.Use(t, build)
			return func(ctx context.Context) (string, error) { return path.Get(ctx), nil }
		})
	}
	result, err := g.Run(context.Background(), graph.Options{})
	fmt.Println(err)
	fmt.Println(result.Status("malphas/report"))
	// Output:
	// rook/build: no space left
	//   blocked by it: rook/report
	// read
}

// What hangs on a result that a dry run does not compute is unknown, neither
// "would run" nor "clean".
func ExampleGraph_Plan_unknown() {
	g := graph.New()
	image := graph.Pure(g, "pi/image", func(t *graph.Task) graph.Compute[string] {
		t.Heavy()
		return graph.Compute[string]{Run: func(context.Context) (string, error) { return "an image", nil }}
	})
	graph.Pure(g, "pi/checksum", func(t *graph.Task) graph.Compute[int] {
		in := graph.Use(t, image)
		return graph.Compute[int]{Run: func(ctx context.Context) (int, error) { return len(in.Get(ctx)), nil }}
	})
	plan, _ := g.Plan(context.Background(), graph.Options{})
	plan.Write(os.Stdout, false)
	// Output:
	// pi
	//   image     run        never ran
	//   checksum  unknown    unknown until pi/image ran
}

// A mail that must not be sent twice. Its text is what the deed is known by:
// another text is another mail.
func ExampleOnce() {
	dir, _ := os.MkdirTemp("", "")
	defer os.RemoveAll(dir)
	announce := func(text string) {
		g := graph.New()
		graph.Once(g, "malphas/announce", func(t *graph.Task) graph.OnceOnly[int] {
			t.Value("text", text)
			return graph.OnceOnly[int]{Run: func(context.Context) (int, error) { return fmt.Println("To all:", text) }}
		})
		intents, err := graph.OpenIntents(filepath.Join(dir, "intents"))
		if err != nil {
			fmt.Println(err)
			return
		}
		result, _ := g.Run(context.Background(), graph.Options{Intents: intents})
		status, _ := result.Status("malphas/announce")
		fmt.Println(status)
	}
	announce("malphas is up")
	announce("malphas is up")
	announce("malphas is down")
	// Output:
	// To all: malphas is up
	// ran
	// satisfied
	// To all: malphas is down
	// ran
}
