package own

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"roost/hosts"
)

// run and good make the texts below complete: [task.x] is line 1, its keys begin
// on line 3, or on line 4 after good.
const (
	run  = "[task.x]\nrun = ['true']\n"
	good = run + "check = ['true']\n"
)

// rules has every rule both ways. want is "LINE:COLUMN: MESSAGE" for each problem,
// none where the text is good.
var rules = []struct {
	text string
	want []string
}{
	// The file.
	{"", []string{"1:1: there is no task here: add [task.NAME] and run = [...]"}},
	{"[task]", nil},
	{"task = 1", []string{"1:8: task must be a table, not an integer"}},
	{"task.x = 1", []string{"1:10: task.x must be a table, not an integer"}},
	{"[task.x]\nrun = [", []string{"2:7: this is not TOML: array is incomplete; the rest of the file is not checked yet"}},
	{"[tasks.x]\nrun = ['true']", []string{`1:2: unknown key "tasks"; did you mean "task"?`}},
	{good, nil},
	{"[task.x]\nrun = ['true']\nalways = true", nil},
	{"[task.x]\nrun = ['true']\ninputs = ['a']", nil},
	{"[task.x]\nrun = ['true']\noutputs = ['new/a']", nil},
	{good + "inptus = ['a']\nrnu = 1", []string{
		`4:1: unknown key "inptus" in [task.x]; did you mean "inputs"?`, `5:1: unknown key "rnu" in [task.x]; known keys: run, needs, inputs, outputs, check, always, stdin, env, pass, dir, timeout, retries and 3 more`}},
	{"[task.X_1]\nrun = ['true']\nalways = true", []string{`1:7: "X_1" is no name for a task: small letters, digits and dashes are allowed, and no dash first`}},
	{"[task.build]\nrun = ['true']\nalways = true", nil},
	{"[task.build]\nrun = ['true']\nalways = true\non = '*'", []string{"1:7: HOST/build is a task of update:all: choose another name"}},

	// run and check.
	{"[task.x]", []string{
		`1:7: run is missing: add run = ["PROGRAM", "ARGUMENT"]`,
		`1:7: nothing says when "x" must run: add check = ["PROGRAM", ...], or inputs and outputs, or always = true`}},
	{"[task.x]\nrun = []\ncheck = []", []string{
		`2:7: run is empty: it wants ["PROGRAM", "ARGUMENT"]`, `3:9: check is empty: it wants ["PROGRAM", "ARGUMENT"]`}},
	{"[task.x]\nrun = ['', 'a']\ncheck = ['true', '']", []string{"2:8: run: the program is empty"}},
	{"[task.x]\nrun = 'make all'\nalways = true", []string{"2:7: task.x.run must be an array of strings, not a string"}},
	{"[task.x]\nrun = [1, 'a']\nalways = true", []string{"2:8: an entry of task.x.run must be a string, not an integer"}},
	{"[task.x]\nrun = [\"a\\u0000\"]\nalways = true", []string{"2:8: an entry of task.x.run contains a NUL character"}},
	{run, []string{`1:7: nothing says when "x" must run: add check = ["PROGRAM", ...], or inputs and outputs, or always = true`}},
	{run + "always = false", []string{`1:7: nothing says when "x" must run: add check = ["PROGRAM", ...], or inputs and outputs, or always = true`}},
	{good + "always = true", []string{"4:1: a check says when the task must run, so it does not always: leave one of the two out"}},
	{run + "always = 'yes'", []string{`1:7: nothing says when "x" must run: add check = ["PROGRAM", ...], or inputs and outputs, or always = true`,
		"3:10: task.x.always must be true or false, not a string"}},
	{good + "inputs = ['a']\noutputs = ['b']", []string{
		"4:1: inputs go with a task that runs when its inputs have changed; this one has a check or runs always. To wait for the task that makes a file: needs",
		"5:1: outputs go with a task that runs when its inputs have changed; this one has a check or runs always. To wait for the task that makes a file: needs"}},
	{"[task.x]\nrun = ['./tool.sh']\nalways = true", nil},
	{"[task.x]\nrun = ['./tol.sh']\nalways = true", []string{`2:8: run "tol.sh" is not there, and no task makes it`}},
	{"[task.x]\nrun = ['../tool.sh']\nalways = true", []string{`2:8: run "../tool.sh" must be a path below the fleet folder, such as "site/index.html": no slash first or last, no ".."`}},
	{"[task.x]\nrun = ['../tool.sh']\nalways = true\ndir = 'docs'", nil},
	{"[task.x]\nrun = ['/bin/none']\nalways = true", nil}, // another machine may have it
	{"[task.x]\nrun = ['true']\ncheck = ['./tol.sh']", []string{`3:10: check "tol.sh" is not there, and no task makes it`}},

	// Where it runs.
	{good + "on = '@server'", nil},
	{good + "on = '@sever'", []string{`4:6: on: no host has the tag "sever", nor is it a role; did you mean "server"?`}},
	{good + "on = 'h* and m*'", []string{`4:6: on: "h* and m*" selects no host of this fleet`}},
	{good + "on = ''", []string{"4:6: task.x.on is empty; give it a value or leave it out"}},
	{good + "at = 'here'", nil},
	{good + "on = '*'\nat = 'host'", nil},
	{good + "at = 'hosts'", []string{`4:6: at = "hosts": one of here, host; did you mean "host"?`}},
	{good + "at = 1", []string{"4:6: task.x.at must be a string, not an integer"}},
	{good + "at = 'host'", []string{`4:1: at = "host" needs on: which hosts, such as on = "@server"`}},
	{run + "on = '*'\nat = 'host'\ninputs = ['a']\noutputs = ['{host}']\ndir = 'docs'\npass = ['A']", []string{
		`5:1: inputs does not go with at = "host": what runs on a host depends on that host: give it a check`,
		`6:1: outputs does not go with at = "host": they are files of the fleet folder, and the program runs on the host: give it a check`,
		`7:1: dir does not go with at = "host": it is a folder of the fleet, and the program runs on the host: use absolute paths`,
		`8:1: pass does not go with at = "host": what it holds would stand in the host's list of processes; put it into a file and use stdin`}},
	{good + "dir = 'docs'", nil},
	{good + "dir = 'a'", []string{`4:7: dir "a" is no folder of the fleet`}},
	{good + "dir = '/etc'", []string{`4:7: dir "/etc" must be a path below the fleet folder, such as "site/index.html": no slash first or last, no ".."`}},
	{good + "dir = 'out'", []string{`4:7: dir "out" is no folder of the fleet`}}, // a symlink that leads out

	// Its environment.
	{good + "env = { A = '', b_1 = 'x' }\npass = ['C']", nil},
	{good + "env = { 'A-B' = 'x' }\npass = ['1C', 'D', 'D']", []string{
		`4:9: env: "A-B" is no name of a variable: letters, digits and underscores, no digit first`,
		`5:9: pass: "1C" is no name of a variable: letters, digits and underscores, no digit first`,
		`5:20: pass: "D" is given twice: it is on line 5 already`}},
	{good + "env.A = 'x'\npass = ['A']", []string{"4:5: A is in env and in pass: leave one of the two out"}},
	{good + "env.A = 1", []string{"4:9: task.x.env.A must be a string, not an integer"}},
	{good + "env = ['A=1']", []string{"4:7: task.x.env must be a table, not an array"}},

	// When it fails.
	{good + "timeout = '1m30s'", nil},
	{good + "timeout = 90", []string{`4:11: task.x.timeout must be a duration in quotes, such as "10s", not an integer`}},
	{good + "timeout = '0s'", []string{`4:11: task.x.timeout: "0s" is no duration above zero such as "10s" or "1m30s"`}},
	{good + "retries = { times = 3, codes = [75, 1] }", nil},
	{good + "retries = {\n  times = 3,\n  codes = [75],\n}\nenv.A = \"\\e\"", nil}, // TOML 1.1: Nix does not read it
	{good + "retries = 3", []string{"4:11: task.x.retries must be a table, not an integer"}},
	{good + "[task.x.retries]", []string{
		"4:9: retries wants times and codes, such as { times = 3, codes = [75] }; times is missing",
		"4:9: retries wants times and codes, such as { times = 3, codes = [75] }; codes is missing"}},
	{good + "retries = { times = 0, codes = [] }", []string{"4:21: retries.times: want a number from 1 to 100", "4:32: retries.codes is empty: after which exit codes is it to be tried again?"}},
	{good + "retries = { times = 101, codes = [0, 256, 7, 7] }", []string{
		"4:21: retries.times: want a number from 1 to 100", "4:35: retries.codes: want exit codes from 1 to 255",
		"4:38: retries.codes: want exit codes from 1 to 255", "4:46: retries.codes: 7 is given twice"}},
	{good + "retries = { times = '3', codes = ['x'] }", []string{
		"4:21: task.x.retries.times must be an integer, not a string", "4:35: an entry of task.x.retries.codes must be an integer, not a string"}},
	{good + "retries = { times = 1, codes = [1], delay = 1 }", []string{`4:37: unknown key "delay" in [task.x.retries]; known keys: times, codes`}},

	// Lanes and placeholders.
	{good + "lane = 'db'", nil},
	{good + "lane = 'db-{host}'\non = '*'", nil},
	{good + "lane = 'd b'", []string{`4:8: lane "d b": small letters, digits, dashes and placeholders are allowed, and no dash first`}},
	{"[task.x]\nrun = ['echo', '{host}{address}{user}{system}{role}', '{ host }', '{Host}', '{}', '{\"a\":1}', '{{print}']\nalways = true\non = '*'", nil},
	{"[task.x]\nrun = ['echo', '{hots}', '{print}']\nalways = true\non = '*'", []string{
		`2:16: {hots} stands for nothing: did you mean "{host}"?; for the text itself write {{hots}`,
		"2:26: {print} stands for nothing: known placeholders: {host}, {address}, {user}, {system}, {role}; for the text itself write {{print}"}},
	{"[task.x]\nrun = ['echo', '{host}']\nalways = true\nenv.A = '{user}'", []string{
		"2:16: {host} needs a host, and the task has no `on`; for the text itself write {{host}",
		"4:9: {user} needs a host, and the task has no `on`; for the text itself write {{user}"}},

	// Inputs and outputs.
	{run + "inputs = ['a', 'docs/*.md', '**/*.md', '{docs,none}/one.md', 'link']", nil},
	{run + "inputs = ['b', 'none/**', 'docs', '[a', '../x', '/etc/hosts', 'a']", []string{
		`3:11: input "b" is not there, and no task makes it`,
		`3:16: input "none/**" matches no file, and no task makes one: a task that depends on nothing would never run again`,
		`3:27: input "docs" is a folder: for all that is in it, write "docs/**"`,
		`3:35: input "[a" is no glob: a bracket or a brace has no end`,
		`3:41: input "../x" must be a path below the fleet folder, such as "site/index.html": no slash first or last, no ".."`,
		`3:49: input "/etc/hosts" must be a path below the fleet folder, such as "site/index.html": no slash first or last, no ".."`}},
	{run + "inputs = ['out/passwd', 'away']", []string{
		`3:11: input "out/passwd" cannot be reached in the fleet folder: path escapes from parent`,
		`3:25: input "away" cannot be read: path escapes from parent`}},
	{run + "inputs = []\noutputs = []\nneeds = []\npass = []", []string{
		"3:10: inputs is empty: leave it out, or say what", "4:11: outputs is empty: leave it out, or say what",
		"5:9: needs is empty: leave it out, or say what", "6:8: pass is empty: leave it out, or say what"}},
	{run + "inputs = ['a', 'a']", []string{`3:16: inputs: "a" is given twice: it is on line 3 already`}},
	{run + "inputs = ['a', '']", []string{"3:16: an entry of task.x.inputs is empty; give it a value or leave it out"}},
	{run + "on = '*'\ninputs = ['hosts/{host}/host.toml']", nil},
	{run + "on = '*'\ninputs = ['{host}.txt']", []string{
		`4:11: input "heron.txt" is not there, and no task makes it`}}, // one of three: the first is told
	{run + "outputs = ['x/*', 'docs', '/x', 'out/x', '.']", []string{
		`3:12: output "x/*": outputs are named one by one, without * ? [ { and \`, `3:19: output "docs" is a folder: name the files in it`,
		`3:27: output "/x" must be a path below the fleet folder, such as "site/index.html": no slash first or last, no ".."`,
		`3:33: output "out/x" cannot be reached in the fleet folder: path escapes from parent`,
		`3:42: output "." must be a path below the fleet folder, such as "site/index.html": no slash first or last, no ".."`}},
	{run + "outputs = ['x']\n[task.y]\nrun = ['true']\noutputs = ['x']", []string{`6:12: output "x" is made by task "x" already`}},
	{run + "outputs = ['x', 'x']", []string{`3:17: outputs: "x" is given twice: it is on line 3 already`}},
	{run + "on = '*'\noutputs = ['x']", []string{`4:12: output "x" is made on several hosts: put {host} into its name`}},
	{run + "on = 'rook'\noutputs = ['x']", nil},
	{run + "inputs = ['docs/**']\noutputs = ['docs/all.md']", []string{`3:11: input "docs/**" matches an output of the task itself: it would never be up to date`}},
	{run + "stdin = 'a'\nalways = true", nil},
	{run + "stdin = '*.md'\nalways = true", []string{`3:9: stdin "*.md": it is one file, without * ? [ { and \`}},
	{run + "stdin = 'b'\nalways = true", []string{`3:9: stdin "b" is not there, and no task makes it`}},

	// Needs.
	{good + "needs = ['y']\n[task.y]\nrun = ['true']\nalways = true", nil},
	{good + "needs = ['z', 'x', 'y', 'y']\n[task.y]\nrun = ['true']\nalways = true", []string{
		`4:10: needs "z": there is no task "z"; did you mean "x" or "y"?`, `4:15: needs "x": a task cannot wait for itself`,
		`4:25: needs: "y" is given twice: it is on line 4 already`}},
	{good + "needs = ['rook/y', '@server/y', 'fleet/y', 'nobody/y', 'malphas/y', 'fleet/x']\n[task.y]\nrun = ['true']\nalways = true\non = '@server'", []string{
		`4:33: needs "fleet/y": "y" is on hosts: write "y", or name the hosts, such as "*/y"`,
		`4:44: needs "nobody/y": no host "nobody" in this fleet; known hosts: heron, malphas, rook`,
		`4:56: needs "malphas/y": "y" is on none of these hosts, it is on "@server"`,
		`4:69: needs "fleet/x": a task cannot wait for itself`}},
	{good + "needs = ['*/y']\n[task.y]\nrun = ['true']\nalways = true", []string{`4:10: needs "*/y": "y" is on no host: write "y"`}},
	{good + "on = '*'\nneeds = ['y']\n[task.y]\nrun = ['true']\nalways = true\non = '@server'", []string{
		`5:10: needs "y": "y" is not on malphas, it is on "@server": write which hosts you mean, such as "*/y"`}},
	{good + "needs = ['y']\n[task.y]\nrun = ['true']\nalways = true\nneeds = ['z']\n[task.z]\nrun = ['true']\nalways = true\nneeds = ['x']", []string{
		"12:1: tasks wait for each other in a circle: fleet/x waits for fleet/y waits for fleet/z waits for fleet/x"}},
	{good + "on = '*'\nneeds = ['y']\n[task.y]\nrun = ['true']\nalways = true\non = '*'\nneeds = ['x']", []string{
		"10:1: tasks wait for each other in a circle: heron/x waits for heron/y waits for heron/x"}},
	{"[task.x]\nrun = ['true']\ninputs = ['two']\noutputs = ['one']\n[task.y]\nrun = ['true']\ninputs = ['one']\noutputs = ['two']", []string{
		"5:7: tasks wait for each other in a circle: fleet/x waits for fleet/y waits for fleet/x"}},
	{good + "needs = ['bad']\non = 'nobody'\n[task.bad]\nrun = ['true']\nalways = true\non = 'nobody'\nneeds = ['y', 'x']", []string{
		`5:6: on: no host "nobody" in this fleet; known hosts: heron, malphas, rook`,
		`9:6: on: no host "nobody" in this fleet; known hosts: heron, malphas, rook`,
		`10:10: needs "y": there is no task "y"; did you mean "x"?`}},
	{good + "needs = ['bad']\n[task.bad]\nrun = ['true']\nalways = true\non = 'nobody'", []string{
		`8:6: on: no host "nobody" in this fleet; known hosts: heron, malphas, rook`}},
}

// tree is what the texts above may name.
var tree = map[string]string{
	"a": "a", "tool.sh": "#!/bin/sh\n", "docs/one.md": "1", "docs/two.md": "2", ".git/x.md": "hidden",
}

func TestRules(t *testing.T) {
	fleet := newFleet(t, tree)
	for link, to := range map[string]string{"link": "a", "out": "/etc", "away": "/etc/hosts"} {
		if err := os.Symlink(to, filepath.Join(fleet.Dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range rules {
		_, err := read(fleet, []byte(c.text))
		if diff := cmp.Diff(c.want, problems(t, err)); diff != "" {
			t.Errorf("%s\n(-want +got):\n%s", c.text, diff)
		}
	}
}

// problems are the lines of an error of Load, without the file and the last line.
func problems(t *testing.T, err error) []string {
	t.Helper()
	if err == nil {
		return nil
	}
	invalid, ok := errors.AsType[*hosts.InvalidError](err)
	if !ok {
		t.Fatalf("not an InvalidError: %v", err)
	}
	var lines []string
	for _, p := range invalid.Problems {
		lines = append(lines, strings.TrimPrefix(p.String(), FileName+":"))
	}
	return lines
}

func TestLoadOfNoFile(t *testing.T) {
	fleet := newFleet(t, nil)
	_, err := Load(fleet)
	if err == nil || !strings.HasPrefix(err.Error(), "tasks.toml: is not in the fleet folder "+fleet.Dir+"; create it") {
		t.Errorf("got %v", err)
	}
	if err := os.Mkdir(filepath.Join(fleet.Dir, FileName), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(fleet); err == nil || !strings.Contains(err.Error(), "tasks.toml: cannot be read: is a directory") {
		t.Errorf("got %v", err)
	}
}
