package fn

import (
	"strings"

	"streamsql/internal/mem"
	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/internal/vec"
)

// maxValue is how long a value may be, in bytes: PostgreSQL's limit.
const maxValue = 1<<30 - 1

// errTooLong refuses a value whose length is known before it is made.
var errTooLong = pgerr.New(pgerr.ProgramLimitExceeded, "requested length too large")

// errEnlarge refuses a value that has become too long.
var errEnlarge = pgerr.New(pgerr.ProgramLimitExceeded, "out of memory").WithDetail("A value cannot be longer than %d bytes.", maxValue)

// Need asks for n bytes that are to be allocated at once. Where there is no room it panics with a *mem.Refusal (53200), which whoever runs the
// query recovers.
func (c *Ctx) Need(n int) {
	if n >= mem.LargeBlock && c != nil {
		c.Memory.Need(int64(n))
	}
}

// enlarge makes room for n bytes more in a value that is being made.
func (c *Ctx) enlarge(b *strings.Builder, n int) error {
	need := b.Len() + n
	if need <= b.Cap() {
		return nil
	}
	if need > maxValue {
		return errEnlarge
	}
	c.Need(2 * need)
	return nil
}

// needFor asks for the room that a function with large arguments takes beside them: its result, which is seldom larger, and values of structured
// types taken apart.
func (f *Func) needFor(c *Ctx, args []*vec.Vec) {
	total := 0
	for _, a := range args {
		if len(a.Off) > 0 && a.N > 0 {
			total += int(a.Off[a.N] - a.Off[0])
		}
	}
	if total < mem.LargeBlock/8 {
		return
	}
	times := 0
	if variable(f.Ret.Kind()) {
		times = 2
	}
	for _, t := range f.Args {
		times = max(times, apart(t))
	}
	c.Need(times * total)
}

// NeedSet asks for the room that a set-returning function takes beside large arguments.
func (f *Func) NeedSet(c *Ctx, args []types.Datum) {
	for i, a := range args {
		if s, ok := a.(string); ok && len(s) >= mem.LargeBlock/8 && i < len(f.Args) {
			c.Need(max(2, apart(f.Args[i])) * len(s))
		}
	}
}

// apart tells how many times the memory of a value of type t it takes to have its parts at hand.
func apart(t types.T) int {
	switch {
	case t.IsArray() || t.Is(types.Anyarray):
		return 6
	case t.OID == types.OIDJSON || t.OID == types.OIDJSONB:
		return 8
	}
	return 0
}
