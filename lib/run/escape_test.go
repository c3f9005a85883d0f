package run

import (
	"encoding/json"
	"testing"
	"time"
)

func TestLogEntriesAreThoseOfTheLibrary(t *testing.T) {
	var all []byte
	for c := range 256 {
		all = append(all, byte(c))
	}
	when := time.Date(2026, 11, 23, 1, 2, 3, 450, time.UTC)
	w := &logWriter{plan: LogPlan{Format: LogJSON}, now: func() time.Time { return when }}
	for _, text := range []string{"", "plain", string(all), "é\u2028\u2029\u2027😀", "\xe2\x80", "<a href=\"x\">&amp;</a>", "\ufffd", "\\"} {
		for _, partial := range []bool{false, true} {
			full := text
			if !partial {
				full += "\n"
			}
			want, err := json.Marshal(struct {
				Log    string    `json:"log"`
				Stream string    `json:"stream"`
				Time   time.Time `json:"time"`
			}{full, "stderr", when})
			if err != nil {
				t.Fatal(err)
			}
			if got := string(w.format("stderr", []byte(text), partial)); got != string(want)+"\n" {
				t.Errorf("%q is written as %s, want %s", text, got, want)
			}
		}
	}
}

func TestALogLineMakesNoGarbage(t *testing.T) {
	for _, form := range []string{LogJSON, LogCRI} {
		w := &logWriter{plan: LogPlan{Format: form}, now: time.Now}
		line := []byte("some line of output <with> \"quotes\"")
		w.format("stdout", line, false)
		if n := testing.AllocsPerRun(100, func() { w.format("stdout", line, false) }); n != 0 {
			t.Errorf("%s: %v allocations for a line", form, n)
		}
	}
}
