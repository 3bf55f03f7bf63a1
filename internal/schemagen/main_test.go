package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSchemasAreUpToDate(t *testing.T) {
	for _, f := range files {
		t.Run(f.title, func(t *testing.T) {
			t.Chdir(filepath.Join("..", "..", filepath.FromSlash(f.pkg[len("roost/"):])))
			want, err := f.generate()
			if err != nil {
				t.Fatal(err)
			}
			got, err := os.ReadFile(f.schema)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Errorf("%s is old, run: go generate ./hosts ./tasks/own\n(-types +file)\n%s", f.schema, diff)
			}
		})
	}
}
