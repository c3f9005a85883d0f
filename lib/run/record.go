package run

import (
	"time"
)

// RecordVersion is the version of container.json.
const RecordVersion = 1

// Record is what is known of one container: the file container.json of its
// directory in the Store.
type Record struct {
	SchemaVersion int    `json:"schemaVersion"`
	ID            string `json:"id"`
	// Bundle is the absolute path of the bundle; empty for a config that was
	// given without one.
	Bundle string `json:"bundle,omitempty"`
	// Image is the reference that the bundle records.
	Image   string  `json:"image,omitempty"`
	Runtime Runtime `json:"runtime"`
	// Process is the first process of the container; its Pid is 0 until the
	// runtime has created it.
	Process process `json:"process"`
	// Initial is what /proc/PID/exe shows of it before the program is executed.
	Initial  string    `json:"initial,omitempty"`
	Created  time.Time `json:"created"`
	Started  bool      `json:"started"`
	Detached bool      `json:"detached"`
	Terminal bool      `json:"terminal"`
	// Remove: the end of the container undoes its bundle.
	Remove bool `json:"remove"`
	// StopSignal is the signal that asks the program to end.
	StopSignal int `json:"stopSignal,omitempty"`
	// Log is where the output goes: a file, "none" or "journald"; empty in the
	// foreground.
	Log string `json:"log,omitempty"`
	// LogFormat is raw, json or cri.
	LogFormat string `json:"logFormat,omitempty"`
	// LogFiles is how many files a log has that is rotated.
	LogFiles int    `json:"logFiles,omitempty"`
	PidFile  string `json:"pidFile,omitempty"`
	// Cgroups are the absolute paths of the container's directories in the
	// cgroup hierarchies, as far as known.
	Cgroups []string `json:"cgroups,omitempty"`
	// SharedPIDs: the container has no pid namespace of its own, so that its
	// processes do not die with the first one.
	SharedPIDs bool `json:"sharedPIDs,omitempty"`
	// Plain: see Config.Plain.
	Plain bool   `json:"plain,omitempty"`
	Tool  string `json:"tool,omitempty"`
}

// The states of a container.
const (
	// StateCreating: the runtime is at work, or was when its caller died.
	StateCreating = "creating"
	// StateRunning: the first process lives.
	StateRunning = "running"
	// StateExited: the end was seen; the outcome is known.
	StateExited = "exited"
	// StateUnknown: the container is gone, or was never made, and its monitor
	// died before it could tell.
	StateUnknown = "unknown"
)
