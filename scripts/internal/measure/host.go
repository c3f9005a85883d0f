package measure

import (
	"fmt"
	"os"
	"runtime"
	"strings"
)

// Cores names the number and the kind of the processors.
func Cores() string {
	return fmt.Sprintf("%d, %s", runtime.NumCPU(), firstOf("/proc/cpuinfo", "model name"))
}

// Load is the content of /proc/loadavg.
func Load() string { return strings.TrimSpace(read("/proc/loadavg")) }

// Memory is that of the machine.
func Memory() string { return firstOf("/proc/meminfo", "MemTotal") }

// Kernel is the release of the kernel.
func Kernel() string { return strings.TrimSpace(read("/proc/sys/kernel/osrelease")) }

func read(path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return string(data)
}

func firstOf(path, key string) string {
	for line := range strings.Lines(read(path)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == key {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}

// EscapeXML makes s fit for the text of an SVG.
func EscapeXML(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(s)
}
