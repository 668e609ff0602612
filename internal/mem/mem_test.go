package mem

import (
	"errors"
	"io/fs"
	"testing"

	"streamsql/internal/pgerr"
)

func TestSizes(t *testing.T) {
	for s, want := range map[string]int64{"512MB": 512 << 20, "2gb": 2 << 30, "1.5 GB": 3 << 29, "64kB": 64 << 10, "8GiB": 8 << 30, "1000": 1000} {
		if n, err := ParseSize(s); err != nil || n != want {
			t.Errorf("%s is %d (%v), not %d", s, n, err, want)
		}
	}
	for _, s := range []string{"", "MB", "-1MB", "12 apples", "1e30GB", "NaN"} {
		if n, err := ParseSize(s); err == nil {
			t.Errorf("%q is %d", s, n)
		}
	}
	for n, want := range map[int64]string{512 << 20: "512 MB", 3 << 29: "1.5 GB", 10: "10 bytes", 64 << 10: "64 kB"} {
		if s := Format(n); s != want {
			t.Errorf("%d is %s, not %s", n, s, want)
		}
	}
}

func TestCgroup(t *testing.T) {
	files := map[string]string{}
	read := func(name string) ([]byte, error) {
		if s, ok := files[name]; ok {
			return []byte(s), nil
		}
		return nil, fs.ErrNotExist
	}
	if n := cgroup(read); n != 0 {
		t.Errorf("without groups: %d", n)
	}
	files["/proc/self/cgroup"] = "0::/system.slice/x.service\n"
	files["/sys/fs/cgroup/system.slice/x.service/memory.max"] = "max\n"
	files["/sys/fs/cgroup/system.slice/memory.max"] = "1000000\n"
	if n := cgroup(read); n != 1000000 {
		t.Errorf("the limit above is not found: %d", n)
	}
	files["/proc/self/cgroup"] = "4:memory:/docker/1\n0::/\n"
	files["/sys/fs/cgroup/memory/docker/1/memory.limit_in_bytes"] = "5000\n"
	files["/sys/fs/cgroup/memory/memory.limit_in_bytes"] = "9223372036854771712\n"
	if n := cgroup(read); n != 5000 {
		t.Errorf("version 1: %d", n)
	}
}

func TestAccounts(t *testing.T) {
	b := NewBudget(1000)
	q, r := b.Query("q"), b.Query("r")
	big, small := q.Operator("GROUP BY"), r.Operator("JOIN")
	big.Set(290)
	small.Set(10)
	if big.Over() || b.Pressure() {
		t.Error("over the share at 300 of 1000")
	}
	small.Set(20)
	if !big.Over() || small.Over() || !b.Pressure() {
		t.Error("not the larger one is over")
	}
	big.Set(100)
	if big.Over() || q.Used() != 100 || q.Most() != 290 || b.Used() != 120 {
		t.Errorf("after a reduction: %d, %d, %d", q.Used(), q.Most(), b.Used())
	}
	big.Set(790)
	if err := small.Check(); err != nil {
		t.Errorf("the small query is refused: %v", err)
	}
	var e *pgerr.Error
	if err := big.Check(); !errors.As(err, &e) || e.Code != pgerr.OutOfMemory {
		t.Errorf("the large query is not refused: %v", err)
	}
	big.Set(900)
	if err := small.Check(); err == nil {
		t.Error("nobody is refused at the limit")
	}
	for _, a := range []*Account{big, small, q, r} {
		a.Close()
	}
	if b.Used() != 0 || b.leaves.Load() != 0 {
		t.Errorf("left: %d bytes, %d accounts", b.Used(), b.leaves.Load())
	}
	var none *Account
	none.Set(5)
	none.Operator("x").Add(3)
	if none.Over() || none.Check() != nil || none.Used() != 0 {
		t.Error("a nil account counts")
	}
}
