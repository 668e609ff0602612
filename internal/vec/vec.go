// Package vec holds columns and batches of rows: the face that Arrow memory has
// for the rest of the engine. A Vec is one column being read or made, a Batch is
// a dense, immutable, reference-counted set of columns with the change that each
// row stands for.
package vec

import (
	"math"
	"unsafe"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"streamsql/internal/mem"
	"streamsql/internal/pgerr"
	"streamsql/internal/types"
)

// MaxRows is how many rows producers aim to put in a batch at the most. Operators must take any number.
const MaxRows = 8192

// Allocator is where columns get their memory. A Vec without one uses Go's heap.
type Allocator = memory.Allocator

// LaneErr is a row that could not be computed. It travels with the column like a
// value: it fails the query only where the row reaches a result, so that
// CASE, COALESCE and AND guard what they should.
type LaneErr struct {
	Row int32
	Err error
}

// Vec is one column of N values. It is either a view of an Arrow array (made by
// View: read only, valid while the array is held) or owned (made by Reset and
// the Append methods, turned into an Arrow array by Seal). Kernels index the
// slice of the column's kind directly; slots of NULL rows hold any value.
type Vec struct {
	Kind types.Kind
	N    int
	// Const says that all N rows equal row 0; kernels may take advantage.
	Const bool
	// Valid is the validity bitmap, least significant bit first, 1 for a value;
	// nil when no row is NULL. It covers at least N bits.
	Valid []uint64

	Bools []bool
	I16   []int16
	I32   []int32
	I64   []int64
	F32   []float32
	F64   []float64
	F16   [][16]byte
	// Off and Data hold KindString and KindBytes: row i is Data[Off[i]:Off[i+1]].
	Off  []int32
	Data []byte

	// Errs lists the rows that failed, at most once each, in no order. Such rows are NULL too.
	Errs []LaneErr

	owned bool
	alloc Allocator
	raw   []byte // backing of the value or offset slice, owned only
	rawD  []byte // backing of Data, owned only
	rawV  []byte // backing of Valid, owned only
	bools []bool // scratch for unpacked bitmaps
}

var heap Allocator = memory.NewGoAllocator()

// SetAllocator makes an owned Vec take its memory from a. Call it before Reset.
func (v *Vec) SetAllocator(a Allocator) { v.alloc = a }

func (v *Vec) mem() Allocator {
	if v.alloc == nil {
		return heap
	}
	return v.alloc
}

func width(k types.Kind) int {
	switch k {
	case types.KindBool:
		return 1
	case types.KindInt16:
		return 2
	case types.KindInt32, types.KindFloat32:
		return 4
	case types.KindInt64, types.KindFloat64:
		return 8
	case types.KindFixed16:
		return 16
	}
	return 4 // offsets
}

func castSlice[E any](b []byte) []E {
	var e E
	n := len(b) / int(unsafe.Sizeof(e))
	if n == 0 {
		return nil
	}
	return unsafe.Slice((*E)(unsafe.Pointer(unsafe.SliceData(b))), n)
}

func (v *Vec) bind() {
	b := v.raw
	switch v.Kind {
	case types.KindBool:
		v.Bools = castSlice[bool](b)
	case types.KindInt16:
		v.I16 = castSlice[int16](b)
	case types.KindInt32:
		v.I32 = castSlice[int32](b)
	case types.KindInt64:
		v.I64 = castSlice[int64](b)
	case types.KindFloat32:
		v.F32 = castSlice[float32](b)
	case types.KindFloat64:
		v.F64 = castSlice[float64](b)
	case types.KindFixed16:
		v.F16 = castSlice[[16]byte](b)
	case types.KindString, types.KindBytes:
		v.Off = castSlice[int32](b)
	}
}

func roundUp(n int) int { return (n + 63) &^ 63 }

// grow makes room for n values of the kind's width.
func (v *Vec) grow(n int) {
	need := n * width(v.Kind)
	if v.Kind == types.KindString || v.Kind == types.KindBytes {
		need += 4
	}
	if need <= len(v.raw) {
		return
	}
	size := roundUp(max(need, 2*len(v.raw)))
	v.raw = v.realloc(v.raw, size)
	v.bind()
	if v.Valid != nil {
		v.growValid(n)
	}
}

func (v *Vec) realloc(b []byte, size int) []byte {
	n := v.mem().Allocate(size)
	copy(n, b)
	if b != nil {
		v.mem().Free(b)
	}
	return n
}

func (v *Vec) growValid(n int) {
	need := roundUp(((n + 63) / 64) * 8)
	if need > len(v.rawV) {
		v.rawV = v.realloc(v.rawV, max(need, 2*len(v.rawV)))
	}
	v.Valid = castSlice[uint64](v.rawV)
}

// Reset makes v an owned column of n rows of kind k, all valid, values
// undefined (offsets: only Off[0] is set), reusing v's memory where it suffices.
// Fixed-width kernels then assign the slots; variable-width ones use n = 0 and append.
func (v *Vec) Reset(k types.Kind, n int) {
	if !v.owned {
		*v = Vec{alloc: v.alloc, bools: v.bools}
		v.owned = true
	}
	v.Kind, v.N, v.Const, v.Errs, v.Valid = k, n, false, v.Errs[:0], nil
	v.Off, v.Data = nil, nil // of an earlier use with a variable-width kind: they share raw
	v.grow(max(n, 8))
	v.bind()
	if k == types.KindString || k == types.KindBytes {
		v.Off[0] = 0
		v.Data = v.rawD[:0]
	}
	if k == types.KindBool {
		clear(v.Bools[:n]) // NULL lanes too must hold 0 or 1: selections count with them
	}
}

// Release gives an owned column's memory back. The Vec may be Reset again. A view is forgotten.
func (v *Vec) Release() {
	if v.owned {
		for _, b := range [][]byte{v.raw, v.rawD, v.rawV} {
			if b != nil {
				v.mem().Free(b)
			}
		}
	}
	*v = Vec{alloc: v.alloc, bools: v.bools}
}

// Held gives the bytes of memory that an owned column holds.
func (v *Vec) Held() int { return len(v.raw) + len(v.rawD) + len(v.rawV) }

// IsNull reports whether row i is NULL.
func (v *Vec) IsNull(i int) bool { return v.Valid != nil && v.Valid[i>>6]>>(uint(i)&63)&1 == 0 }

// HasNulls reports whether any row may be NULL.
func (v *Vec) HasNulls() bool { return v.Valid != nil }

// MakeValid gives an owned column a validity bitmap covering its N rows, all set, if it has none, and returns it.
func (v *Vec) MakeValid() []uint64 {
	if v.Valid == nil {
		v.growValid(max(v.N, 1))
		for i := range v.Valid {
			v.Valid[i] = math.MaxUint64
		}
	}
	return v.Valid
}

// SetNull makes row i of an owned column NULL.
func (v *Vec) SetNull(i int) {
	v.MakeValid()
	v.Valid[i>>6] &^= 1 << (uint(i) & 63)
}

// Fail records that row i could not be computed and makes it NULL.
func (v *Vec) Fail(i int, err error) {
	v.Errs = append(v.Errs, LaneErr{int32(i), err})
	v.SetNull(i)
}

// Str gives row i of a KindString column. It shares the column's memory: valid while the column is.
func (v *Vec) Str(i int) string {
	b := v.Data[v.Off[i]:v.Off[i+1]]
	return unsafe.String(unsafe.SliceData(b), len(b))
}

// Bytes gives row i of a KindString or KindBytes column, sharing the column's memory.
func (v *Vec) Bytes(i int) []byte { return v.Data[v.Off[i]:v.Off[i+1]] }

func (v *Vec) push() int {
	i := v.N
	v.grow(i + 1)
	v.N++
	if v.Valid != nil {
		if i>>6 >= len(v.Valid) {
			v.growValid(i + 1)
		}
		v.Valid[i>>6] |= 1 << (uint(i) & 63)
	}
	return i
}

// AppendBool appends a value to an owned KindBool column; the other Append methods likewise for their kinds.
func (v *Vec) AppendBool(x bool) { i := v.push(); v.Bools[i] = x }

// AppendInt16 appends a value.
func (v *Vec) AppendInt16(x int16) { i := v.push(); v.I16[i] = x }

// AppendInt32 appends a value.
func (v *Vec) AppendInt32(x int32) { i := v.push(); v.I32[i] = x }

// AppendInt64 appends a value.
func (v *Vec) AppendInt64(x int64) { i := v.push(); v.I64[i] = x }

// AppendFloat32 appends a value.
func (v *Vec) AppendFloat32(x float32) { i := v.push(); v.F32[i] = x }

// AppendFloat64 appends a value.
func (v *Vec) AppendFloat64(x float64) { i := v.push(); v.F64[i] = x }

// AppendFixed16 appends a value.
func (v *Vec) AppendFixed16(x [16]byte) { i := v.push(); v.F16[i] = x }

func (v *Vec) growData(n int) {
	need := len(v.Data) + n
	if need > len(v.rawD) {
		used := len(v.Data)
		size := max(need, 2*len(v.rawD), 256)
		if size > largeData {
			size = max(need, min(size, need+largeData)) // what doubles at that size would not find room
			if need > math.MaxInt32-64 {
				panic(&mem.Refusal{Err: pgerr.New(pgerr.ProgramLimitExceeded, "out of memory").
					WithDetail("Cannot enlarge string buffer containing %d bytes by %d more bytes.", used, n).
					WithHint("The values of the rows that are computed together are beyond 2 GB.")})
			}
		}
		v.rawD = v.realloc(v.rawD, roundUp(size))
		v.Data = v.rawD[:used]
	}
}

// largeData is from what size on the bytes of a column grow by as much instead of doubling.
const largeData = 64 << 20

// AppendStr appends a value to a KindString or KindBytes column. A column holds less than 2 GiB.
func (v *Vec) AppendStr(s string) {
	v.growData(len(s))
	v.Data = append(v.Data, s...)
	i := v.push()
	v.Off[i+1] = int32(len(v.Data))
}

// AppendBytes appends a value to a KindString or KindBytes column.
func (v *Vec) AppendBytes(b []byte) {
	v.growData(len(b))
	v.Data = append(v.Data, b...)
	i := v.push()
	v.Off[i+1] = int32(len(v.Data))
}

// DataTail gives the bytes of v that are not yet a row, with room for n more;
// append to it and hand the result to EndBytes. It spares a copy where a value is formatted in place.
func (v *Vec) DataTail(n int) []byte {
	v.growData(n)
	return v.Data
}

// EndBytes ends a row of a KindString or KindBytes column whose bytes were appended to DataTail's result.
func (v *Vec) EndBytes(data []byte) {
	if len(data) > len(v.rawD) { // append moved it to the heap: bring it home
		used := len(v.Data)
		v.growData(len(data) - used)
		copy(v.rawD[used:], data[used:])
		data = v.rawD[:len(data)]
	}
	v.Data = v.rawD[:len(data)]
	i := v.push()
	v.Off[i+1] = int32(len(data))
}

// AppendNull appends a NULL.
func (v *Vec) AppendNull() {
	i := v.push()
	switch {
	case v.Off != nil:
		v.Off[i+1] = int32(len(v.Data))
	case v.Kind == types.KindBool:
		v.Bools[i] = false
	}
	v.SetNull(i)
}

// AppendDatum appends a datum of v's kind, nil for NULL.
func (v *Vec) AppendDatum(d types.Datum) {
	switch x := d.(type) {
	case nil:
		v.AppendNull()
	case bool:
		v.AppendBool(x)
	case int16:
		v.AppendInt16(x)
	case int32:
		v.AppendInt32(x)
	case int64:
		v.AppendInt64(x)
	case float32:
		v.AppendFloat32(x)
	case float64:
		v.AppendFloat64(x)
	case string:
		v.AppendStr(x)
	case []byte:
		v.AppendBytes(x)
	case [16]byte:
		v.AppendFixed16(x)
	default:
		panic("vec: not a datum")
	}
}

// Datum gives row i as a datum; strings are copied.
func (v *Vec) Datum(i int) types.Datum {
	if v.IsNull(i) {
		return nil
	}
	switch v.Kind {
	case types.KindBool:
		return v.Bools[i]
	case types.KindInt16:
		return v.I16[i]
	case types.KindInt32:
		return v.I32[i]
	case types.KindInt64:
		return v.I64[i]
	case types.KindFloat32:
		return v.F32[i]
	case types.KindFloat64:
		return v.F64[i]
	case types.KindFixed16:
		return v.F16[i]
	}
	return string(v.Bytes(i))
}

// SetConst makes v an owned column of n rows that all hold d.
func (v *Vec) SetConst(k types.Kind, d types.Datum, n int) {
	v.Reset(k, 0)
	for range n {
		v.AppendDatum(d)
	}
	v.Const = true
}

// Append appends row i of src, which has v's kind.
func (v *Vec) Append(src *Vec, i int) {
	if src.IsNull(i) {
		v.AppendNull()
		return
	}
	switch v.Kind {
	case types.KindBool:
		v.AppendBool(src.Bools[i])
	case types.KindInt16:
		v.AppendInt16(src.I16[i])
	case types.KindInt32:
		v.AppendInt32(src.I32[i])
	case types.KindInt64:
		v.AppendInt64(src.I64[i])
	case types.KindFloat32:
		v.AppendFloat32(src.F32[i])
	case types.KindFloat64:
		v.AppendFloat64(src.F64[i])
	case types.KindFixed16:
		v.AppendFixed16(src.F16[i])
	default:
		v.AppendBytes(src.Bytes(i))
	}
}

func gather[E any](dst, src []E, sel []int32) {
	dst = dst[:len(sel)]
	for i, s := range sel {
		dst[i] = src[s]
	}
}

// Gather appends the rows sel of src, which has v's kind. Rows that failed in src are carried over as failed.
func (v *Vec) Gather(src *Vec, sel []int32) {
	if len(sel) == 0 {
		return
	}
	at := v.N
	v.extend(len(sel))
	switch v.Kind {
	case types.KindBool:
		gather(v.Bools[at:], src.Bools, sel)
	case types.KindInt16:
		gather(v.I16[at:], src.I16, sel)
	case types.KindInt32:
		gather(v.I32[at:], src.I32, sel)
	case types.KindInt64:
		gather(v.I64[at:], src.I64, sel)
	case types.KindFloat32:
		gather(v.F32[at:], src.F32, sel)
	case types.KindFloat64:
		gather(v.F64[at:], src.F64, sel)
	case types.KindFixed16:
		gather(v.F16[at:], src.F16, sel)
	default:
		total := 0
		for _, s := range sel {
			total += int(src.Off[s+1] - src.Off[s])
		}
		v.growData(total)
		d, off := v.Data, v.Off[at+1:]
		for i, s := range sel {
			d = append(d, src.Data[src.Off[s]:src.Off[s+1]]...)
			off[i] = int32(len(d))
		}
		v.Data = d
	}
	if src.Valid != nil {
		for i, s := range sel {
			if src.IsNull(int(s)) {
				v.SetNull(at + i)
			}
		}
	}
	if len(src.Errs) > 0 {
		pos := map[int32]error{}
		for _, e := range src.Errs {
			pos[e.Row] = e.Err
		}
		for i, s := range sel {
			if err, ok := pos[s]; ok {
				v.Fail(at+i, err)
			}
		}
	}
}

// AppendRange appends rows [from, to) of src, which has v's kind.
func (v *Vec) AppendRange(src *Vec, from, to int) {
	n := to - from
	if n <= 0 {
		return
	}
	at := v.N
	v.extend(n)
	switch v.Kind {
	case types.KindBool:
		copy(v.Bools[at:], src.Bools[from:to])
	case types.KindInt16:
		copy(v.I16[at:], src.I16[from:to])
	case types.KindInt32:
		copy(v.I32[at:], src.I32[from:to])
	case types.KindInt64:
		copy(v.I64[at:], src.I64[from:to])
	case types.KindFloat32:
		copy(v.F32[at:], src.F32[from:to])
	case types.KindFloat64:
		copy(v.F64[at:], src.F64[from:to])
	case types.KindFixed16:
		copy(v.F16[at:], src.F16[from:to])
	default:
		lo, hi := src.Off[from], src.Off[to]
		v.growData(int(hi - lo))
		delta := int32(len(v.Data)) - lo
		v.Data = append(v.Data, src.Data[lo:hi]...)
		off := v.Off[at+1:]
		for i := range n {
			off[i] = src.Off[from+i+1] + delta
		}
	}
	if src.Valid != nil {
		for i := range n {
			if src.IsNull(from + i) {
				v.SetNull(at + i)
			}
		}
	}
	for _, e := range src.Errs {
		if r := int(e.Row); r >= from && r < to {
			v.Fail(at+r-from, e.Err)
		}
	}
}

// extend adds n valid rows with undefined values (offsets undefined too).
func (v *Vec) extend(n int) {
	at := v.N
	v.grow(at + n)
	v.N += n
	if v.Kind == types.KindBool {
		clear(v.Bools[at:v.N])
	}
	if v.Valid != nil {
		v.growValid(v.N)
		for i := at; i < v.N; i++ {
			v.Valid[i>>6] |= 1 << (uint(i) & 63)
		}
	}
}

// Extend adds n valid rows whose fixed-width values the caller then assigns through the slice of v's kind.
func (v *Vec) Extend(n int) { v.extend(n) }

// Truncate drops the rows from n on.
func (v *Vec) Truncate(n int) {
	if n >= v.N {
		return
	}
	v.N = n
	if v.Off != nil {
		v.Data = v.rawD[:v.Off[n]]
	}
}

// AndValid makes the rows of v that are NULL in a NULL too: the null rule of a strict function.
func (v *Vec) AndValid(a *Vec) {
	if a.Valid == nil {
		return
	}
	dst := v.MakeValid()
	for i := range (v.N + 63) / 64 {
		dst[i] &= a.Valid[i]
	}
}

// CopyErrs makes rows that failed in a failed in v.
func (v *Vec) CopyErrs(a *Vec) {
	for _, e := range a.Errs {
		v.Fail(int(e.Row), e.Err)
	}
}

// ArrowType gives the Arrow type of a column of kind k.
func ArrowType(k types.Kind) arrow.DataType {
	switch k {
	case types.KindBool:
		return arrow.FixedWidthTypes.Boolean
	case types.KindInt16:
		return arrow.PrimitiveTypes.Int16
	case types.KindInt32:
		return arrow.PrimitiveTypes.Int32
	case types.KindInt64:
		return arrow.PrimitiveTypes.Int64
	case types.KindFloat32:
		return arrow.PrimitiveTypes.Float32
	case types.KindFloat64:
		return arrow.PrimitiveTypes.Float64
	case types.KindString:
		return arrow.BinaryTypes.String
	case types.KindFixed16:
		return fixed16
	}
	return arrow.BinaryTypes.Binary
}

var fixed16 = &arrow.FixedSizeBinaryType{ByteWidth: 16}

// Seal turns an owned column into an Arrow array that owns v's memory; v is empty afterwards. The caller releases the array.
func (v *Vec) Seal() arrow.Array {
	if !v.owned {
		panic("vec: Seal of a view")
	}
	mem := v.mem()
	var bufs [3]*memory.Buffer
	nulls := 0
	if v.Valid != nil {
		nulls = v.N - countBits(v.Valid, v.N)
		if nulls > 0 {
			bufs[0] = memory.NewBufferWithAllocator(v.rawV, mem)
		} else {
			mem.Free(v.rawV)
		}
	} else if v.rawV != nil {
		mem.Free(v.rawV)
	}
	nb := 2
	switch v.Kind {
	case types.KindBool:
		bits := mem.Allocate(roundUp((v.N + 7) / 8))
		packBools(bits, v.Bools[:v.N])
		mem.Free(v.raw)
		bufs[1] = memory.NewBufferWithAllocator(bits, mem)
	case types.KindString, types.KindBytes:
		bufs[1] = memory.NewBufferWithAllocator(v.raw, mem)
		if v.rawD == nil {
			v.rawD = mem.Allocate(64)
		}
		bufs[2] = memory.NewBufferWithAllocator(v.rawD, mem)
		nb = 3
	default:
		bufs[1] = memory.NewBufferWithAllocator(v.raw, mem)
	}
	if v.rawD != nil && nb == 2 {
		mem.Free(v.rawD)
	}
	data := array.NewData(ArrowType(v.Kind), v.N, bufs[:nb], nil, nulls, 0)
	arr := array.MakeFromData(data)
	data.Release()
	for _, b := range bufs {
		if b != nil {
			b.Release()
		}
	}
	*v = Vec{alloc: v.alloc, bools: v.bools, owned: true}
	return arr
}

// View makes v a read-only view of an array made by Seal. Nothing is copied but
// booleans, which are unpacked. The view is valid while the array is held.
func (v *Vec) View(a arrow.Array) {
	if v.owned {
		v.Release()
	}
	*v = Vec{alloc: v.alloc, bools: v.bools, N: a.Len()}
	if a.NullN() > 0 {
		b := a.NullBitmapBytes()
		v.Valid = castSlice[uint64](b[:cap(b)&^7])
	}
	switch x := a.(type) {
	case *array.Boolean:
		v.Kind = types.KindBool
		if cap(v.bools) < v.N {
			v.bools = make([]bool, max(v.N, MaxRows))
		}
		v.Bools = v.bools[:v.N]
		unpackBools(v.Bools, x.Data().Buffers()[1].Bytes())
	case *array.Int16:
		v.Kind, v.I16 = types.KindInt16, x.Int16Values()
	case *array.Int32:
		v.Kind, v.I32 = types.KindInt32, x.Int32Values()
	case *array.Int64:
		v.Kind, v.I64 = types.KindInt64, x.Int64Values()
	case *array.Float32:
		v.Kind, v.F32 = types.KindFloat32, x.Float32Values()
	case *array.Float64:
		v.Kind, v.F64 = types.KindFloat64, x.Float64Values()
	case *array.String:
		v.Kind, v.Off, v.Data = types.KindString, x.ValueOffsets(), x.Data().Buffers()[2].Bytes()
	case *array.Binary:
		v.Kind, v.Off, v.Data = types.KindBytes, x.ValueOffsets(), x.Data().Buffers()[2].Bytes()
	case *array.FixedSizeBinary:
		v.Kind, v.F16 = types.KindFixed16, castSlice[[16]byte](x.Data().Buffers()[1].Bytes())
	default:
		panic("vec: array of type " + a.DataType().String())
	}
}

func countBits(w []uint64, n int) int {
	c := 0
	for i := 0; i < n>>6; i++ {
		c += popcount(w[i])
	}
	if r := uint(n) & 63; r != 0 {
		c += popcount(w[n>>6] & (1<<r - 1))
	}
	return c
}
