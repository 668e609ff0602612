package types

import (
	"fmt"
	"strconv"
	"strings"
)

// Info is what pg_type says of a built-in type.
type Info struct {
	OID       uint32
	Name      string // pg_type.typname
	Format    string // as format_type prints it
	Array     uint32 // OID of the array type, 0 none
	Len       int16  // typlen
	Category  byte   // typcategory
	Preferred bool   // typispreferred
	Type      byte   // typtype: b base, p pseudo, c composite
	ByVal     bool
	Align     byte
	// Elem, Enum and Rec are of types that users make: the element of an array, the labels of an enum, the shape of a composite type.
	Elem uint32
	Enum *Enum
	Rec  *Record
}

var infos = []Info{
	{OIDBool, "bool", "boolean", 1000, 1, 'B', true, 'b', true, 'c', 0, nil, nil},
	{OIDBytea, "bytea", "bytea", 1001, -1, 'U', false, 'b', false, 'i', 0, nil, nil},
	{OIDChar, "char", `"char"`, 1002, 1, 'Z', false, 'b', true, 'c', 0, nil, nil},
	{OIDName, "name", "name", 1003, 64, 'S', false, 'b', false, 'c', 0, nil, nil},
	{OIDInt8, "int8", "bigint", 1016, 8, 'N', false, 'b', true, 'd', 0, nil, nil},
	{OIDInt2, "int2", "smallint", 1005, 2, 'N', false, 'b', true, 's', 0, nil, nil},
	{OIDInt2Vector, "int2vector", "int2vector", 1006, -1, 'A', false, 'b', false, 'i', 0, nil, nil},
	{OIDInt4, "int4", "integer", 1007, 4, 'N', false, 'b', true, 'i', 0, nil, nil},
	{OIDRegproc, "regproc", "regproc", 1008, 4, 'N', false, 'b', true, 'i', 0, nil, nil},
	{OIDText, "text", "text", 1009, -1, 'S', true, 'b', false, 'i', 0, nil, nil},
	{OIDOid, "oid", "oid", 1028, 4, 'N', true, 'b', true, 'i', 0, nil, nil},
	{OIDTid, "tid", "tid", 1010, 6, 'U', false, 'b', false, 's', 0, nil, nil},
	{OIDXid, "xid", "xid", 1011, 4, 'U', false, 'b', true, 'i', 0, nil, nil},
	{OIDOidVector, "oidvector", "oidvector", 1013, -1, 'A', false, 'b', false, 'i', 0, nil, nil},
	{OIDPgNodeTree, "pg_node_tree", "pg_node_tree", 0, -1, 'Z', false, 'b', false, 'i', 0, nil, nil},
	{OIDJSON, "json", "json", 199, -1, 'U', false, 'b', false, 'i', 0, nil, nil},
	{OIDFloat4, "float4", "real", 1021, 4, 'N', false, 'b', true, 'i', 0, nil, nil},
	{OIDFloat8, "float8", "double precision", 1022, 8, 'N', true, 'b', true, 'd', 0, nil, nil},
	{OIDUnknown, "unknown", "unknown", 0, -2, 'X', false, 'p', false, 'c', 0, nil, nil},
	{OIDInet, "inet", "inet", 1041, -1, 'I', true, 'b', false, 'i', 0, nil, nil},
	{OIDACLItem, "aclitem", "aclitem", 1034, 12, 'U', false, 'b', false, 'i', 0, nil, nil},
	{OIDBpchar, "bpchar", "character", 1014, -1, 'S', false, 'b', false, 'i', 0, nil, nil},
	{OIDVarchar, "varchar", "character varying", 1015, -1, 'S', false, 'b', false, 'i', 0, nil, nil},
	{OIDDate, "date", "date", 1182, 4, 'D', false, 'b', true, 'i', 0, nil, nil},
	{OIDTime, "time", "time without time zone", 1183, 8, 'D', false, 'b', true, 'd', 0, nil, nil},
	{OIDTimestamp, "timestamp", "timestamp without time zone", 1115, 8, 'D', false, 'b', true, 'd', 0, nil, nil},
	{OIDTimestamptz, "timestamptz", "timestamp with time zone", 1185, 8, 'D', true, 'b', true, 'd', 0, nil, nil},
	{OIDInterval, "interval", "interval", 1187, 16, 'T', true, 'b', false, 'd', 0, nil, nil},
	{OIDTimetz, "timetz", "time with time zone", 1270, 12, 'D', false, 'b', false, 'd', 0, nil, nil},
	{OIDBit, "bit", "bit", 1561, -1, 'V', false, 'b', false, 'i', 0, nil, nil},
	{OIDVarbit, "varbit", "bit varying", 1563, -1, 'V', true, 'b', false, 'i', 0, nil, nil},
	{OIDNumeric, "numeric", "numeric", 1231, -1, 'N', false, 'b', false, 'i', 0, nil, nil},
	{OIDRegprocedure, "regprocedure", "regprocedure", 2207, 4, 'N', false, 'b', true, 'i', 0, nil, nil},
	{OIDRegoper, "regoper", "regoper", 2208, 4, 'N', false, 'b', true, 'i', 0, nil, nil},
	{OIDRegoperator, "regoperator", "regoperator", 2209, 4, 'N', false, 'b', true, 'i', 0, nil, nil},
	{OIDRegclass, "regclass", "regclass", 2210, 4, 'N', false, 'b', true, 'i', 0, nil, nil},
	{OIDRegtype, "regtype", "regtype", 2211, 4, 'N', false, 'b', true, 'i', 0, nil, nil},
	{OIDRecord, "record", "record", 2287, -1, 'P', false, 'p', false, 'd', 0, nil, nil},
	{OIDCstring, "cstring", "cstring", 1263, -2, 'P', false, 'p', false, 'c', 0, nil, nil},
	{OIDAny, "any", `"any"`, 0, 4, 'P', false, 'p', true, 'i', 0, nil, nil},
	{OIDAnyarray, "anyarray", "anyarray", 0, -1, 'P', false, 'p', false, 'd', 0, nil, nil},
	{OIDVoid, "void", "void", 0, 4, 'P', false, 'p', true, 'i', 0, nil, nil},
	{OIDTrigger, "trigger", "trigger", 0, 4, 'P', false, 'p', true, 'i', 0, nil, nil},
	{OIDInternal, "internal", "internal", 0, 8, 'P', false, 'p', true, 'd', 0, nil, nil},
	{OIDAnyelement, "anyelement", "anyelement", 0, 4, 'P', false, 'p', true, 'i', 0, nil, nil},
	{OIDAnynonarray, "anynonarray", "anynonarray", 0, 4, 'P', false, 'p', true, 'i', 0, nil, nil},
	{OIDAnycompatible, "anycompatible", "anycompatible", 0, 4, 'P', false, 'p', true, 'i', 0, nil, nil},
	{OIDAnycompatiblearray, "anycompatiblearray", "anycompatiblearray", 0, -1, 'P', false, 'p', false, 'd', 0, nil, nil},
	{OIDUUID, "uuid", "uuid", 2951, 16, 'U', false, 'b', false, 'c', 0, nil, nil},
	{OIDJSONB, "jsonb", "jsonb", 3807, -1, 'U', false, 'b', false, 'i', 0, nil, nil},
	{OIDJSONPath, "jsonpath", "jsonpath", 4073, -1, 'U', false, 'b', false, 'i', 0, nil, nil},
	{OIDRegnamespace, "regnamespace", "regnamespace", 4090, 4, 'N', false, 'b', true, 'i', 0, nil, nil},
	{OIDRegrole, "regrole", "regrole", 4097, 4, 'N', false, 'b', true, 'i', 0, nil, nil},
	{OIDRegcollation, "regcollation", "regcollation", 4192, 4, 'N', false, 'b', true, 'i', 0, nil, nil},
}

var (
	byOID  = map[uint32]*Info{}
	byName = map[string]*Info{}
	elems  = map[uint32]uint32{OIDInt2Vector: OIDInt2, OIDOidVector: OIDOid}
)

func init() {
	for i := range infos {
		in := &infos[i]
		byOID[in.OID], byName[in.Name] = in, in
		if in.Array != 0 {
			elems[in.Array] = in.OID
		}
	}
	for _, in := range infos {
		if in.Array != 0 {
			a := &Info{OID: in.Array, Name: "_" + in.Name, Format: in.Format + "[]", Len: -1, Category: 'A', Type: 'b', Align: 'i'}
			if in.Align == 'd' {
				a.Align = 'd'
			}
			byOID[a.OID], byName[a.Name] = a, a
		}
	}
	for alias, name := range map[string]string{
		"boolean": "bool", "smallint": "int2", "integer": "int4", "int": "int4", "bigint": "int8",
		"real": "float4", "double precision": "float8", "decimal": "numeric", "dec": "numeric",
		"character varying": "varchar", "character": "bpchar", "timestamp without time zone": "timestamp",
		"timestamp with time zone": "timestamptz", "time without time zone": "time", "time with time zone": "timetz",
		"bit varying": "varbit", "string": "text",
	} {
		if _, ok := byName[alias]; !ok {
			byName[alias] = byName[name]
		}
	}
}

// Lookup finds a built-in type by its catalogue name (int4, _text) or by its SQL spelling (integer, double precision).
func Lookup(name string) (T, bool) {
	if in, ok := byName[name]; ok {
		return Of(in.OID), true
	}
	return T{}, false
}

// InfoOf gives what pg_type says of t; nil for a type that is neither built in nor registered.
func InfoOf(t T) *Info { return infoOf(t.OID) }

// All gives every built-in type, arrays included, by OID order of definition.
func All() []*Info {
	out := make([]*Info, 0, len(byOID))
	for i := range infos {
		out = append(out, &infos[i])
		if a := infos[i].Array; a != 0 {
			out = append(out, byOID[a])
		}
	}
	return out
}

// Elem gives the element type of an array type.
func (t T) Elem() (T, bool) {
	if t.OID >= firstUserOID {
		in := infoOf(t.OID)
		if in == nil || in.Elem == 0 {
			return T{}, false
		}
		return T{OID: in.Elem, Mod: t.Mod}, true
	}
	e, ok := elems[t.OID]
	if !ok {
		return T{}, false
	}
	return T{OID: e, Mod: t.Mod}, true
}

// ArrayOf gives the type of arrays of t; false where there is none.
func (t T) ArrayOf() (T, bool) {
	in := infoOf(t.OID)
	if in == nil || in.Array == 0 {
		return T{}, false
	}
	return T{OID: in.Array, Mod: t.Mod}, true
}

// Name gives pg_type.typname.
func (t T) Name() string {
	if in := infoOf(t.OID); in != nil {
		return in.Name
	}
	return "oid" + strconv.FormatUint(uint64(t.OID), 10)
}

// Collatable reports whether values of t are texts, or arrays of texts, which COLLATE may follow.
func (t T) Collatable() bool {
	if e, ok := t.Elem(); ok {
		t = e
	}
	return t.Category() == 'S'
}

// Category gives pg_type.typcategory: N numeric, S string, D date/time, T timespan, B boolean, A array, U user, P pseudo, X unknown.
func (t T) Category() byte {
	if in := infoOf(t.OID); in != nil {
		return in.Category
	}
	return 'U'
}

// Preferred reports whether t is the preferred type of its category.
func (t T) Preferred() bool { in := infoOf(t.OID); return in != nil && in.Preferred }

// IsPseudo reports whether t is a pseudo-type (any, record, void, ...).
func (t T) IsPseudo() bool { in := infoOf(t.OID); return in != nil && in.Type == 'p' }

// Bare gives t without its modifier.
func (t T) Bare() T { t.Mod = -1; return t }

// NumericMod packs precision and scale as PostgreSQL does.
func NumericMod(precision, scale int) int32 { return int32(precision<<16|scale&0x7ff) + 4 }

// NumericPrecScale unpacks a numeric modifier; ok is false where there is none.
func NumericPrecScale(mod int32) (precision, scale int, ok bool) {
	if mod < 4 {
		return 0, 0, false
	}
	m := mod - 4
	s := int(m & 0x7ff)
	if s >= 1024 {
		s -= 2048
	}
	return int(m >> 16 & 0xffff), s, true
}

// Format gives the type with its modifier, as format_type(oid, mod) does.
func (t T) Format() string {
	in := infoOf(t.OID)
	if in == nil {
		return "???"
	}
	if e, ok := t.Elem(); ok && strings.HasPrefix(in.Name, "_") {
		return e.Format() + "[]"
	}
	if t.Mod < 0 {
		return in.Format
	}
	switch t.OID {
	case OIDVarchar, OIDBpchar:
		return fmt.Sprintf("%s(%d)", in.Format, t.Mod-4)
	case OIDNumeric:
		if p, s, ok := NumericPrecScale(t.Mod); ok {
			return fmt.Sprintf("numeric(%d,%d)", p, s)
		}
	case OIDTimestamp, OIDTimestamptz, OIDTime, OIDTimetz:
		head, tail, _ := strings.Cut(in.Format, " ")
		return fmt.Sprintf("%s(%d) %s", head, t.Mod, tail)
	case OIDBit, OIDVarbit:
		return fmt.Sprintf("%s(%d)", in.Format, t.Mod)
	case OIDInterval:
		if p := t.Mod & 0xffff; p != 0xffff {
			return fmt.Sprintf("interval(%d)", p)
		}
	}
	return in.Format
}
