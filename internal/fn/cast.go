package fn

import (
	"encoding/binary"
	"math"
	"strings"

	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/internal/vec"
)

// textSize guesses the length of a formatted value, so that most columns grow once.
const textSize = 32

// fromText makes the kernel of the cast from text to t: t's input function.
func fromText(t types.T) castKernel {
	if isReg(t) {
		return regFromText(t)
	}
	if t.Kind() == types.KindString && t.Category() == 'S' && !t.Is(types.Name) {
		return func(_ *Ctx, in, out *vec.Vec, n int, _ int32, _ bool) { copyValues(in, out, n) }
	}
	return func(c *Ctx, in, out *vec.Vec, n int, mod int32, _ bool) {
		to := t
		if t.Is(types.Interval) {
			to.Mod = mod // INTERVAL '1' HOUR: the fields say what a bare number means
		}
		for i := range n {
			if in.IsNull(i) {
				skip(out)
				continue
			}
			d, err := types.ParseText(&c.Env, to, in.Str(i))
			putDatum(out, i, d, err)
		}
	}
}

// toText makes the kernel of the cast from t to text: t's output function.
func toText(t types.T) castKernel {
	return func(c *Ctx, in, out *vec.Vec, n int, _ int32, _ bool) {
		appendText := formatter(c, t, in)
		for i := range n {
			if in.IsNull(i) {
				out.AppendNull()
				continue
			}
			out.EndBytes(appendText(out.DataTail(textSize), i))
		}
	}
}

// formatter gives the output function of t for the rows of v: it appends the text of row i, which is not NULL.
func formatter(c *Ctx, t types.T, v *vec.Vec) func(dst []byte, i int) []byte {
	env := &c.Env
	switch t.OID {
	case types.OIDBool:
		return func(dst []byte, i int) []byte {
			if v.Bools[i] {
				return append(dst, 't')
			}
			return append(dst, 'f')
		}
	case types.OIDInt2:
		return func(dst []byte, i int) []byte { return types.AppendInt(dst, int64(v.I16[i])) }
	case types.OIDInt4:
		return func(dst []byte, i int) []byte { return types.AppendInt(dst, int64(v.I32[i])) }
	case types.OIDInt8, types.OIDOid, types.OIDXid:
		return func(dst []byte, i int) []byte { return types.AppendInt(dst, v.I64[i]) }
	case types.OIDFloat8:
		return func(dst []byte, i int) []byte { return types.AppendFloat8(dst, v.F64[i], env.ExtraFloat) }
	case types.OIDFloat4:
		return func(dst []byte, i int) []byte { return types.AppendFloat4(dst, v.F32[i], env.ExtraFloat) }
	case types.OIDDate:
		return func(dst []byte, i int) []byte { return types.AppendDate(dst, env, v.I32[i]) }
	case types.OIDTimestamp:
		return func(dst []byte, i int) []byte { return types.AppendTimestamp(dst, env, v.I64[i]) }
	case types.OIDTimestamptz:
		return func(dst []byte, i int) []byte { return types.AppendTimestamptz(dst, env, v.I64[i]) }
	case types.OIDTime:
		return func(dst []byte, i int) []byte { return types.AppendTime(dst, v.I64[i]) }
	case types.OIDTimetz:
		return func(dst []byte, i int) []byte { return types.AppendTimetz(dst, v.F16[i]) }
	case types.OIDInterval:
		return func(dst []byte, i int) []byte { return types.AppendInterval(dst, env, types.SpanOf(v.F16[i])) }
	case types.OIDUUID:
		return func(dst []byte, i int) []byte { return types.AppendUUID(dst, v.F16[i]) }
	case types.OIDNumeric:
		return func(dst []byte, i int) []byte { return types.AppendNumeric(dst, v.Bytes(i)) }
	case types.OIDBytea:
		return func(dst []byte, i int) []byte { return types.AppendBytea(dst, env, v.Bytes(i)) }
	case types.OIDBpchar:
		return func(dst []byte, i int) []byte { return append(dst, v.Bytes(i)...) }
	}
	if isReg(t) {
		return func(dst []byte, i int) []byte { return appendReg(dst, c, t, v.I64[i]) }
	}
	if t.Kind() == types.KindString && !t.IsEnum() && t.OID != types.OIDChar {
		return func(dst []byte, i int) []byte { return append(dst, v.Bytes(i)...) }
	}
	return func(dst []byte, i int) []byte { return types.AppendTextBytes(dst, env, t, v.Bytes(i)) }
}

// formatDatum gives the text of a datum of type t.
func formatDatum(c *Ctx, t types.T, d types.Datum) string {
	if s, ok := d.(string); ok && t.Kind() == types.KindString && !t.IsEnum() && t.OID != types.OIDChar {
		return s
	}
	if isReg(t) {
		return string(appendReg(nil, c, t, d.(int64)))
	}
	return string(types.AppendText(nil, &c.Env, t, d))
}

func isReg(t types.T) bool {
	switch t.OID {
	case types.OIDRegclass, types.OIDRegtype, types.OIDRegproc, types.OIDRegprocedure, types.OIDRegoper, types.OIDRegoperator,
		types.OIDRegnamespace, types.OIDRegrole, types.OIDRegcollation:
		return true
	}
	return false
}

func appendReg(dst []byte, c *Ctx, t types.T, oid int64) []byte {
	if oid == 0 {
		return append(dst, '-')
	}
	if c.Session != nil {
		if name, ok := c.Session.RegName(t, uint32(oid)); ok {
			return append(dst, name...)
		}
	}
	if t.Is(types.Regtype) && types.InfoOf(types.Of(uint32(oid))) != nil {
		return append(dst, types.Of(uint32(oid)).Format()...)
	}
	return types.AppendInt(dst, oid)
}

// lookupReg is the input function of the reg* types.
func lookupReg(c *Ctx, t types.T, s string) (int64, error) {
	if s == "-" {
		return 0, nil
	}
	if s != "" && s[0] >= '0' && s[0] <= '9' && strings.Trim(s, "0123456789") == "" {
		d, err := types.ParseText(&c.Env, types.Oid, s)
		if err != nil {
			return 0, err
		}
		return d.(int64), nil
	}
	if t.Is(types.Regtype) {
		if u, ok := lookupTypeName(s); ok {
			return int64(u.OID), nil
		}
	}
	if c.Session == nil {
		return 0, pgerr.New(pgerr.UndefinedObject, "%s %q does not exist", strings.TrimPrefix(t.Name(), "reg"), s)
	}
	oid, err := c.Session.RegLookup(t, s)
	return int64(oid), err
}

// lookupTypeName finds a built-in type by any of its spellings, with [] and a modifier.
func lookupTypeName(s string) (types.T, bool) {
	s = strings.TrimPrefix(strings.TrimSpace(s), "pg_catalog.")
	if e, ok := strings.CutSuffix(s, "[]"); ok {
		if t, ok := lookupTypeName(e); ok {
			return t.ArrayOf()
		}
		return types.T{}, false
	}
	if i := strings.IndexByte(s, '('); i > 0 {
		if j := strings.IndexByte(s, ')'); j > i {
			s = strings.TrimSpace(s[:i]) + s[j+1:]
		}
	}
	if q := strings.Trim(s, `"`); len(q) == len(s)-2 {
		return types.Lookup(q)
	}
	return types.Lookup(strings.ToLower(s))
}

func regFromText(t types.T) castKernel {
	return unary(row1e(func(c *Ctx, s string) (int64, error) { return lookupReg(c, t, s) }))
}

// castArray makes the kernel of a cast of arrays from that of their elements.
func castArray(from types.T, e *Cast, elem types.T) castKernel {
	return func(c *Ctx, in, out *vec.Vec, n int, mod int32, explicit bool) {
		to := elem
		to.Mod = mod
		var src, dst vec.Vec
		defer src.Release()
		defer dst.Release()
		for i := range n {
			if in.IsNull(i) {
				out.AppendNull()
				continue
			}
			a, err := types.DecodeArray(from, in.Bytes(i))
			if err != nil {
				failLane(out, i, err)
				continue
			}
			src.Reset(e.From.Kind(), 0)
			for _, d := range a.Elems {
				src.AppendDatum(d)
			}
			e.Run(c, &src, &dst, src.N, to, explicit)
			if len(dst.Errs) > 0 {
				failLane(out, i, dst.Errs[0].Err)
				continue
			}
			for j := range a.Elems {
				a.Elems[j] = dst.Datum(j)
			}
			a.Elem = elem
			out.AppendStr(a.Encode())
		}
	}
}

func needsMod(t types.T) bool {
	switch t.OID {
	case types.OIDNumeric, types.OIDVarchar, types.OIDBpchar, types.OIDTimestamp, types.OIDTimestamptz,
		types.OIDTime, types.OIDTimetz, types.OIDInterval, types.OIDBit, types.OIDVarbit:
		return true
	}
	return false
}

// applyMod applies the modifier of to to the rows of out in place.
func applyMod(_, out *vec.Vec, n int, to types.T, explicit bool) {
	if !variable(out.Kind) {
		for i := range n {
			if out.IsNull(i) {
				continue
			}
			d, err := types.ApplyMod(to, out.Datum(i), explicit)
			if err != nil {
				out.Fail(i, err)
				continue
			}
			setDatum(out, i, d)
		}
		return
	}
	if to.OID == types.OIDVarchar && fitsBytes(out, n, int(to.Mod)-4) {
		return
	}
	// Lengths change: the new values are made apart and copied back.
	var tmp vec.Vec
	defer tmp.Release()
	tmp.Reset(out.Kind, 0)
	for i := range n {
		if out.IsNull(i) {
			tmp.AppendNull()
			continue
		}
		if to.OID == types.OIDNumeric {
			d, err := types.DecodeNumeric(out.Bytes(i)).WithMod(to.Mod)
			if err != nil {
				failLane(&tmp, i, err)
				continue
			}
			appendDecimal(&tmp, d)
			continue
		}
		d, err := types.ApplyMod(to, out.Datum(i), explicit)
		if err != nil {
			failLane(&tmp, i, err)
			continue
		}
		tmp.AppendDatum(d)
	}
	errs := append([]vec.LaneErr(nil), out.Errs...)
	out.Reset(out.Kind, 0)
	out.AppendRange(&tmp, 0, n)
	for _, e := range errs {
		out.Fail(int(e.Row), e.Err)
	}
}

// fitsBytes reports whether no row is longer than limit bytes, and so than limit characters.
func fitsBytes(v *vec.Vec, n, limit int) bool {
	for i := range n {
		if int(v.Off[i+1]-v.Off[i]) > limit {
			return false
		}
	}
	return true
}

// castInts converts integers to wider or narrower ones, lanes out of range failing.
func castInts[A, R integer](_ *Ctx, in, out *vec.Vec, n int, _ int32, _ bool) {
	a, o := vals[A](in, n), vals[R](out, n)
	var bad int64
	for i, x := range a {
		r := R(x)
		o[i] = r
		bad |= int64(r) ^ int64(x)
	}
	if bad != 0 {
		recheck(out, n, rangeErr[R](), func(i int) bool { return int64(R(a[i])) != int64(a[i]) })
	}
}

func castToOid[A integer](_ *Ctx, in, out *vec.Vec, n int, _ int32, _ bool) {
	a, o := vals[A](in, n), out.I64[:n]
	for i, x := range a {
		o[i] = int64(uint32(x))
		if int64(x) > math.MaxUint32 && !out.IsNull(i) {
			out.Fail(i, errOidRange)
		}
	}
}

// castInt8ToOid refuses negative numbers too, which the shorter integers wrap.
func castInt8ToOid(_ *Ctx, in, out *vec.Vec, n int, _ int32, _ bool) {
	for i, x := range in.I64[:n] {
		out.I64[i] = int64(uint32(x))
		if (x < 0 || x > math.MaxUint32) && !out.IsNull(i) {
			out.Fail(i, errOidRange)
		}
	}
}

func castOidToInt4(_ *Ctx, in, out *vec.Vec, n int, _ int32, _ bool) {
	for i, x := range in.I64[:n] {
		out.I32[i] = int32(uint32(x))
	}
}

func castIntToFloat[A integer, R float](_ *Ctx, in, out *vec.Vec, n int, _ int32, _ bool) {
	o := vals[R](out, n)
	for i, x := range vals[A](in, n) {
		o[i] = R(x)
	}
}

func castFloatToInt[A float, R integer](_ *Ctx, in, out *vec.Vec, n int, _ int32, _ bool) {
	a, o := vals[A](in, n), vals[R](out, n)
	var lo, hi float64
	switch any(o).(type) {
	case []int16:
		lo, hi = math.MinInt16, -math.MinInt16
	case []int32:
		lo, hi = math.MinInt32, -math.MinInt32
	default:
		lo, hi = math.MinInt64, -math.MinInt64
	}
	for i, x := range a {
		f := math.RoundToEven(float64(x))
		if !(f >= lo && f < hi) {
			if !out.IsNull(i) {
				out.Fail(i, rangeErr[R]())
			}
			continue
		}
		o[i] = R(f)
	}
}

func castFloat4To8(_ *Ctx, in, out *vec.Vec, n int, _ int32, _ bool) {
	for i, x := range in.F32[:n] {
		out.F64[i] = float64(x)
	}
}

func castFloat8To4(_ *Ctx, in, out *vec.Vec, n int, _ int32, _ bool) {
	for i, x := range in.F64[:n] {
		r := float32(x)
		out.F32[i] = r
		if out.IsNull(i) {
			continue
		}
		switch {
		case isInf(r) && !isInf(x):
			out.Fail(i, errOverflow)
		case r == 0 && x != 0:
			out.Fail(i, errUnderflow)
		}
	}
}

func castIntToNumeric[A integer](_ *Ctx, in, out *vec.Vec, n int, _ int32, _ bool) {
	at := out.N
	out.Extend(n)
	off := out.Off[at+1 : at+n+1]
	data := out.DataTail(16 * n)
	pos := len(data)
	data = data[:cap(data)]
	for i, x := range vals[A](in, n) {
		sign := uint64(int64(x) >> 63) // all ones where x is negative
		row := data[pos : pos+16]
		binary.LittleEndian.PutUint64(row, sign&(1<<8)) // the encoding of types.Decimal.Append
		binary.LittleEndian.PutUint64(row[8:], (uint64(int64(x))^sign)-sign)
		pos += 16
		if x == 0 {
			pos -= 8
		}
		off[i] = int32(pos)
	}
	out.Data = data[:pos]
}

func numericToInt[R integer](name string) castKernel {
	return unary(row1e(func(_ *Ctx, d types.Decimal) (R, error) {
		switch {
		case d.IsNaN():
			return 0, pgerr.New(pgerr.FeatureNotSupported, "cannot convert NaN to %s", name)
		case d.IsInf():
			return 0, pgerr.New(pgerr.FeatureNotSupported, "cannot convert infinity to %s", name)
		}
		x, ok := d.Int64()
		if r := R(x); ok && int64(r) == x {
			return r, nil
		}
		return 0, rangeErr[R]()
	}))
}

func numericToFloat4(_ *Ctx, d types.Decimal) (float32, error) {
	r := d.Float32()
	switch {
	case isInf(r) && !d.IsInf():
		return 0, errOutOfRange("real", d)
	case r == 0 && !d.IsZero():
		return 0, errOutOfRange("real", d)
	}
	return r, nil
}

func numericToFloat8(_ *Ctx, d types.Decimal) (float64, error) {
	r := d.Float64()
	switch {
	case isInf(r) && !d.IsInf():
		return 0, errOutOfRange("double precision", d)
	case r == 0 && !d.IsZero():
		return 0, errOutOfRange("double precision", d)
	}
	return r, nil
}

func errOutOfRange(typ string, d types.Decimal) error {
	return pgerr.New(pgerr.NumericValueOutOfRange, "\"%s\" is out of range for type %s", d.String(), typ)
}

func textBool(b bool) string {
	if b {
		return "true"
	}
	return "false"
}

// truncateName cuts text to the 63 bytes of a name, at a character's boundary.
func truncateName(s string) string {
	if len(s) <= 63 {
		return s
	}
	n := 63
	for n > 0 && s[n]&0xc0 == 0x80 {
		n--
	}
	return s[:n]
}

func init() {
	defCast("int2", "int4", Implicit, castInts[int16, int32])
	defCast("int2", "int8", Implicit, castInts[int16, int64])
	defCast("int4", "int8", Implicit, castInts[int32, int64])
	defCast("int4", "int2", Assignment, castInts[int32, int16])
	defCast("int8", "int2", Assignment, castInts[int64, int16])
	defCast("int8", "int4", Assignment, castInts[int64, int32])
	defCast("int2", "float4", Implicit, castIntToFloat[int16, float32])
	defCast("int4", "float4", Implicit, castIntToFloat[int32, float32])
	defCast("int8", "float4", Implicit, castIntToFloat[int64, float32])
	defCast("int2", "float8", Implicit, castIntToFloat[int16, float64])
	defCast("int4", "float8", Implicit, castIntToFloat[int32, float64])
	defCast("int8", "float8", Implicit, castIntToFloat[int64, float64])
	defCast("int2", "numeric", Implicit, castIntToNumeric[int16])
	defCast("int4", "numeric", Implicit, castIntToNumeric[int32])
	defCast("int8", "numeric", Implicit, castIntToNumeric[int64])
	defCast("float4", "float8", Implicit, castFloat4To8)
	defCast("float8", "float4", Assignment, castFloat8To4)
	defCast("float4", "int2", Assignment, castFloatToInt[float32, int16])
	defCast("float4", "int4", Assignment, castFloatToInt[float32, int32])
	defCast("float4", "int8", Assignment, castFloatToInt[float32, int64])
	defCast("float8", "int2", Assignment, castFloatToInt[float64, int16])
	defCast("float8", "int4", Assignment, castFloatToInt[float64, int32])
	defCast("float8", "int8", Assignment, castFloatToInt[float64, int64])
	defCast("float4", "numeric", Assignment, unary(row1(types.NumericFromFloat32)))
	defCast("float8", "numeric", Assignment, unary(row1(types.NumericFromFloat64)))
	defCast("numeric", "int2", Assignment, numericToInt[int16]("smallint"))
	defCast("numeric", "int4", Assignment, numericToInt[int32]("integer"))
	defCast("numeric", "int8", Assignment, numericToInt[int64]("bigint"))
	defCast("numeric", "float4", Implicit, unary(row1e(numericToFloat4)))
	defCast("numeric", "float8", Implicit, unary(row1e(numericToFloat8)))

	defCast("int4", "bool", Explicit, unary(row1(func(x int32) bool { return x != 0 })))
	defCast("bool", "int4", Explicit, unary(row1(func(b bool) int32 {
		if b {
			return 1
		}
		return 0
	})))
	for _, t := range []string{"text", "varchar", "bpchar"} {
		defCast("bool", t, Assignment, unary(row1(textBool)))
	}

	// The string types share one representation; only bpchar, name and "char" differ in content.
	for _, p := range [][2]string{{"text", "varchar"}, {"varchar", "text"}, {"text", "bpchar"}, {"varchar", "bpchar"}} {
		defCast(p[0], p[1], Implicit, nil)
	}
	trim := unary(row1(func(s string) string { return strings.TrimRight(s, " ") }))
	defCast("bpchar", "text", Implicit, trim)
	defCast("bpchar", "varchar", Implicit, trim)
	for _, t := range []string{"text", "varchar"} {
		defCast(t, "name", Implicit, unary(row1(truncateName)))
	}
	defCast("bpchar", "name", Implicit, unary(row1(func(s string) string { return truncateName(strings.TrimRight(s, " ")) })))
	defCast("name", "text", Implicit, nil)
	defCast("name", "varchar", Assignment, nil)
	defCast("name", "bpchar", Assignment, nil)
	for _, t := range []string{"text", "varchar", "bpchar"} {
		defCast(t, "char", Assignment, unary(row1(types.CharOf)))
	}
	defCast("char", "text", Implicit, unary(row1(types.CharText)))
	defCast("char", "varchar", Assignment, unary(row1(types.CharText)))
	defCast("char", "bpchar", Assignment, unary(row1e(func(_ *Ctx, s string) (string, error) {
		if s != "" && s[0] >= 0x80 { // the byte as it is
			return "", pgerr.New(pgerr.CharacterNotInRepertoire, "invalid byte sequence for encoding \"UTF8\": 0x%02x", s[0])
		}
		return s, nil
	})))
	defCast("char", "int4", Explicit, unary(row1(func(s string) int32 {
		if s == "" {
			return 0
		}
		return int32(int8(s[0]))
	})))
	defCast("int4", "char", Explicit, unary(row1e(func(_ *Ctx, x int32) (string, error) {
		if x < -128 || x > 127 {
			return "", pgerr.New(pgerr.NumericValueOutOfRange, `"char" out of range`)
		}
		if x == 0 {
			return "", nil
		}
		return string([]byte{byte(x)}), nil
	})))
	defCast("pg_node_tree", "text", Implicit, nil)
	for _, t := range []string{"text", "varchar", "bpchar"} {
		defCast("inet", t, Assignment, toText(mustType("inet")))
	}
	defCast("text", "regclass", Implicit, regFromText(types.Regclass))
	defCast("varchar", "regclass", Implicit, regFromText(types.Regclass))

	// The OID types are held alike; int4 and int2 are widened.
	regs := []string{"regclass", "regtype", "regproc", "regprocedure", "regoper", "regoperator", "regnamespace", "regrole", "regcollation"}
	for _, t := range append([]string{"oid"}, regs...) {
		defCast("int2", t, Implicit, castToOid[int16])
		defCast("int4", t, Implicit, castToOid[int32])
		defCast("int8", t, Implicit, castInt8ToOid)
		defCast(t, "int4", Assignment, castOidToInt4)
		defCast(t, "int8", Assignment, castInts[int64, int64])
	}
	for _, t := range regs {
		defCast("oid", t, Implicit, nil)
		defCast(t, "oid", Implicit, nil)
	}
	defCast("regproc", "regprocedure", Implicit, nil)
	defCast("regprocedure", "regproc", Implicit, nil)
	defCast("varbit", "bit", Implicit, nil)
	defCast("bit", "varbit", Implicit, nil)
}
