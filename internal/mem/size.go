package mem

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// Default gives the limit for this process where none was asked for: three quarters of what the
// control group or the machine has. 0 if that cannot be found out.
func Default() int64 {
	total := machine()
	if c := cgroup(os.ReadFile); c > 0 && (total == 0 || c < total) {
		total = c
	}
	return total / 4 * 3
}

// machine gives the memory of the machine.
func machine() int64 {
	b, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0
	}
	for line := range bytes.Lines(b) {
		f := strings.Fields(string(line))
		if len(f) >= 2 && f[0] == "MemTotal:" {
			kb, err := strconv.ParseInt(f[1], 10, 64)
			if err != nil {
				return 0
			}
			return kb << 10
		}
	}
	return 0
}

// cgroup gives the memory limit of the control group that the process is in, 0 if it has none. Limits of the groups above count as well.
func cgroup(read func(string) ([]byte, error)) (limit int64) {
	groups, err := read("/proc/self/cgroup")
	if err != nil {
		return 0
	}
	least := func(file string) {
		b, err := read(file)
		if err != nil {
			return
		}
		n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
		if err == nil && n > 0 && n < 1<<60 && (limit == 0 || n < limit) { // without a limit: "max", or a number near 2^63
			limit = n
		}
	}
	for line := range bytes.Lines(groups) {
		f := strings.SplitN(strings.TrimSpace(string(line)), ":", 3)
		if len(f) != 3 {
			continue
		}
		root, file := "/sys/fs/cgroup", "memory.max"
		if f[1] != "" {
			if f[1] != "memory" {
				continue
			}
			root, file = "/sys/fs/cgroup/memory", "memory.limit_in_bytes"
		}
		for path := f[2]; ; path = path[:strings.LastIndexByte(path, '/')] {
			least(root + strings.TrimSuffix(path, "/") + "/" + file)
			if strings.Trim(path, "/") == "" {
				break
			}
		}
	}
	return limit
}

var units = []struct {
	name  string
	bytes int64
}{{"TB", 1 << 40}, {"GB", 1 << 30}, {"MB", 1 << 20}, {"KB", 1 << 10}, {"B", 1}}

// ParseSize reads an amount of memory: a number with a unit (B, kB, MB, GB, TB, of 1024 each, as PostgreSQL has them),
// without one bytes.
func ParseSize(s string) (int64, error) {
	t := strings.ToUpper(strings.TrimSpace(s))
	t = strings.Replace(t, "IB", "B", 1)
	unit := int64(1)
	for _, u := range units {
		if n, ok := strings.CutSuffix(t, u.name); ok {
			t, unit = strings.TrimSpace(n), u.bytes
			break
		}
	}
	n, err := strconv.ParseFloat(t, 64)
	if err != nil || !(n >= 0) || n*float64(unit) >= 1<<62 {
		return 0, fmt.Errorf("%q is not an amount of memory such as 512MB or 2GB", s)
	}
	return int64(n * float64(unit)), nil
}

// Format writes an amount of memory with a unit.
func Format(n int64) string {
	for _, u := range units {
		if n >= u.bytes && u.bytes > 1 {
			if n%u.bytes == 0 || n >= 100*u.bytes {
				return fmt.Sprintf("%d %s", n/u.bytes, strings.Replace(u.name, "KB", "kB", 1))
			}
			return fmt.Sprintf("%.1f %s", float64(n)/float64(u.bytes), strings.Replace(u.name, "KB", "kB", 1))
		}
	}
	return fmt.Sprintf("%d bytes", n)
}
