package types

import (
	"encoding/hex"
	"maps"
	"math"
	"slices"
	"sync"
	"sync/atomic"

	"streamsql/internal/pgerr"
)

// firstUserOID is the first OID that what users make can have.
const firstUserOID = 16384

// Enum holds the labels of an enum type, in their order.
type Enum struct {
	Labels []string
	Orders []float32 // pg_enum.enumsortorder
}

// The types that users have made, of every database in the process: OIDs are taken from ReserveOIDs, so that none is another's.
var userTypes struct {
	sync.Mutex
	byOID atomic.Pointer[map[uint32]*Info]
	next  uint32
}

func infoOf(oid uint32) *Info {
	if oid < firstUserOID {
		return byOID[oid]
	}
	if m := userTypes.byOID.Load(); m != nil {
		return (*m)[oid]
	}
	return nil
}

// Register makes a type known, or known anew.
func Register(infos ...*Info) {
	userTypes.Lock()
	defer userTypes.Unlock()
	m := map[uint32]*Info{}
	if old := userTypes.byOID.Load(); old != nil {
		m = maps.Clone(*old)
	}
	for _, in := range infos {
		m[in.OID] = in
		userTypes.next = max(userTypes.next, in.OID+1)
	}
	userTypes.byOID.Store(&m)
}

// ReserveOIDs gives the first of n consecutive OIDs, at least from, that no type in the process has.
func ReserveOIDs(from, n uint32) uint32 {
	userTypes.Lock()
	defer userTypes.Unlock()
	oid := max(userTypes.next, from)
	userTypes.next = oid + n
	return oid
}

// EnumOf gives the labels of an enum type; nil of another type.
func EnumOf(t T) *Enum {
	if t.OID < firstUserOID {
		return nil
	}
	if in := infoOf(t.OID); in != nil {
		return in.Enum
	}
	return nil
}

// IsEnum reports whether t is an enum.
func (t T) IsEnum() bool { return EnumOf(t) != nil }

// A value of an enum is held as its place in the order, in enumPrefix characters that compare as the places do, and its label:
// so that values compare, hash and are kept as strings are, and are written without a look at the type.
const enumPrefix = 8

// EnumValue gives the i-th label as a value.
func (e *Enum) EnumValue(i int) string {
	bits := math.Float32bits(e.Orders[i])
	if bits>>31 != 0 {
		bits = ^bits
	} else {
		bits |= 1 << 31
	}
	b := []byte{byte(bits >> 24), byte(bits >> 16), byte(bits >> 8), byte(bits)}
	return hex.EncodeToString(b) + e.Labels[i]
}

// EnumLabel gives the label of a value.
func EnumLabel(v string) string {
	if len(v) < enumPrefix {
		return v
	}
	return v[enumPrefix:]
}

func enumLabel(t T, v []byte) []byte {
	if len(v) < enumPrefix || !t.IsEnum() {
		return v
	}
	return v[enumPrefix:]
}

// ParseEnum gives the value of a label (22P02).
func ParseEnum(t T, label string) (string, error) {
	e := EnumOf(t)
	if e != nil {
		if i := slices.Index(e.Labels, label); i >= 0 {
			return e.EnumValue(i), nil
		}
	}
	return "", pgerr.New(pgerr.InvalidTextRepresentation, "invalid input value for enum %s: \"%s\"", t.Name(), label)
}
