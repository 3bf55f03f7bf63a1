package system

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"roost/graph"
	"roost/internal/command"
	"roost/internal/nix"
)

// eval evaluates the host's toplevel in its stage. The key is the stage: no
// other file can have been read.
func (h *target) eval(g *graph.Graph) graph.Ref[System] {
	return graph.Pure(g, h.name("eval"), func(t *graph.Task) graph.Compute[System] {
		stage := h.Tree.Stage(h.host)
		t.Version(1)
		t.Value("nix", h.Nix.ID())
		t.Files(h.Tree.Dir, stage...)
		t.Pool(evalPool, 1)
		t.Measured(memoryPool, evalMemory)
		return graph.Compute[System]{
			Valid: h.stillThere,
			Run: func(ctx context.Context) (System, error) {
				dir, err := os.MkdirTemp(h.Scratch, h.host.Name+"-")
				if err != nil {
					return System{}, err
				}
				defer os.RemoveAll(dir)
				if err := h.Tree.copyStage(stage, dir); err != nil {
					return System{}, err
				}
				return h.evalIn(ctx, dir)
			},
		}
	})
}

// check holds a result, whoever computed it, against what it must be.
func (s System) check() error {
	if !strings.HasPrefix(s.Drv, "/nix/store/") || !strings.HasPrefix(s.Out, "/nix/store/") {
		return fmt.Errorf("the toplevel is no derivation with a path in /nix/store: %+v", s)
	}
	return nil
}

// stillThere: a derivation may be garbage-collected before it is built.
func (h *target) stillThere(s System) error {
	if err := s.check(); err != nil {
		return err
	}
	if !h.Nix.Exists(s.Drv) && !h.Nix.Exists(s.Out) {
		return errors.New("its derivation was garbage-collected")
	}
	return nil
}

func (h *target) evalIn(ctx context.Context, dir string) (System, error) {
	set := "nixosConfigurations"
	if h.host.IsDarwin() {
		set = "darwinConfigurations"
	}
	var s System
	var peak int64
	err := h.Nix.Eval(ctx, nix.EvalRequest{
		Flake:     "path:" + dir,
		Attr:      nix.AttrPath(set, h.host.Name, "config", "system", "build", "toplevel"),
		Apply:     "system: { drv = system.drvPath; out = system.outPath; }",
		UserFiles: h.Tree.Dir,
		Peak:      &peak,
	}, &s, graph.Log(ctx))
	graph.Used(ctx, memoryPool, int(peak>>20)+1)
	if killed, ok := errors.AsType[*command.Error](err); ok && killed.Killed() {
		return s, graph.Exhausted(memoryPool, err)
	}
	var failed *nix.EvalError
	if errors.As(err, &failed) && failed.Missing != "" {
		return s, fmt.Errorf("%w\n  %s is evaluated in a copy that holds flake.nix, flake.lock, modules/ and its own folder alone; of modules/opt-in/ only what its host.toml subscribes to", err, h.host.Name)
	}
	if err != nil {
		return s, err
	}
	return s, s.check()
}

// build builds what was evaluated, and looks at it before any host sees it.
func (h *target) build(g *graph.Graph, tasks Tasks) graph.Ref[string] {
	return graph.Pure(g, h.name("build"), func(t *graph.Task) graph.Compute[string] {
		system := graph.Use(t, tasks.Eval)
		t.Version(1)
		t.Heavy()
		t.Pool(buildPool, 1)
		return graph.Compute[string]{
			Valid: func(out string) error {
				if !h.Nix.Exists(out) {
					return errors.New(out + " was garbage-collected")
				}
				return nil
			},
			Run: func(ctx context.Context) (string, error) {
				s := system.Get(ctx)
				out, err := h.Nix.Build(ctx, s.Drv, filepath.Join(h.Roots, h.host.Name), graph.Log(ctx))
				if err != nil {
					return "", err
				}
				if out != s.Out {
					return "", fmt.Errorf("built %s, but evaluated %s", out, s.Out)
				}
				return out, h.checkClosure(out)
			},
		}
	})
}

// checkClosure looks whether this is a system for this host. One of another
// platform in the profile can block every later boot loader run (nixpkgs#93694).
func (h *target) checkClosure(out string) error {
	real := h.Nix.RealPath(out)
	needed := []string{"nixos-version", "init", "bin/switch-to-configuration"}
	if h.host.IsDarwin() {
		needed = []string{"activate"}
	}
	for _, file := range needed {
		if _, err := os.Lstat(filepath.Join(real, file)); err != nil {
			return fmt.Errorf("%s is no system closure: it has no %s", out, file)
		}
	}
	platform, err := os.ReadFile(filepath.Join(real, "system"))
	if err != nil && !h.host.IsDarwin() {
		return fmt.Errorf("%s is no system closure: %w", out, err)
	}
	if got := strings.TrimSpace(string(platform)); err == nil && got != string(h.host.System) {
		return fmt.Errorf("%s is a system for %s, but %s says %s", out, got, h.host.File, h.host.System)
	}
	return nil
}
