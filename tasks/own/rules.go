package own

import (
	"regexp"
	"slices"

	"roost/internal/nearest"
	"roost/internal/tomldoc"
)

var (
	nameRule     = regexp.MustCompile(`^[a-z0-9][a-z0-9-]*$`)
	variableRule = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	laneRule     = regexp.MustCompile(`^[a-z0-9{][a-z0-9{}-]*$`)
)

// hostSteps are the tasks that update:all has for each host. Another one of the
// same name would be taken for it in the record and in reports.
var hostSteps = []string{"eval", "probe", "build", "copy", "activate", "health"}

// rules holds one task to the rules that need no other task, and no host.
func (r *reader) rules(name string, task *Task, at *tomldoc.Node) {
	has := func(key string) bool { return at.At(key) != nil }
	switch {
	case !nameRule.MatchString(name):
		r.Report(at.Key, "%q is no name for a task: small letters, digits and dashes are allowed, and no dash first", name)
	case has("on") && slices.Contains(hostSteps, name):
		r.Report(at.Key, "HOST/%s is a task of update:all: choose another name", name)
	}
	r.program("run", task.Run, at)
	if has("check") {
		r.program("check", task.Check, at)
	}
	if task.At == "" {
		task.At = Here
	}
	r.kind(name, task, at)
	r.whereItRuns(task, at)
	r.environment(task, at)
	if has("retries") {
		r.retries(task.Retries, at.At("retries"))
	}
	if task.Lane != "" && !laneRule.MatchString(task.Lane) {
		r.Report(at.At("lane").Value, "lane %q: small letters, digits, dashes and placeholders are allowed, and no dash first", task.Lane)
	}
	for key, list := range map[string][]string{"needs": task.Needs, "inputs": task.Inputs, "outputs": task.Outputs, "pass": task.Pass} {
		r.list(key, list, at.At(key))
	}
}

// program holds an argument vector to its one rule.
func (r *reader) program(key string, argv []string, at *tomldoc.Node) {
	place := at.At(key)
	switch {
	case place == nil:
		r.Report(at.Key, `%s is missing: add %[1]s = ["PROGRAM", "ARGUMENT"]`, key)
	case len(place.Items) == 0 && len(argv) == 0 && argv != nil:
		r.Report(place.Value, `%s is empty: it wants ["PROGRAM", "ARGUMENT"]`, key)
	case len(argv) > 0 && argv[0] == "" && !r.Told(place.Items[0].Value):
		r.Report(place.Items[0].Value, "%s: the program is empty", key)
	}
}

// kind holds the task to being one kind of task, and to the keys of that.
func (r *reader) kind(name string, task *Task, at *tomldoc.Node) {
	if at.At("check") != nil && task.Always {
		r.Report(at.At("always").Key, "a check says when the task must run, so it does not always: leave one of the two out")
	}
	effect := at.At("check") != nil || at.At("always") != nil && task.Always
	for _, key := range []string{"inputs", "outputs"} {
		if place := at.At(key); effect && place != nil {
			r.Report(place.Key, "%s go with a task that runs when its inputs have changed; this one has a check or runs always. To wait for the task that makes a file: needs", key)
		}
	}
	if !effect && at.At("inputs") == nil && at.At("outputs") == nil {
		r.Report(at.Key, `nothing says when %q must run: add check = ["PROGRAM", ...], or inputs and outputs, or always = true`, name)
	}
}

func (r *reader) whereItRuns(task *Task, at *tomldoc.Node) {
	place := at.At("at")
	if place != nil && task.At != "" && !slices.Contains(Places(), task.At) {
		hint := "one of here, host"
		if near := nearest.Words(string(task.At), []string{string(Here), string(OnHost)}); len(near) > 0 {
			hint += "; " + nearest.DidYouMean(near)
		}
		r.Report(place.Value, "at = %q: %s", task.At, hint)
	}
	if task.At != OnHost {
		return
	}
	if at.At("on") == nil {
		r.Report(place.Key, `at = "host" needs on: which hosts, such as on = "@server"`)
	}
	for key, why := range map[string]string{
		"inputs":  "what runs on a host depends on that host: give it a check",
		"outputs": "they are files of the fleet folder, and the program runs on the host: give it a check",
		"dir":     "it is a folder of the fleet, and the program runs on the host: use absolute paths",
		"pass":    "what it holds would stand in the host's list of processes; put it into a file and use stdin",
	} {
		if wrong := at.At(key); wrong != nil {
			r.Report(wrong.Key, `%s does not go with at = "host": %s`, key, why)
		}
	}
}

func (r *reader) environment(task *Task, at *tomldoc.Node) {
	for name := range task.Env {
		if place := at.At("env", name); !variableRule.MatchString(name) {
			r.Report(place.Key, "env: %q is no name of a variable: letters, digits and underscores, no digit first", name)
		} else if slices.Contains(task.Pass, name) {
			r.Report(place.Key, "%s is in env and in pass: leave one of the two out", name)
		}
	}
	for i, name := range task.Pass {
		if name != "" && !variableRule.MatchString(name) {
			r.Report(at.At("pass").Items[i].Value, "pass: %q is no name of a variable: letters, digits and underscores, no digit first", name)
		}
	}
}

func (r *reader) retries(retries Retries, at *tomldoc.Node) {
	if r.Told(at.Value) {
		return // no table
	}
	for _, key := range []string{"times", "codes"} {
		if at.At(key) == nil {
			r.Report(at.Key, "retries wants times and codes, such as { times = 3, codes = [75] }; %s is missing", key)
		}
	}
	if times := at.At("times"); times != nil && !r.Told(times.Value) && (retries.Times < 1 || retries.Times > 100) {
		r.Report(times.Value, "retries.times: want a number from 1 to 100")
	}
	codes := at.At("codes")
	if codes != nil && retries.Codes != nil && len(retries.Codes) == 0 {
		r.Report(codes.Value, "retries.codes is empty: after which exit codes is it to be tried again?")
	}
	for i, code := range retries.Codes {
		switch {
		case r.Told(codes.Items[i].Value):
		case code < 1 || code > 255:
			r.Report(codes.Items[i].Value, "retries.codes: want exit codes from 1 to 255")
		case slices.Index(retries.Codes, code) != i:
			r.Report(codes.Items[i].Value, "retries.codes: %d is given twice", code)
		}
	}
}

// list refuses a list without entries, and what a list has twice.
func (r *reader) list(key string, list []string, at *tomldoc.Node) {
	if list != nil && len(list) == 0 {
		r.Report(at.Value, "%s is empty: leave it out, or say what", key)
	}
	for i, entry := range list {
		if first := slices.Index(list, entry); first != i && entry != "" {
			r.Report(at.Items[i].Value, "%s: %q is given twice: it is on line %d already", key, entry, r.Line(at.Items[first].Value))
		}
	}
}
