package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"roost/internal/verbs"
)

// complete prints what may stand at the end of the words typed so far, one a
// line. The last word is the one being typed; the shell filters nothing.
func complete(w io.Writer, model *kong.Application, words []string) {
	last := ""
	if len(words) > 0 {
		last = words[len(words)-1]
		words = words[:len(words)-1]
	}
	node := model.Node
	for _, word := range words {
		for _, child := range node.Children {
			if child.Name == word {
				node = child
			}
		}
	}
	if name, typed, ok := strings.Cut(last, "="); ok && strings.HasPrefix(name, "--") {
		for _, value := range values(node, words, name, typed) {
			offer(w, last, name+"="+value)
		}
		return
	}
	before := ""
	if len(words) > 0 {
		before = words[len(words)-1]
	}
	for _, c := range candidates(model, node, words, before, last) {
		offer(w, last, c)
	}
}

func offer(w io.Writer, typed, candidate string) {
	if strings.HasPrefix(candidate, typed) {
		fmt.Fprintln(w, candidate)
	}
}

// values are what the flag of that name may be given; typed is the beginning of
// it. A number or a folder has none: the script lets bash complete folders.
func values(node *kong.Node, words []string, flag, typed string) []string {
	fleet := fleetOf(words)
	switch node.Name + " " + flag {
	case "graph --format":
		return verbs.GraphFormats()
	case "graph --focus":
		return verbs.DeclaredWords(fleet, words)
	case "why --plan":
		return verbs.PlanWords(typed)
	}
	if flag == "--on" {
		return verbs.SelectorWords(fleet)
	}
	return nil
}

// fleetOf is the fleet that the words so far, or the environment, name.
func fleetOf(words []string) string { return given(words, "--fleet", os.Getenv("ROOST_FLEET")) }

// given is what a flag was given among the words, or else.
func given(words []string, flag, otherwise string) string {
	for i, word := range words {
		if value, ok := strings.CutPrefix(word, flag+"="); ok {
			otherwise = value
		} else if i > 0 && words[i-1] == flag {
			otherwise = word
		}
	}
	return otherwise
}

// arguments are what the verb's first argument may be; typed is the beginning of it.
func arguments(node *kong.Node, words []string, typed string) []string {
	fleet := fleetOf(words)
	switch node.Name {
	case "why":
		return verbs.TaskWords(fleet, given(words, "--plan", ""))
	case "cache:explain":
		return verbs.CachedWords(fleet)
	case "resume", "trace":
		return verbs.RunWords(fleet)
	case "apply":
		return verbs.PlanWords(typed)
	case "intents:settle":
		return verbs.UnsettledTasks(fleet)
	}
	return nil
}

func candidates(model *kong.Application, node *kong.Node, words []string, before, last string) []string {
	switch {
	case wantsValue(node, before):
		return values(node, words, before, last)
	case !strings.HasPrefix(last, "-"):
		if words := choices(node, words); words != nil {
			return words
		}
		if !hasArgument(node, words) {
			if words := arguments(node, words, last); len(words) > 0 {
				return words
			}
		}
	}
	var all []string
	if node == model.Node {
		for _, child := range node.Children {
			if !child.Hidden {
				all = append(all, child.Name)
			}
		}
	}
	if takesTasks(node, words) {
		all = verbs.OwnTaskWords(fleetOf(words))
	}
	if strings.HasPrefix(last, "-") || node != model.Node {
		for at := node; at != nil; at = at.Parent {
			for _, flag := range at.Flags {
				all = append(all, "--"+flag.Name)
			}
		}
	}
	return all
}

// wantsValue says that the word is a flag of the verb whose value comes next.
func wantsValue(node *kong.Node, word string) bool {
	for at := node; at != nil; at = at.Parent {
		for _, flag := range at.Flags {
			if word == "--"+flag.Name || flag.Short != 0 && word == "-"+string(flag.Short) {
				return !flag.IsBool()
			}
		}
	}
	return false
}

// takesTasks says that tasks of tasks.toml come next: after run, and after a verb
// that takes run as its word.
func takesTasks(node *kong.Node, words []string) bool {
	return slices.ContainsFunc(node.Positional, func(arg *kong.Positional) bool { return arg.Name == "task" && arg.IsSlice() }) &&
		slices.Contains(words, verbs.Run.Name)
}

// choices are the words of which the verb wants one, until it has one.
func choices(node *kong.Node, words []string) []string {
	for _, arg := range node.Positional {
		if arg.Enum == "" {
			continue
		}
		choices := strings.Split(arg.Enum, ",")
		if !slices.ContainsFunc(words, func(word string) bool { return slices.Contains(choices, word) }) {
			return choices
		}
	}
	return nil
}

// hasArgument says that one stands behind the verb already.
func hasArgument(node *kong.Node, words []string) bool {
	for i := slices.Index(words, node.Name) + 1; i < len(words); i++ {
		if !strings.HasPrefix(words[i], "-") && !wantsValue(node, words[i-1]) {
			return true
		}
	}
	return false
}

type completion struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

// The scripts ask `roost complete` at each Tab, so they never grow old. bash
// breaks words at the colon of a verb and at the equals sign of a flag, and
// replaces only what stands behind: so it must not get what stands before.
var scripts = map[string]string{
	"bash": `# eval "$(roost completion bash)"
_roost() {
  local line words
  line=${COMP_LINE:0:COMP_POINT}
  read -ra words <<< "$line"
  [[ $line == *" " ]] && words+=("")
  local IFS=$'\n'
  COMPREPLY=($(roost complete "${words[@]:1}"))
  local typed=${words[-1]} break
  for break in : =; do
    if [[ $typed == *$break* && $COMP_WORDBREAKS == *$break* ]]; then
      local cut=${typed%"${typed##*$break}"}
      COMPREPLY=("${COMPREPLY[@]#"$cut"}")
      typed=${typed#"$cut"}
    fi
  done
}
complete -o dirnames -F _roost roost
`,
	"zsh": `#compdef roost
# eval "$(roost completion zsh)"
_roost() { compadd -- ${(f)"$(roost complete "${(@)words[2,CURRENT]}")"} }
compdef _roost roost
`,
	"fish": `# roost completion fish | source
complete -c roost -f -a '(roost complete (commandline -opc)[2..] (commandline -ct))'
`,
}

func (c *completion) Run(*Globals) error {
	_, err := io.WriteString(os.Stdout, scripts[c.Shell])
	return err
}
