package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// monitors is the memory, in KiB, of all monitors of our oci-run that live
// now. Pages that they share, those of the binary above all, are counted once.
func monitors(r *run) (int64, error) {
	processes, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return 0, err
	}
	var sum, count int64
	for _, p := range processes {
		exe, err := os.Readlink(filepath.Join(p, "exe"))
		if err != nil || exe != r.bin("oci-run") {
			continue
		}
		pss, err := proportional(filepath.Join(p, "smaps_rollup"))
		if err != nil {
			return 0, err
		}
		sum += pss
		count++
	}
	if count < r.n {
		return 0, fmt.Errorf("%d containers have %d monitors", r.n, count)
	}
	return sum, nil
}

// proportional reads the Pss of a process.
func proportional(path string) (int64, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	for line := range bytes.Lines(data) {
		if fields := bytes.Fields(line); len(fields) == 3 && string(fields[0]) == "Pss:" {
			return strconv.ParseInt(string(fields[1]), 10, 64)
		}
	}
	return 0, fmt.Errorf("%s has no Pss", path)
}
