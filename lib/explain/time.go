package explain

import (
	"fmt"
	"strconv"
	"time"
)

// Time is a time as touch(1) and date(1) take it after an @.
func Time(t time.Time) string {
	sec, ns, sign := t.Unix(), t.Nanosecond(), ""
	if sec < 0 && ns > 0 { // -2 s and 0.7 s of time(2) are -1.3 s
		sec, ns, sign = -sec-1, 1e9-ns, "-"
	}
	if ns == 0 {
		return strconv.FormatInt(sec, 10)
	}
	return fmt.Sprintf("%s%d.%09d", sign, sec, ns)
}
