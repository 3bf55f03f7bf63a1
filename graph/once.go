package graph

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
)

// OnceOnly is the code of an effect that must not be repeated: to send a mail,
// to flash a board, to pay.
//
// The deed is known by its key, which is made as that of a pure task: of the
// task's name and version, declared values and files, and the values it uses.
// It is done once for a key, whatever the cache says; another key is another
// deed. So what must not make it a new deed must not be declared, and an
// observation that differs each time makes a new deed each time.
type OnceOnly[T any] struct {
	// Run does the deed. It is called only after the intent is on disk. An error
	// that is not marked (NotDone, Refuse) does not say whether it happened.
	// T must be a JSON value: it is kept in the journal, so it must be no secret.
	Run func(context.Context) (T, error)
	// Look asks reality whether the deed of these inputs has happened, where the
	// journal cannot say: after a crash, or an error of Run. It changes nothing,
	// and must be sure that a Run that was cut off is not still at work
	// elsewhere. An error means that it cannot tell. nil: only a person can.
	Look func(context.Context) (State[T], error)
}

// Once declares an effect that is done once for its key, and never again.
// Options.Intents must be set: it is the journal that remembers. An end that is
// not known (killed, or an error that does not say) is settled by Look, or the
// task is refused until a person has settled it; see Intents.
func Once[T any](g *Graph, name string, declare func(*Task) OnceOnly[T]) Ref[T] {
	g.once = cmp.Or(g.once, name)
	return Ref[T]{g.declare(name, KindEffect, func(t *Task) code {
		c := declare(t)
		if t.row().interruptible {
			g.problems = append(g.problems, fmt.Errorf("task %s is once-only, so it cannot be Interruptible", name))
		}
		d := onceWork{run: erase(c.Run), decode: decode[T]}
		if c.Look != nil {
			d.look = eraseCheck(c.Look)
		}
		return code{decode: d.decode, check: d.check, apply: d.apply, prove: d.prove}
	})}
}

// NotDoneError says that a once-only deed has not happened, although it began.
type NotDoneError struct{ Err error }

func (e *NotDoneError) Error() string { return e.Err.Error() }
func (e *NotDoneError) Unwrap() error { return e.Err }

// NotDone wraps an error of OnceOnly.Run as a NotDoneError: nothing happened, so
// the deed may be tried again.
func NotDone(err error) error { return &NotDoneError{err} }

// UnknownError says that a once-only deed began, and that nobody knows whether
// it happened. It does not unwrap: that its cause was transient, or could not be
// reached, must not let it be tried again.
type UnknownError struct {
	Task string
	Err  error
}

func (e *UnknownError) Error() string {
	return fmt.Sprintf("it is not known whether it happened: %v\n%s", e.Err, howToSettle(e.Task))
}

func howToSettle(task string) string {
	return "  Find out, and say so: roost intents:settle " + task + " --done (it happened) or --again (it did not)"
}

// onceWork is OnceOnly as the check, apply and prove of an effect.
type onceWork struct {
	run    func(context.Context, int) (any, error)
	look   func(context.Context) (checked, error) // may be nil
	decode func([]byte) (any, error)
}

// deed is a once-only task in a worker's hands.
type deed struct {
	*working
	task    string
	record  record
	key     string
	journal *Intents
}

func deedOf(ctx context.Context) (deed, error) {
	w := ctx.Value(workingKey{}).(*working)
	files, err := w.run.lookRead(w.id)
	if err != nil {
		return deed{}, fmt.Errorf("work out the key: %w", err)
	}
	rec := parseRecord(w.run.recordText(w.id, files))
	return deed{w, w.run.name(w.id), rec, rec.key().String(), w.run.o.Intents}, nil
}

// known is what the journal says of it; nil if it never began.
func (d deed) known() *Deed { return d.journal.deed(d.task, d.key) }

// ends writes down how it ended.
func (d deed) ends(how ending) error {
	return d.journal.end(d.task, d.key, d.run.o.Info.ID, d.run.o.Now(), how)
}

// check decides by the journal; where the journal cannot say, by Look.
func (o onceWork) check(ctx context.Context) (checked, error) {
	d, err := deedOf(ctx)
	if err != nil {
		return checked{}, err
	}
	was := d.known()
	switch {
	case was == nil:
		return checked{record: d.record, reason: d.journal.newDeed(d.task, d.record)}, nil
	case was.State == DeedUnknown:
		return o.lookUp(ctx, d, was)
	case was.State == DeedUndone:
		return checked{record: d.record, reason: was.words()}, nil
	}
	value, err := o.valueOf(was)
	return checked{record: d.record, done: true, value: value, reason: was.words()}, err
}

// lookUp asks reality for a deed that began, and writes down what it says; but
// in a dry run.
func (o onceWork) lookUp(ctx context.Context, d deed, was *Deed) (checked, error) {
	cannot := ""
	if o.look != nil {
		seen, err := o.look(ctx)
		if _, away := errors.AsType[*DeferredError](err); away || ctx.Err() != nil {
			return checked{}, err
		}
		if err == nil {
			return d.settle(was, seen)
		}
		cannot = fmt.Sprintf("; a look cannot tell: %v", err)
	}
	return checked{}, Refuse(fmt.Errorf("it is not known whether it happened: %s%s\n%s", was.words(), cannot, howToSettle(d.task)))
}

// settle takes what Look saw for how a deed ended.
func (d deed) settle(was *Deed, seen checked) (checked, error) {
	c := checked{record: d.record, done: seen.done, value: seen.value}
	how := ending{state: DeedUndone, by: ByLook, why: firstLine(seen.reason)}
	if seen.done {
		raw, err := encodeValue(seen.value)
		if err != nil {
			return checked{}, err
		}
		how.state, how.value = DeedDone, raw
	}
	c.reason = was.endedAs(how)
	if d.run.o.Dry {
		return c, nil
	}
	return c, d.ends(how)
}

// apply does the deed: the intent on disk before, the result after.
func (o onceWork) apply(ctx context.Context) error {
	d, err := deedOf(ctx)
	if err != nil {
		return err
	}
	if decided := parseRecord(d.decided); decided.key().String() != d.key {
		return fmt.Errorf("%s since it was planned; nothing was done; run again", d.record.difference(decided))
	}
	if err := d.journal.begin(d.task, d.record, d.run.o.Info.ID, d.run.o.Now()); err != nil {
		return err
	}
	value, err := o.run(ctx, 0)
	if err != nil {
		return o.failed(ctx, d, err)
	}
	raw, badValue := encodeValue(value)
	if err := d.ends(ending{state: DeedDone, by: ByRun, value: raw}); err != nil {
		return &UnknownError{d.task, fmt.Errorf("it did, but that could not be written down: %w", err)}
	}
	return badValue
}

// failed finds out what an error of Run means: nothing happened, or nobody
// knows. Only the first lets the engine try again.
func (o onceWork) failed(ctx context.Context, d deed, err error) error {
	_, notDone := errors.AsType[*NotDoneError](err)
	_, refused := errors.AsType[*RefusedError](err)
	if notDone || refused {
		end := d.ends(ending{state: DeedUndone, by: ByRun, why: firstLine(err.Error())})
		if end != nil {
			return &UnknownError{d.task, fmt.Errorf("it did not, but that could not be written down: %w (%v)", end, err)}
		}
		return err
	}
	if o.look == nil || ctx.Err() != nil {
		return &UnknownError{d.task, err}
	}
	seen, cannot := o.look(ctx)
	if cannot != nil {
		return &UnknownError{d.task, fmt.Errorf("%w; a look cannot tell: %v", err, firstLine(cannot.Error()))}
	}
	if _, end := d.settle(d.known(), seen); end != nil {
		return &UnknownError{d.task, fmt.Errorf("%w; and what a look saw could not be written down: %w", err, end)}
	}
	if seen.done {
		fmt.Fprintf(&d.log, "it has happened, although it said: %v\n", err)
		return nil
	}
	return err
}

// prove reads the journal: what apply wrote there counts.
func (o onceWork) prove(ctx context.Context) (checked, error) {
	d, err := deedOf(ctx)
	if err != nil {
		return checked{}, err
	}
	was := d.known()
	if was == nil || was.State != DeedDone {
		return checked{reason: "the journal of intents does not say that it is done"}, nil
	}
	value, err := o.valueOf(was)
	return checked{done: true, value: value}, err
}

// valueOf reads a deed's result. One that was settled by hand without a result
// has the zero value.
func (o onceWork) valueOf(was *Deed) (any, error) {
	raw := was.Value
	if len(raw) == 0 {
		raw = json.RawMessage("null")
	}
	value, err := o.decode(raw)
	if err != nil {
		return nil, fmt.Errorf("%s, but its recorded result does not fit this task: %w\n  Give one that does: roost intents:settle %s --done --result JSON",
			was.words(), err, was.Task)
	}
	return value, nil
}
