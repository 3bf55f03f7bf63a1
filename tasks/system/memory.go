package system

import (
	"os"
	"strconv"
	"strings"
)

// keptFree is the memory that evaluations leave to everything else, in MiB.
const keptFree = 1024

// freeMemory is what programs could get without swapping, in MiB; 0 where the
// kernel does not say (it is Linux that does).
func freeMemory() int {
	data, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0
	}
	return available(string(data))
}

func available(meminfo string) int {
	for line := range strings.Lines(meminfo) {
		if text, ok := strings.CutPrefix(line, "MemAvailable:"); ok {
			kib, err := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(text), " kB"))
			if err != nil {
				return 0
			}
			return kib >> 10
		}
	}
	return 0
}
