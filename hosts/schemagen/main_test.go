package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"roost/hosts"
)

func TestSchemaIsUpToDate(t *testing.T) {
	t.Chdir("..")
	want, err := generate()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(hosts.Schema())); diff != "" {
		t.Errorf("%s is old, run: cd hosts && go generate\n(-types +file)\n%s", output, diff)
	}
}
