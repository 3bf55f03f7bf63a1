package report

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"roost/graph"
)

// story builds the events of a run, second by second.
type story struct {
	events []graph.Event
	start  time.Time
}

func newStory(dry bool, tasks int) *story {
	s := &story{start: time.Date(2026, 3, 14, 9, 26, 53, 0, time.UTC)}
	s.at(0, graph.Event{Kind: graph.RunStarted, Run: &graph.RunInfo{
		ID: "20260314T092653-1", Verb: "update:all", Dry: dry, Tasks: tasks,
	}})
	return s
}

func (s *story) at(second float64, e graph.Event) {
	e.Version = graph.EventVersion
	e.Time = s.start.Add(time.Duration(second * float64(time.Second)))
	s.events = append(s.events, e)
}

// task lets a task work from one second to another.
func (s *story) task(name string, from, to float64, status graph.Status, result any, log ...string) {
	s.at(from, graph.Event{Kind: graph.TaskStarted, Task: name, TaskKind: kindOf(name)})
	for _, line := range log {
		s.at(from, graph.Event{Kind: graph.TaskLog, Task: name, Text: line})
	}
	s.end(to, graph.Event{Task: name, Status: status, Seconds: to - from}, result)
}

// end ends a task that did not work, or not well.
func (s *story) end(at float64, e graph.Event, result any) {
	e.Kind = graph.TaskFinished
	if result != nil {
		text, err := json.Marshal(result)
		if err != nil {
			panic(err)
		}
		e.Result = text
	}
	s.at(at, e)
}

// done ends the story: the events in the order of their time.
func (s *story) done(seconds float64) []graph.Event {
	s.at(seconds, graph.Event{Kind: graph.RunFinished, Seconds: seconds})
	last := len(s.events) - 1
	slices.SortStableFunc(s.events[:last], func(a, b graph.Event) int { return a.Time.Compare(b.Time) })
	for i := range s.events {
		s.events[i].Seq = i + 1
	}
	return s.events
}

func (s *story) run(seconds float64) *Run {
	run := New()
	for _, e := range s.done(seconds) {
		run.Add(e)
	}
	return run
}

func kindOf(name string) graph.Kind {
	switch _, step, _ := strings.Cut(name, "/"); step {
	case "probe", "health":
		return graph.KindObserve
	case "copy", "activate":
		return graph.KindEffect
	}
	return graph.KindPure
}

// plan is the plan of update:all for these hosts; decide may change a task.
func plan(hosts []string, decide func(p *graph.Planned)) *graph.Plan {
	p := &graph.Plan{Version: graph.PlanVersion}
	for _, h := range hosts {
		for _, t := range []graph.Planned{
			{Task: h + "/eval", Decision: graph.DecideRun, Reason: "modules/common/ssh.nix changed"},
			{Task: h + "/probe", Decision: graph.DecideRead},
			{Task: h + "/build", Decision: graph.DecideRun, Needs: []string{h + "/eval"}, Reason: "no result for its key"},
			{Task: h + "/copy", Decision: graph.DecideRun, Needs: []string{h + "/build", h + "/probe"}, Reason: "the host has not all of it"},
			{Task: h + "/activate", Decision: graph.DecideRun, Needs: []string{h + "/copy", h + "/eval", h + "/probe"}, Reason: "the host runs another system"},
			{Task: h + "/health", Decision: graph.DecideRead, Needs: []string{h + "/activate"}},
		} {
			t.Kind = kindOf(t.Task)
			if decide != nil {
				decide(&t)
			}
			p.Tasks = append(p.Tasks, t)
		}
	}
	return p
}

func system(host, hash, version string) string {
	return fmt.Sprintf("/nix/store/%s-nixos-system-%s-%s", hash+"zq3k5v7w9y1x3d5f7h9j0l2n4p6r8s", host, version)
}

type object = map[string]any

func probe(host, hash, version string) object {
	return object{"current": system(host, hash, version), "label": version}
}

func eval(host, hash, version string) object {
	return object{"drv": "/nix/store/x.drv", "out": system(host, hash, version)}
}

// four is a run with one host updated, one unchanged, one failed at activate,
// one deferred.
func four() *story {
	s := newStory(false, 24)
	s.task("malphas/probe", 0.1, 0.6, graph.StatusRead, probe("malphas", "1a2b", "1.0"))
	s.task("stolas/probe", 0.1, 0.7, graph.StatusRead, probe("stolas", "3c4d", "1.1"))
	s.task("raum/probe", 0.1, 0.9, graph.StatusRead, probe("raum", "5e6f", "1.0"))
	s.task("malphas/eval", 0.2, 3.4, graph.StatusRan, eval("malphas", "9z8y", "1.1"))
	s.end(0.3, graph.Event{Task: "stolas/eval", Status: graph.StatusCached, Reason: "same key"}, eval("stolas", "3c4d", "1.1"))
	s.task("raum/eval", 0.3, 4.1, graph.StatusRan, eval("raum", "7x6w", "1.1"))
	s.at(5.3, graph.Event{Kind: graph.TaskStarted, Task: "rook/probe", TaskKind: graph.KindObserve})
	s.end(10.3, graph.Event{Task: "rook/probe", Status: graph.StatusDeferred, Seconds: 5,
		Reason: "no answer from 10.0.0.3 port 22 in 5 s (timed out): it will be updated when it is seen again"}, nil)
	for _, step := range []string{"eval", "build", "copy", "activate", "health"} {
		s.end(10.3, graph.Event{Task: "rook/" + step, Status: graph.StatusDeferred, Cause: "rook/probe", Reason: "rook/probe is deferred"}, nil)
	}
	s.at(10.4, graph.Event{Kind: graph.PlanReady, Plan: plan([]string{"malphas", "stolas", "raum", "rook"}, func(p *graph.Planned) {
		host, step, _ := strings.Cut(p.Task, "/")
		switch {
		case host == "stolas" && step == "eval":
			p.Decision, p.Reason = graph.DecideCached, "same key"
		case host == "stolas" && step == "activate":
			p.Decision, p.Reason = graph.DecideSatisfied, "it runs 1.1 already"
		case host == "stolas" && step != "probe":
			p.Decision, p.Reason = graph.DecideUnneeded, "nothing asks for it"
		case host == "rook":
			p.Decision, p.Reason, p.Cause = graph.DecideDeferred, "rook/probe is deferred", "rook/probe"
			if step == "probe" {
				p.Reason, p.Cause = "no answer from 10.0.0.3 port 22 in 5 s (timed out): it will be updated when it is seen again", ""
			}
		}
	})})
	s.end(10.4, graph.Event{Task: "stolas/activate", Status: graph.StatusSatisfied, Reason: "it runs 1.1 already"}, nil)
	for _, step := range []string{"build", "copy", "health"} {
		s.end(10.4, graph.Event{Task: "stolas/" + step, Status: graph.StatusUnneeded}, nil)
	}
	s.task("malphas/build", 3.5, 15.6, graph.StatusRan, nil, "building '/nix/store/9z8y-web.drv'...", "\x1b[32mdone\x1b[0m")
	s.task("raum/build", 4.2, 11.0, graph.StatusRan, nil)
	s.task("raum/copy", 11.1, 12.0, graph.StatusRan, nil)
	s.task("malphas/copy", 15.7, 17.0, graph.StatusRan, nil)
	s.at(12.1, graph.Event{Kind: graph.TaskStarted, Task: "raum/activate", TaskKind: graph.KindEffect})
	tail := []string{"stopping the following units: web.service", "activating the configuration...", "starting the following units: web.service",
		"\x1b[31mJob for web.service failed\x1b[0m because the control process exited with error code <1> & left.",
		"warning: the following units failed: web.service"}
	for _, line := range tail {
		s.at(13, graph.Event{Kind: graph.TaskLog, Task: "raum/activate", Text: line})
	}
	s.end(19.3, graph.Event{Task: "raum/activate", Status: graph.StatusFailed, Seconds: 7.2, Tail: tail,
		Error: "raum: switch-to-configuration ended with code 4: web.service failed. The host was rolled back to 1.0.\nRead the unit's log with: ssh root@raum journalctl -u web.service"}, nil)
	s.end(19.3, graph.Event{Task: "raum/health", Status: graph.StatusBlocked, Cause: "raum/activate", Reason: "raum/activate failed"}, nil)
	s.task("malphas/activate", 17.1, 20.4, graph.StatusRan, object{
		"from": system("malphas", "1a2b", "1.0"), "to": system("malphas", "9z8y", "1.1"), "from_label": "1.0", "to_label": "1.1",
		"changed": []string{"restarted web.service", "reloaded dbus.service", "started backup.timer"}, "generation": 3,
	}, "starting web.service")
	s.task("malphas/health", 20.5, 20.7, graph.StatusRead, object{"checks": []object{{"what": "http :8080/health", "ok": true, "detail": "200 ok"}}})
	return s
}

// every is a run in which each outcome has a host, and a task of the fleet.
func every() *story {
	s := four()
	end := func(name string, status graph.Status, e graph.Event) {
		e.Task, e.Status = name, status
		s.end(21, e, nil)
	}
	s.task("fleet/lock", 0, 0.1, graph.StatusRan, nil)
	s.task("blank-with-a-very-long-name-indeed/probe", 1, 1.5, graph.StatusRead, object{"current": ""})
	s.task("blank-with-a-very-long-name-indeed/eval", 1, 4, graph.StatusRan, eval("blank-with-a-very-long-name-indeed", "aaaa", "1.1"))
	s.task("blank-with-a-very-long-name-indeed/activate", 5, 65.25, graph.StatusRan, object{
		"to": system("blank-with-a-very-long-name-indeed", "aaaa", "1.1"), "generation": 1, "reboot_needed": true})
	s.task("samelabel/probe", 1, 1.5, graph.StatusRead, probe("samelabel", "bbbb", "1.1"))
	s.task("samelabel/activate", 2, 3, graph.StatusRan, object{"from": system("samelabel", "bbbb", "1.1"), "to": system("samelabel", "cccc", "1.1"), "generation": 12})
	s.task("longlabel/activate", 2, 3, graph.StatusRan, object{
		"from": system("longlabel", "dddd", "26.05.20260101.abcdef0"), "to": system("longlabel", "eeee", "26.05.20260301.0123456")})
	end("guarded/activate", graph.StatusRefused, graph.Event{Error: "guarded: the lock is held by update:all of pid 4711 since 09:12.\nWait for it, or see it with: roost runs"})
	s.task("waits/eval", 1, 2, graph.StatusRan, nil)
	end("waits/activate", graph.StatusBlocked, graph.Event{Cause: "raum/activate", Reason: "the canary raum failed"})
	end("late/activate", graph.StatusCancelled, graph.Event{Reason: "the run was stopped"})
	for _, host := range []string{"pi1", "pi2", "pi3"} {
		s.task(host+"/probe", 0, 0.4, graph.StatusRead, probe(host, "ffff", "1.0"))
		end(host+"/eval", graph.StatusFailed, graph.Event{Seconds: 2, Error: "evaluation of " + host + " failed: modules/common/ssh.nix:12: undefined variable 'prot'"})
		end(host+"/build", graph.StatusBlocked, graph.Event{Cause: host + "/eval"})
	}
	return s
}

// dry is a dry run: one host to change, one new, one unknown, one that stays,
// one that cannot be reached.
func dry() *story {
	s := newStory(true, 30)
	s.task("malphas/probe", 0.1, 0.6, graph.StatusRead, probe("malphas", "1a2b", "1.0"))
	s.task("malphas/eval", 0.2, 3.4, graph.StatusRan, eval("malphas", "9z8y", "1.1"))
	s.task("stolas/probe", 0.1, 0.7, graph.StatusRead, probe("stolas", "3c4d", "1.1"))
	s.end(0.3, graph.Event{Task: "stolas/eval", Status: graph.StatusCached}, eval("stolas", "3c4d", "1.1"))
	s.task("blank/probe", 0.1, 0.7, graph.StatusRead, object{"current": ""})
	s.end(0.3, graph.Event{Task: "blank/eval", Status: graph.StatusCached}, eval("blank", "7777", "1.1"))
	s.at(4, graph.Event{Kind: graph.PlanReady, Plan: plan([]string{"malphas", "stolas", "blank", "later", "rook"}, func(p *graph.Planned) {
		host, step, _ := strings.Cut(p.Task, "/")
		switch {
		case host == "stolas" && step == "activate":
			p.Decision, p.Reason = graph.DecideSatisfied, "it runs 1.1 already"
		case host == "stolas" && step != "probe":
			p.Decision, p.Reason = graph.DecideUnneeded, ""
		case host == "blank" && step == "eval":
			p.Decision, p.Reason = graph.DecideCached, "same key"
		case host == "later" && step != "probe" && step != "health":
			p.Decision, p.Reason, p.Cause = graph.DecideUnknown, "its lock file is not known until fleet/lock ran", "fleet/lock"
		case host == "rook":
			p.Decision, p.Reason, p.Cause = graph.DecideDeferred, "rook/probe is deferred", "rook/probe"
		}
	})})
	for _, host := range []string{"malphas", "blank", "later"} {
		for _, step := range []string{"build", "copy", "activate", "health"} {
			s.end(4, graph.Event{Task: host + "/" + step, Status: graph.StatusPlanned}, nil)
		}
	}
	s.end(4, graph.Event{Task: "later/eval", Status: graph.StatusPlanned}, nil)
	s.end(4, graph.Event{Task: "rook/probe", Status: graph.StatusDeferred, Reason: "no answer from 10.0.0.3"}, nil)
	s.end(4, graph.Event{Task: "rook/eval", Status: graph.StatusDeferred, Cause: "rook/probe"}, nil)
	return s
}

// many is a run over n hosts: most updated, every ninth unchanged, one failed.
func many(n int) *story {
	s := newStory(false, 6*n)
	var hosts []string
	for i := range n {
		hosts = append(hosts, fmt.Sprintf("host%03d", i))
	}
	s.at(1, graph.Event{Kind: graph.PlanReady, Plan: plan(hosts, nil)})
	for i, h := range hosts {
		at := 1 + float64(i%8)*2 + float64(i/8)*0.7
		s.task(h+"/probe", 0.1, 0.4+float64(i%5)/10, graph.StatusRead, probe(h, "1a2b", "1.0"))
		if i%9 == 4 {
			s.end(1, graph.Event{Task: h + "/eval", Status: graph.StatusCached}, eval(h, "1a2b", "1.0"))
			s.end(1, graph.Event{Task: h + "/activate", Status: graph.StatusSatisfied, Reason: "it runs 1.0 already"}, nil)
			for _, step := range []string{"build", "copy", "health"} {
				s.end(1, graph.Event{Task: h + "/" + step, Status: graph.StatusUnneeded}, nil)
			}
			continue
		}
		s.task(h+"/eval", at, at+2.5, graph.StatusRan, eval(h, "9z8y", "1.1"))
		s.task(h+"/build", at+2.6, at+5+float64(i*7%11), graph.StatusRan, nil)
		at += 5 + float64(i*7%11)
		s.task(h+"/copy", at, at+1.1, graph.StatusRan, nil)
		if i == 17 {
			s.end(at+3, graph.Event{Task: h + "/activate", Status: graph.StatusFailed, Seconds: 1.5, Error: "the host did not come back", Tail: []string{"Connection closed"}}, nil)
			s.end(at+3, graph.Event{Task: h + "/health", Status: graph.StatusBlocked, Cause: h + "/activate"}, nil)
			continue
		}
		s.task(h+"/activate", at+1.2, at+3, graph.StatusRan, object{"from": system(h, "1a2b", "1.0"), "to": system(h, "9z8y", "1.1"), "changed": []string{"restarted web.service"}})
		s.task(h+"/health", at+3, at+3.2, graph.StatusRead, nil)
	}
	return s
}

// TestRecords keeps the stories as records of runs: Load reads them, and the
// tests of package show replay them.
func TestRecords(t *testing.T) {
	for name, s := range map[string]*story{"four.jsonl": four(), "every.jsonl": every(), "dry.jsonl": dry()} {
		var lines strings.Builder
		for _, e := range s.done(22) {
			text, err := json.Marshal(e)
			if err != nil {
				t.Fatal(err)
			}
			lines.Write(append(text, '\n'))
		}
		golden(t, name, lines.String())
	}
}
