package fn

import (
	"unsafe"

	"streamsql/internal/types"
	"streamsql/internal/vec"
)

// A value is a Go type that the row-wise adapters read from or write to columns.
// Strings and byte slices share the column's memory and must not be kept.
type value interface {
	bool | int16 | int32 | int64 | float32 | float64 | string | []byte | [16]byte | types.Decimal | types.Span
}

// reader gives access to the rows of a column. It costs an indirect call a row:
// for cold functions.
func reader[A value](v *vec.Vec) func(i int) A {
	var zero A
	var f any
	switch any(zero).(type) {
	case bool:
		s := v.Bools
		f = func(i int) bool { return s[i] }
	case int16:
		s := v.I16
		f = func(i int) int16 { return s[i] }
	case int32:
		s := v.I32
		f = func(i int) int32 { return s[i] }
	case int64:
		s := v.I64
		f = func(i int) int64 { return s[i] }
	case float32:
		s := v.F32
		f = func(i int) float32 { return s[i] }
	case float64:
		s := v.F64
		f = func(i int) float64 { return s[i] }
	case string:
		f = v.Str
	case []byte:
		f = v.Bytes
	case [16]byte:
		s := v.F16
		f = func(i int) [16]byte { return s[i] }
	case types.Decimal:
		f = func(i int) types.Decimal { return types.DecodeNumeric(v.Bytes(i)) }
	case types.Span:
		s := v.F16
		f = func(i int) types.Span { return types.SpanOf(s[i]) }
	}
	return f.(func(int) A)
}

// put stores row i of the result: assigns it in a fixed-width column, appends it to a variable-width one.
func put[R value](out *vec.Vec, i int, r R) {
	switch x := any(r).(type) {
	case bool:
		out.Bools[i] = x
	case int16:
		out.I16[i] = x
	case int32:
		out.I32[i] = x
	case int64:
		out.I64[i] = x
	case float32:
		out.F32[i] = x
	case float64:
		out.F64[i] = x
	case string:
		out.AppendStr(x)
	case []byte:
		out.AppendBytes(x)
	case [16]byte:
		out.F16[i] = x
	case types.Decimal:
		appendDecimal(out, x)
	case types.Span:
		out.F16[i] = x.Bytes()
	}
}

func appendDecimal(out *vec.Vec, d types.Decimal) { out.EndBytes(d.Append(out.DataTail(24))) }

// skip passes over a row that is not computed: a variable-width column gets an empty NULL.
func skip(out *vec.Vec) {
	if variable(out.Kind) {
		out.AppendNull()
	}
}

// failLane reports that row i failed. The row must not have been appended yet.
func failLane(out *vec.Vec, i int, err error) {
	skip(out)
	out.Fail(i, err)
}

// row0 adapts a function without arguments.
func row0[R value](f func(c *Ctx) R) Kernel {
	return func(c *Ctx, _ []*vec.Vec, out *vec.Vec, n int) {
		for i := range n {
			put(out, i, f(c))
		}
	}
}

// row1 adapts a function of one argument that cannot fail.
func row1[A, R value](f func(a A) R) Kernel {
	return func(_ *Ctx, args []*vec.Vec, out *vec.Vec, n int) {
		a := reader[A](args[0])
		for i := range n {
			if args[0].IsNull(i) {
				skip(out)
				continue
			}
			put(out, i, f(a(i)))
		}
	}
}

// row1e adapts a function of one argument.
func row1e[A, R value](f func(c *Ctx, a A) (R, error)) Kernel {
	return func(c *Ctx, args []*vec.Vec, out *vec.Vec, n int) {
		a := reader[A](args[0])
		for i := range n {
			if args[0].IsNull(i) {
				skip(out)
				continue
			}
			r, err := f(c, a(i))
			if err != nil {
				failLane(out, i, err)
				continue
			}
			put(out, i, r)
		}
	}
}

// row2 adapts a function of two arguments that cannot fail.
func row2[A, B, R value](f func(a A, b B) R) Kernel {
	return func(_ *Ctx, args []*vec.Vec, out *vec.Vec, n int) {
		a, b := reader[A](args[0]), reader[B](args[1])
		for i := range n {
			if args[0].IsNull(i) || args[1].IsNull(i) {
				skip(out)
				continue
			}
			put(out, i, f(a(i), b(i)))
		}
	}
}

// row2e adapts a function of two arguments.
func row2e[A, B, R value](f func(c *Ctx, a A, b B) (R, error)) Kernel {
	return func(c *Ctx, args []*vec.Vec, out *vec.Vec, n int) {
		a, b := reader[A](args[0]), reader[B](args[1])
		for i := range n {
			if args[0].IsNull(i) || args[1].IsNull(i) {
				skip(out)
				continue
			}
			r, err := f(c, a(i), b(i))
			if err != nil {
				failLane(out, i, err)
				continue
			}
			put(out, i, r)
		}
	}
}

// row3e adapts a function of three arguments.
func row3e[A, B, D, R value](f func(c *Ctx, a A, b B, d D) (R, error)) Kernel {
	return func(c *Ctx, args []*vec.Vec, out *vec.Vec, n int) {
		a, b, d := reader[A](args[0]), reader[B](args[1]), reader[D](args[2])
		for i := range n {
			if anyNull(args, i) {
				skip(out)
				continue
			}
			r, err := f(c, a(i), b(i), d(i))
			if err != nil {
				failLane(out, i, err)
				continue
			}
			put(out, i, r)
		}
	}
}

// rowD adapts a function over datums: the slowest and most general way. For a
// strict function it is not called for NULLs; else datums may be nil. A nil result is NULL.
func rowD(f func(c *Ctx, a []types.Datum) (types.Datum, error), strict bool) Kernel {
	return func(c *Ctx, args []*vec.Vec, out *vec.Vec, n int) {
		row := make([]types.Datum, len(args))
		for i := range n {
			if strict && anyNull(args, i) || failed(args, i) {
				skip(out)
				continue
			}
			for j, a := range args {
				row[j] = a.Datum(i)
			}
			d, err := f(c, row)
			putDatum(out, i, d, err)
		}
	}
}

// failed reports whether row i failed in an argument. Errors are rare and few.
func failed(args []*vec.Vec, i int) bool {
	for _, a := range args {
		for _, e := range a.Errs {
			if int(e.Row) == i {
				return true
			}
		}
	}
	return false
}

// putDatum is the result of row i, whose rows before are there: a value, NULL, or an error.
func putDatum(out *vec.Vec, i int, d types.Datum, err error) {
	switch {
	case err != nil:
		failLane(out, i, err)
	case variable(out.Kind):
		out.AppendDatum(d)
	case d == nil:
		out.SetNull(i)
	default:
		setDatum(out, i, d)
	}
}

// setDatum assigns a slot of a fixed-width column.
func setDatum(out *vec.Vec, i int, d types.Datum) {
	switch x := d.(type) {
	case bool:
		out.Bools[i] = x
	case int16:
		out.I16[i] = x
	case int32:
		out.I32[i] = x
	case int64:
		out.I64[i] = x
	case float32:
		out.F32[i] = x
	case float64:
		out.F64[i] = x
	case [16]byte:
		out.F16[i] = x
	}
}

// bytesOf gives the bytes of s without copying; they must not be written.
func bytesOf(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }

// stringOf gives b as a string without copying; b must not change while it is used.
func stringOf(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
