package fn

import (
	"bytes"

	"streamsql/internal/types"
	"streamsql/internal/vec"
)

type integer interface{ int16 | int32 | int64 }

type float interface{ float32 | float64 }

// vals gives the values of a fixed-width column.
func vals[E any](v *vec.Vec, n int) []E {
	var s any
	var e E
	switch any(e).(type) {
	case bool:
		s = v.Bools[:n]
	case int16:
		s = v.I16[:n]
	case int32:
		s = v.I32[:n]
	case int64:
		s = v.I64[:n]
	case float32:
		s = v.F32[:n]
	case float64:
		s = v.F64[:n]
	default:
		s = v.F16[:n]
	}
	return s.([]E)
}

// cmpInts gives the kernel of a comparison of integers (and of what is held as one). A
// loop an operator, so that nothing is called for a row.
func cmpInts[A, B integer](sym string) Kernel {
	loop := func(vv func(a []A, b []B, o []bool), vs func(a []A, x int64, o []bool)) Kernel {
		return func(_ *Ctx, args []*vec.Vec, out *vec.Vec, n int) {
			if n == 0 {
				return
			}
			a, b, o := vals[A](args[0], n), vals[B](args[1], n), out.Bools[:n]
			if args[1].Const {
				vs(a, int64(b[0]), o)
			} else {
				vv(a, b, o)
			}
		}
	}
	switch sym {
	case "=":
		return loop(func(a []A, b []B, o []bool) {
			for i, x := range a {
				o[i] = int64(x) == int64(b[i])
			}
		}, func(a []A, y int64, o []bool) {
			for i, x := range a {
				o[i] = int64(x) == y
			}
		})
	case "<>":
		return loop(func(a []A, b []B, o []bool) {
			for i, x := range a {
				o[i] = int64(x) != int64(b[i])
			}
		}, func(a []A, y int64, o []bool) {
			for i, x := range a {
				o[i] = int64(x) != y
			}
		})
	case "<":
		return loop(func(a []A, b []B, o []bool) {
			for i, x := range a {
				o[i] = int64(x) < int64(b[i])
			}
		}, func(a []A, y int64, o []bool) {
			for i, x := range a {
				o[i] = int64(x) < y
			}
		})
	case "<=":
		return loop(func(a []A, b []B, o []bool) {
			for i, x := range a {
				o[i] = int64(x) <= int64(b[i])
			}
		}, func(a []A, y int64, o []bool) {
			for i, x := range a {
				o[i] = int64(x) <= y
			}
		})
	case ">":
		return loop(func(a []A, b []B, o []bool) {
			for i, x := range a {
				o[i] = int64(x) > int64(b[i])
			}
		}, func(a []A, y int64, o []bool) {
			for i, x := range a {
				o[i] = int64(x) > y
			}
		})
	}
	return loop(func(a []A, b []B, o []bool) {
		for i, x := range a {
			o[i] = int64(x) >= int64(b[i])
		}
	}, func(a []A, y int64, o []bool) {
		for i, x := range a {
			o[i] = int64(x) >= y
		}
	})
}

// cmpFloats gives the kernel of a comparison of floats, in which NaN equals NaN and is greater than all else.
func cmpFloats[A, B float](sym string) Kernel {
	loop := func(f func(a []A, b []B, o []bool)) Kernel {
		return func(_ *Ctx, args []*vec.Vec, out *vec.Vec, n int) {
			f(vals[A](args[0], n), vals[B](args[1], n), out.Bools[:n])
		}
	}
	switch sym {
	case "=":
		return loop(func(a []A, b []B, o []bool) {
			for i, x := range a {
				y := b[i]
				o[i] = float64(x) == float64(y) || x != x && y != y
			}
		})
	case "<>":
		return loop(func(a []A, b []B, o []bool) {
			for i, x := range a {
				y := b[i]
				o[i] = !(float64(x) == float64(y) || x != x && y != y)
			}
		})
	case "<":
		return loop(func(a []A, b []B, o []bool) {
			for i, x := range a {
				y := b[i]
				o[i] = float64(x) < float64(y) || y != y && x == x
			}
		})
	case "<=":
		return loop(func(a []A, b []B, o []bool) {
			for i, x := range a {
				y := b[i]
				o[i] = float64(x) <= float64(y) || y != y
			}
		})
	case ">":
		return loop(func(a []A, b []B, o []bool) {
			for i, x := range a {
				y := b[i]
				o[i] = float64(x) > float64(y) || x != x && y == y
			}
		})
	}
	return loop(func(a []A, b []B, o []bool) {
		for i, x := range a {
			y := b[i]
			o[i] = float64(x) >= float64(y) || x != x
		}
	})
}

// holds applies a comparison operator to the result of a three-way comparison.
func holds(sym string) (lt, eq, gt bool) {
	switch sym {
	case "=":
		return false, true, false
	case "<>":
		return true, false, true
	case "<":
		return true, false, false
	case "<=":
		return true, true, false
	case ">":
		return false, false, true
	}
	return false, true, true
}

func pick(c int, lt, eq, gt bool) bool {
	switch {
	case c < 0:
		return lt
	case c > 0:
		return gt
	}
	return eq
}

// cmpBytes gives the kernel of a comparison of byte strings in memory order (collation C).
func cmpBytes(sym string) Kernel {
	if sym == "=" || sym == "<>" {
		want := sym == "="
		return func(_ *Ctx, args []*vec.Vec, out *vec.Vec, n int) {
			if n == 0 {
				return
			}
			a, b, o := args[0], args[1], out.Bools[:n]
			if a.Const {
				a, b = b, a
			}
			ao, ad := a.Off[:n+1], a.Data
			if b.Const {
				y := b.Str(0)
				for i := range o {
					lo, hi := ao[i], ao[i+1]
					o[i] = (int(hi-lo) == len(y) && string(ad[lo:hi]) == y) == want
				}
				return
			}
			bo, bd := b.Off[:n+1], b.Data
			for i := range o {
				o[i] = (string(ad[ao[i]:ao[i+1]]) == string(bd[bo[i]:bo[i+1]])) == want
			}
		}
	}
	lt, eq, gt := holds(sym)
	return func(_ *Ctx, args []*vec.Vec, out *vec.Vec, n int) {
		a, b, o := args[0], args[1], out.Bools[:n]
		for i := range o {
			o[i] = pick(bytes.Compare(a.Bytes(i), b.Bytes(i)), lt, eq, gt)
		}
	}
}

func cmpNumeric(sym string) Kernel {
	lt, eq, gt := holds(sym)
	return func(_ *Ctx, args []*vec.Vec, out *vec.Vec, n int) {
		if n == 0 {
			return
		}
		a, b, o := args[0], args[1], out.Bools[:n]
		for i := range o {
			o[i] = pick(cmpNumerics(a.Bytes(i), b.Bytes(i)), lt, eq, gt)
		}
	}
}

// cmpRows makes a comparison's kernel of a three-way comparison of rows. NULL lanes are
// skipped, as their bytes may not be a value.
func cmpRows(sym string, cmp func(a *vec.Vec, i int, b *vec.Vec, j int) int) Kernel {
	lt, eq, gt := holds(sym)
	return func(_ *Ctx, args []*vec.Vec, out *vec.Vec, n int) {
		a, b, o := args[0], args[1], out.Bools[:n]
		for i := range o {
			if a.IsNull(i) || b.IsNull(i) {
				continue
			}
			o[i] = pick(cmp(a, i, b, i), lt, eq, gt)
		}
	}
}

func cmpInt[I integer](a, b I) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func cmpFloat(a, b float64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	case a == b:
		return 0
	case a != a && b != b:
		return 0
	case a != a:
		return 1
	}
	return -1
}

const dayMicros = 86400000000

// spanKey gives the days and the rest in microseconds that intervals are compared by: a month is 30 days.
func spanKey(b [16]byte) (days, us int64) {
	s := types.SpanOf(b)
	days = int64(s.Months)*30 + int64(s.Days) + s.Micros/dayMicros
	us = s.Micros % dayMicros
	if us < 0 {
		us += dayMicros
		days--
	}
	return days, us
}

func cmpSpan(a, b [16]byte) int {
	if a == b {
		return 0
	}
	d1, u1 := spanKey(a)
	d2, u2 := spanKey(b)
	if d1 != d2 {
		return cmpInt(d1, d2)
	}
	return cmpInt(u1, u2)
}

// Comparer gives the three-way comparison of rows of type t, in the order of btree
// indexes: NaN last, text by bytes. Neither row may be NULL.
func Comparer(t types.T) func(a *vec.Vec, i int, b *vec.Vec, j int) int {
	switch t.Kind() {
	case types.KindBool:
		return func(a *vec.Vec, i int, b *vec.Vec, j int) int {
			x, y := a.Bools[i], b.Bools[j]
			switch {
			case x == y:
				return 0
			case y:
				return -1
			}
			return 1
		}
	case types.KindInt16:
		return func(a *vec.Vec, i int, b *vec.Vec, j int) int { return cmpInt(a.I16[i], b.I16[j]) }
	case types.KindInt32:
		return func(a *vec.Vec, i int, b *vec.Vec, j int) int { return cmpInt(a.I32[i], b.I32[j]) }
	case types.KindInt64:
		return func(a *vec.Vec, i int, b *vec.Vec, j int) int { return cmpInt(a.I64[i], b.I64[j]) }
	case types.KindFloat32:
		return func(a *vec.Vec, i int, b *vec.Vec, j int) int {
			return cmpFloat(float64(a.F32[i]), float64(b.F32[j]))
		}
	case types.KindFloat64:
		return func(a *vec.Vec, i int, b *vec.Vec, j int) int { return cmpFloat(a.F64[i], b.F64[j]) }
	}
	switch t.OID {
	case types.OIDText, types.OIDVarchar, types.OIDName, types.OIDBytea, types.OIDChar, types.OIDUnknown:
		return func(a *vec.Vec, i int, b *vec.Vec, j int) int { return bytes.Compare(a.Bytes(i), b.Bytes(j)) }
	case types.OIDBpchar:
		return func(a *vec.Vec, i int, b *vec.Vec, j int) int {
			return bytes.Compare(bytes.TrimRight(a.Bytes(i), " "), bytes.TrimRight(b.Bytes(j), " "))
		}
	case types.OIDNumeric:
		return func(a *vec.Vec, i int, b *vec.Vec, j int) int {
			return cmpNumerics(a.Bytes(i), b.Bytes(j))
		}
	case types.OIDInterval:
		return func(a *vec.Vec, i int, b *vec.Vec, j int) int { return cmpSpan(a.F16[i], b.F16[j]) }
	case types.OIDUUID:
		return func(a *vec.Vec, i int, b *vec.Vec, j int) int { return bytes.Compare(a.F16[i][:], b.F16[j][:]) }
	}
	if t.Kind() == types.KindFixed16 {
		return func(a *vec.Vec, i int, b *vec.Vec, j int) int { return types.Compare(t, a.F16[i], b.F16[j]) }
	}
	return func(a *vec.Vec, i int, b *vec.Vec, j int) int { return types.CompareBytes(t, a.Bytes(i), b.Bytes(j)) }
}

// CompareVecs compares row i of a with row j of b, both of type t and not NULL. Loops should hoist Comparer.
func CompareVecs(t types.T, a *vec.Vec, i int, b *vec.Vec, j int) int {
	return Comparer(t)(a, i, b, j)
}

// CompareOp gives the comparison operator sym for two operands of type t, ready to
// Call with columns of that type; false where PostgreSQL has none (json).
func CompareOp(sym string, t types.T) (*Func, bool) {
	r, err := ResolveOp(sym, []types.T{t.Bare(), t.Bare()})
	if err != nil {
		return nil, false
	}
	return r.Func, true
}

func compareOrNil(sym string, t types.T) *Func { f, _ := CompareOp(sym, t); return f }

// Equal gives the operator = of type t, nil where there is none.
func Equal(t types.T) *Func { return compareOrNil("=", t) }

// NotEqual gives the operator <> of type t, nil where there is none.
func NotEqual(t types.T) *Func { return compareOrNil("<>", t) }

// Less gives the operator < of type t, nil where there is none.
func Less(t types.T) *Func { return compareOrNil("<", t) }

// LessEqual gives the operator <= of type t, nil where there is none.
func LessEqual(t types.T) *Func { return compareOrNil("<=", t) }

// Greater gives the operator > of type t, nil where there is none.
func Greater(t types.T) *Func { return compareOrNil(">", t) }

// GreaterEqual gives the operator >= of type t, nil where there is none.
func GreaterEqual(t types.T) *Func { return compareOrNil(">=", t) }

// cmpZoned compares a timestamptz with a local timestamp, or with a date, in the session's zone.
func cmpZoned(sym string, aTz bool) Kernel {
	lt, eq, gt := holds(sym)
	return func(c *Ctx, args []*vec.Vec, out *vec.Vec, n int) {
		a, b := args[0], args[1]
		if !aTz {
			a, b = b, a
		}
		for i := range n {
			if a.IsNull(i) || b.IsNull(i) {
				continue
			}
			r := cmpTz(a.I64[i], b, i, c.Env.Zone)
			if !aTz {
				r = -r
			}
			out.Bools[i] = pick(r, lt, eq, gt)
		}
	}
}

func cmpTz(tz int64, b *vec.Vec, i int, z *types.Zone) int {
	if b.Kind != types.KindInt32 {
		return cmpInt(tz, types.TimestampToTz(b.I64[i], z))
	}
	d := b.I32[i]
	ts, err := types.DateToTimestamp(d)
	if err != nil {
		return -types.CompareDateTimestamp(d, tz)
	}
	return cmpInt(tz, types.TimestampToTz(ts, z))
}

func init() {
	for _, sym := range []string{"=", "<>", "<", "<=", ">", ">="} {
		same := func(t string, k Kernel, o ...option) { op(t+" "+sym+" "+t+" bool", k, o...) }
		pair := func(a, b string, k Kernel, o ...option) { op(a+" "+sym+" "+b+" bool", k, o...) }
		same("int4", cmpInts[int32, int32](sym))
		same("int8", cmpInts[int64, int64](sym))
		same("int2", cmpInts[int16, int16](sym))
		pair("int2", "int4", cmpInts[int16, int32](sym))
		pair("int2", "int8", cmpInts[int16, int64](sym))
		pair("int4", "int2", cmpInts[int32, int16](sym))
		pair("int4", "int8", cmpInts[int32, int64](sym))
		pair("int8", "int2", cmpInts[int64, int16](sym))
		pair("int8", "int4", cmpInts[int64, int32](sym))
		same("float8", cmpFloats[float64, float64](sym))
		same("float4", cmpFloats[float32, float32](sym))
		pair("float4", "float8", cmpFloats[float32, float64](sym))
		pair("float8", "float4", cmpFloats[float64, float32](sym))
		same("numeric", cmpNumeric(sym))
		same("text", cmpBytes(sym))
		same("name", cmpBytes(sym))
		pair("name", "text", cmpBytes(sym))
		pair("text", "name", cmpBytes(sym))
		same("char", cmpBytes(sym))
		same("bytea", cmpBytes(sym))
		same("date", cmpInts[int32, int32](sym))
		same("time", cmpInts[int64, int64](sym))
		same("timestamp", cmpInts[int64, int64](sym))
		same("timestamptz", cmpInts[int64, int64](sym))
		same("oid", cmpInts[int64, int64](sym))
		pair("timestamp", "timestamptz", cmpZoned(sym, false), stable)
		pair("timestamptz", "timestamp", cmpZoned(sym, true), stable)
		pair("date", "timestamptz", cmpZoned(sym, false), stable)
		pair("timestamptz", "date", cmpZoned(sym, true), stable)
		pair("date", "timestamp", cmpRows(sym, func(a *vec.Vec, i int, b *vec.Vec, j int) int {
			return types.CompareDateTimestamp(a.I32[i], b.I64[j])
		}))
		pair("timestamp", "date", cmpRows(sym, func(a *vec.Vec, i int, b *vec.Vec, j int) int {
			return -types.CompareDateTimestamp(b.I32[j], a.I64[i])
		}))
		for _, t := range []string{"bool", "bpchar", "interval", "timetz", "uuid", "jsonb", "bit", "varbit", "inet", "oidvector"} {
			same(t, cmpRows(sym, Comparer(mustType(t))))
		}
		bySig := func(args []types.T, _ types.T) Kernel { return cmpRows(sym, Comparer(args[0])) }
		same("anyarray", nil, bound(bySig))
		same("record", nil, bound(bySig))
		if sym == "=" || sym == "<>" {
			same("xid", cmpInts[int64, int64](sym))
			pair("xid", "int4", cmpInts[int64, int32](sym))
			same("tid", cmpBytes(sym))
		}
	}
	// The operators of text_pattern_ops; in collation C they are the plain ones.
	for _, sym := range []string{"<", "<=", ">", ">="} {
		op("text ~"+sym+"~ text bool", cmpBytes(sym))
	}
	// The btree support functions are callable in PostgreSQL too.
	def("btint4cmp(int4,int4) int4", row2(func(a, b int32) int32 { return int32(cmpInt(a, b)) }))
	def("btint8cmp(int8,int8) int4", row2(func(a, b int64) int32 { return int32(cmpInt(a, b)) }))
	def("bttextcmp(text,text) int4", row2(func(a, b string) int32 { return int32(bytes.Compare(bytesOf(a), bytesOf(b))) }))
}
