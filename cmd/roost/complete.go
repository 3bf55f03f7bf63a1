package main

import (
	"fmt"
	"io"
	"os"
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
	before := ""
	if len(words) > 0 {
		before = words[len(words)-1]
	}
	for _, c := range candidates(model, node, before, last) {
		if strings.HasPrefix(c, last) {
			fmt.Fprintln(w, c)
		}
	}
}

func candidates(model *kong.Application, node *kong.Node, before, last string) []string {
	switch {
	case before == "--on":
		return verbs.SelectorWords(os.Getenv("ROOST_FLEET"))
	case node.Name == "completion":
		return []string{"bash", "zsh", "fish"}
	}
	var all []string
	if node == model.Node {
		for _, child := range node.Children {
			if !child.Hidden {
				all = append(all, child.Name)
			}
		}
	}
	if strings.HasPrefix(last, "-") {
		for at := node; at != nil; at = at.Parent {
			for _, flag := range at.Flags {
				all = append(all, "--"+flag.Name)
			}
		}
	}
	return all
}

type completion struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

// The scripts ask `roost complete` at each Tab, so they never grow old. Verbs
// have a colon, at which bash breaks words: its own helper mends that.
var scripts = map[string]string{
	"bash": `# eval "$(roost completion bash)"
_roost() {
  local line words
  line=${COMP_LINE:0:COMP_POINT}
  read -ra words <<< "$line"
  [[ $line == *" " ]] && words+=("")
  local IFS=$'\n'
  COMPREPLY=($(roost complete "${words[@]:1}"))
  local typed=${words[-1]}
  if [[ $typed == *:* && $COMP_WORDBREAKS == *:* ]]; then
    local cut=${typed%"${typed##*:}"}
    COMPREPLY=("${COMPREPLY[@]#"$cut"}")
  fi
}
complete -F _roost roost
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
