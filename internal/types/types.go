// Package types holds the SQL types: their PostgreSQL identity (OID, name,
// modifier), how a value is held in memory, and its text and binary input and
// output. It knows nothing of batches, functions or queries.
package types

import (
	"fmt"
)

// T identifies a SQL type: the PostgreSQL OID and the type modifier (-1 none).
// It is comparable; two columns have the same type when their Ts are equal.
// Use Is or OID to ask for the kind of type regardless of the modifier.
type T struct {
	OID uint32
	Mod int32
	// Rec describes the columns of a record whose shape is known at plan time
	// (a whole-row reference, ROW(..), a function with several OUT columns).
	Rec *Record
}

// Record is the shape of a composite value.
type Record struct {
	Names []string
	Types []T
}

// OIDs as pg_type.dat assigns them.
const (
	OIDBool               uint32 = 16
	OIDBytea              uint32 = 17
	OIDChar               uint32 = 18 // "char", one byte
	OIDName               uint32 = 19
	OIDInt8               uint32 = 20
	OIDInt2               uint32 = 21
	OIDInt2Vector         uint32 = 22
	OIDInt4               uint32 = 23
	OIDRegproc            uint32 = 24
	OIDText               uint32 = 25
	OIDOid                uint32 = 26
	OIDTid                uint32 = 27
	OIDXid                uint32 = 28
	OIDOidVector          uint32 = 30
	OIDPgNodeTree         uint32 = 194
	OIDJSON               uint32 = 114
	OIDFloat4             uint32 = 700
	OIDFloat8             uint32 = 701
	OIDUnknown            uint32 = 705
	OIDInet               uint32 = 869
	OIDACLItem            uint32 = 1033
	OIDBpchar             uint32 = 1042
	OIDVarchar            uint32 = 1043
	OIDDate               uint32 = 1082
	OIDTime               uint32 = 1083
	OIDTimestamp          uint32 = 1114
	OIDTimestamptz        uint32 = 1184
	OIDInterval           uint32 = 1186
	OIDTimetz             uint32 = 1266
	OIDBit                uint32 = 1560
	OIDVarbit             uint32 = 1562
	OIDNumeric            uint32 = 1700
	OIDRegprocedure       uint32 = 2202
	OIDRegoper            uint32 = 2203
	OIDRegoperator        uint32 = 2204
	OIDRegclass           uint32 = 2205
	OIDRegtype            uint32 = 2206
	OIDRecord             uint32 = 2249
	OIDCstring            uint32 = 2275
	OIDAny                uint32 = 2276
	OIDAnyarray           uint32 = 2277
	OIDVoid               uint32 = 2278
	OIDTrigger            uint32 = 2279
	OIDInternal           uint32 = 2281
	OIDAnyelement         uint32 = 2283
	OIDAnynonarray        uint32 = 2776
	OIDAnycompatible      uint32 = 5077
	OIDAnycompatiblearray uint32 = 5078
	OIDUUID               uint32 = 2950
	OIDJSONB              uint32 = 3802
	OIDJSONPath           uint32 = 4072
	OIDRegnamespace       uint32 = 4089
	OIDRegrole            uint32 = 4096
	OIDRegcollation       uint32 = 4191
)

// Of gives the type of an OID without a modifier.
func Of(oid uint32) T { return T{OID: oid, Mod: -1} }

// The types without modifier, for use in signatures.
var (
	Bool         = Of(OIDBool)
	Bytea        = Of(OIDBytea)
	Char         = Of(OIDChar)
	Name         = Of(OIDName)
	Int8         = Of(OIDInt8)
	Int2         = Of(OIDInt2)
	Int4         = Of(OIDInt4)
	Text         = Of(OIDText)
	Oid          = Of(OIDOid)
	JSON         = Of(OIDJSON)
	Float4       = Of(OIDFloat4)
	Float8       = Of(OIDFloat8)
	Unknown      = Of(OIDUnknown)
	Bpchar       = Of(OIDBpchar)
	Varchar      = Of(OIDVarchar)
	Date         = Of(OIDDate)
	Time         = Of(OIDTime)
	Timestamp    = Of(OIDTimestamp)
	Timestamptz  = Of(OIDTimestamptz)
	Interval     = Of(OIDInterval)
	Timetz       = Of(OIDTimetz)
	Numeric      = Of(OIDNumeric)
	Regclass     = Of(OIDRegclass)
	Regtype      = Of(OIDRegtype)
	Regproc      = Of(OIDRegproc)
	Regnamespace = Of(OIDRegnamespace)
	AnyRecord    = Of(OIDRecord)
	Void         = Of(OIDVoid)
	UUID         = Of(OIDUUID)
	JSONB        = Of(OIDJSONB)
	Any          = Of(OIDAny)
	Anyarray     = Of(OIDAnyarray)
	Anyelement   = Of(OIDAnyelement)
	TextArray    = Of(1009)
	Int4Array    = Of(1007)
	Int8Array    = Of(1016)
)

// Kind is how values of a type are held: the Go element type of the column.
type Kind uint8

// The kinds. Which SQL types use which is decided in one place, T.Kind.
const (
	KindBool    Kind = iota + 1 // bool
	KindInt16                   // int16: int2
	KindInt32                   // int32: int4, date (days since 1970-01-01)
	KindInt64                   // int64: int8, oid and reg*, time (us of day), timestamp and timestamptz (us since 1970-01-01 UTC)
	KindFloat32                 // float32
	KindFloat64                 // float64
	KindString                  // UTF-8 bytes: text and its kin, json, jsonb (normalised text), enums
	KindBytes                   // arbitrary bytes: bytea, numeric (see Numeric.Encode), arrays and records (PostgreSQL's binary format), bit strings, inet
	KindFixed16                 // 16 bytes: uuid (as is), interval (see Span), timetz (us int64, zone seconds int32)
)

// PosInfinity and NegInfinity are the timestamps 'infinity' and '-infinity', in the int64 of KindInt64;
// dates use the extreme int32 values.
const (
	PosInfinity     int64 = 1<<63 - 1
	NegInfinity     int64 = -1 << 63
	DatePosInfinity int32 = 1<<31 - 1
	DateNegInfinity int32 = -1 << 31
)

// Datum is one value outside a column: nil for NULL, else by the type's kind
// bool, int16, int32, int64, float32, float64, string (both KindString and
// KindBytes; a string so that datums compare with ==) or [16]byte.
type Datum = any

// Kind gives the in-memory representation of values of type t.
func (t T) Kind() Kind {
	switch t.OID {
	case OIDBool:
		return KindBool
	case OIDInt2:
		return KindInt16
	case OIDInt4, OIDDate:
		return KindInt32
	case OIDInt8, OIDTime, OIDTimestamp, OIDTimestamptz, OIDOid, OIDXid,
		OIDRegclass, OIDRegtype, OIDRegproc, OIDRegprocedure, OIDRegoper, OIDRegoperator, OIDRegnamespace, OIDRegrole, OIDRegcollation:
		return KindInt64
	case OIDFloat4:
		return KindFloat32
	case OIDFloat8:
		return KindFloat64
	case OIDInterval, OIDUUID, OIDTimetz:
		return KindFixed16
	case OIDBytea, OIDNumeric, OIDRecord, OIDBit, OIDVarbit, OIDInet, OIDTid, OIDInt2Vector, OIDOidVector:
		return KindBytes
	}
	if t.IsArray() || t.IsComposite() {
		return KindBytes
	}
	return KindString
}

// Is reports whether t and u are the same type, modifiers aside.
func (t T) Is(u T) bool { return t.OID == u.OID }

// IsArray reports whether t is an array type (int2vector and oidvector count as arrays).
func (t T) IsArray() bool { _, ok := t.Elem(); return ok }

// String gives the type as format_type(oid, mod) does.
func (t T) String() string { return t.Format() }

// GoString helps in test failures.
func (t T) GoString() string { return fmt.Sprintf("types.T{%s}", t.Format()) }

// Env is the part of a session's settings that input and output depend on.
type Env struct {
	Zone          *Zone  // TimeZone; nil is UTC
	DateStyle     string // "ISO, MDY" where empty; the output style and the order of ambiguous input
	IntervalStyle string // postgres where empty
	ByteaOutput   string // hex where empty
	// ExtraFloat is extra_float_digits where it asks for the shortest text (0 means the default, 1), and one less where it asks
	// for fewer digits; see SetExtraFloatDigits.
	ExtraFloat int
	// RegName gives the name that an OID has as a reg* type, which is its text; nil, or false, shows the number.
	RegName func(t T, oid uint32) (string, bool)
	// Now is the time that 'now', 'today' and 'tomorrow' mean as input, us since 1970 UTC.
	Now int64
}

// SetExtraFloatDigits takes a value of extra_float_digits.
func (e *Env) SetExtraFloatDigits(n int) {
	if n <= 0 {
		n-- // the zero of the field means the default
	}
	e.ExtraFloat = n
}
