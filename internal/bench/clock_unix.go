//go:build unix

package bench

import (
	"syscall"
	"time"
)

// clock gives the processor time that the process has used: on one core that is
// the time that passes, less what other processes take.
func clock() time.Duration {
	var r syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &r) != nil {
		return time.Duration(time.Now().UnixNano())
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
