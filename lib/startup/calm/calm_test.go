package calm_test

import (
	"os"
	"strconv"
	"strings"
	"testing"

	_ "github.com/oci-plumbing/oci-plumbing/lib/startup/calm"
)

// TestSlack looks at the threads of the test itself. Its first thread keeps
// what it had: that is the one that others inherit.
func TestSlack(t *testing.T) {
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	patient := 0
	for _, thread := range threads {
		data, err := os.ReadFile("/proc/" + thread.Name() + "/timerslack_ns")
		if err != nil {
			t.Skip(err)
		}
		slack := strings.TrimSpace(string(data))
		if slack == "1000000" {
			patient++
			if thread.Name() == strconv.Itoa(os.Getpid()) {
				t.Error("the first thread got the slack, too")
			}
		}
	}
	if err := os.WriteFile("/proc/"+threads[len(threads)-1].Name()+"/timerslack_ns", []byte("1000000"), 0); err != nil {
		t.Skipf("this user cannot set the slack of a thread: %v", err)
	}
	if patient == 0 {
		t.Error("no thread has the slack")
	}
}
