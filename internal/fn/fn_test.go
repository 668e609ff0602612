package fn

import (
	"testing"

	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/internal/vec"
)

// column makes a column of type t from its values' text; "\x00" stands for NULL.
func column(tb testing.TB, c *Ctx, t types.T, vals ...string) *vec.Vec {
	tb.Helper()
	v := new(vec.Vec)
	v.Reset(t.Kind(), 0)
	for _, s := range vals {
		if s == null {
			v.AppendNull()
			continue
		}
		d, err := types.ParseText(&c.Env, t, s)
		if err != nil {
			tb.Fatalf("%s %q: %v", t, s, err)
		}
		v.AppendDatum(d)
	}
	return v
}

const null = "\x00"

// text gives the rows of a column as text, NULL as "NULL", a failed row as "!" and its message.
func text(c *Ctx, t types.T, v *vec.Vec) []string {
	out := make([]string, v.N)
	for i := range out {
		if v.IsNull(i) {
			out[i] = "NULL"
			continue
		}
		if out[i] = formatDatum(c, t, v.Datum(i)); t.Is(types.Bool) {
			out[i] = textBool(v.Bools[i])
		}
	}
	for _, e := range v.Errs {
		out[e.Row] = "!" + pgerr.Code(e.Err) + " " + e.Err.Error()
	}
	return out
}

// literal is an argument of a call: its type (unknown for a bare literal) and its text.
type literal struct {
	t types.T
	s string
}

// call resolves and runs a function or operator on one row.
func call(tb testing.TB, c *Ctx, name string, isOp bool, args ...literal) (string, types.T) {
	tb.Helper()
	ts := make([]types.T, len(args))
	for i, a := range args {
		ts[i] = a.t
	}
	var r *Resolved
	var err error
	if isOp {
		r, err = ResolveOp(name, ts)
	} else {
		r, err = ResolveFunc(name, ts)
	}
	if err != nil {
		return "!" + pgerr.Code(err) + " " + err.Error(), types.T{}
	}
	in := make([]*vec.Vec, len(args))
	for i, a := range args {
		src := a.t
		if src.Is(types.Unknown) {
			src = types.Text
		}
		v := column(tb, c, src, a.s)
		if src.OID != r.Args[i].OID {
			k := FindCast(a.t, r.Args[i])
			if k == nil {
				tb.Fatalf("%s: no cast %s to %s", name, a.t, r.Args[i])
			}
			out := new(vec.Vec)
			k.Run(c, v, out, 1, r.Args[i], false)
			v = out
		}
		in[i] = v
	}
	out := new(vec.Vec)
	r.Func.Call(c, in, out, 1)
	return text(c, r.Ret, out)[0], r.Ret
}
