package system

import "testing"

func TestAvailable(t *testing.T) {
	for text, want := range map[string]int{
		"MemTotal:       24684096 kB\nMemFree:  1 kB\nMemAvailable:   20971520 kB\n": 20480,
		"MemTotal: 1 kB\n":          0, // a kernel before 3.14
		"MemAvailable: plenty kB\n": 0,
		"":                          0,
	} {
		if got := available(text); got != want {
			t.Errorf("available(%q) = %d, want %d", text, got, want)
		}
	}
}
