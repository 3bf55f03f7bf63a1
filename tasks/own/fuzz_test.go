package own

import (
	"reflect"
	"testing"

	"roost/hosts"
)

// FuzzRead reads any text: it ends with tasks or with problems that have a place,
// and with the same the second time.
func FuzzRead(f *testing.F) {
	for _, c := range rules {
		f.Add(c.text)
	}
	fleet := newFleet(f, tree)
	f.Fuzz(func(t *testing.T, text string) {
		tasks, err := read(fleet, []byte(text))
		if _, again := read(fleet, []byte(text)); !reflect.DeepEqual(err, again) {
			t.Fatalf("read twice: %v, then %v", err, again)
		}
		if invalid, ok := err.(*hosts.InvalidError); ok {
			for _, p := range invalid.Problems {
				if p.Line < 1 || p.Column < 1 || p.Message == "" {
					t.Errorf("a problem without a place: %v", p)
				}
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, in := range tasks.all() {
			if len(in.Run) == 0 || in.Run[0] == "" || in.isEffect() == (len(in.Inputs)+len(in.Outputs) > 0) {
				t.Errorf("this is no task: %+v", in)
			}
		}
		if len(tasks.Names()) == 0 {
			return
		}
		if chosen, err := tasks.Choose(nil, fleet.Hosts); err != nil || len(chosen.Goals()) != len(tasks.all()) {
			t.Errorf("all of it cannot be chosen: %v", err)
		}
	})
}
