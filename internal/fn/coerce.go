package fn

import (
	"sync"

	"streamsql/internal/pgerr"
	"streamsql/internal/types"
)

// Casts that pg_cast does not list (by text, of arrays, of one type to itself) are made once and kept.
var (
	derivedMu sync.RWMutex
	derived   = map[[2]uint32]*Cast{}
)

// FindCast gives the cast from one type to another, modifiers aside; nil where
// PostgreSQL has none. Besides pg_cast these are: a type to itself (for its
// modifier), any type to the string types (assignment), the string types to any
// (explicit), arrays by their elements, and unknown literals to anything (implicit).
func FindCast(from, to types.T) *Cast {
	key := [2]uint32{from.OID, to.OID}
	if c := casts[key]; c != nil {
		return c
	}
	derivedMu.RLock()
	c, ok := derived[key]
	derivedMu.RUnlock()
	if ok {
		return c
	}
	c = derive(from.Bare(), to.Bare())
	derivedMu.Lock()
	derived[key] = c
	derivedMu.Unlock()
	return c
}

func derive(from, to types.T) *Cast {
	c := &Cast{From: from, To: to, Context: Implicit}
	switch {
	case from.OID == to.OID:
		c.Binary = true
		return c
	case to.Is(types.Any) || to.Is(types.Void):
		c.Binary = true
		return c
	case from.IsComposite() && to.Is(types.AnyRecord):
		c.Binary = true
		return c
	case from.Is(types.Unknown):
		c.Kernel = fromText(to)
		return c
	case to.IsPseudo() && !to.Is(types.AnyRecord) && to.OID != types.OIDCstring:
		return nil
	}
	fe, fa := from.Elem()
	te, ta := to.Elem()
	if fa && ta && to.OID != types.OIDInt2Vector && to.OID != types.OIDOidVector {
		e := FindCast(fe, te)
		if e == nil {
			return nil
		}
		c.Context = e.Context
		c.Kernel = castArray(from, e, te)
		return c
	}
	switch {
	case to.Category() == 'S' || to.OID == types.OIDCstring:
		c.Context = Assignment
		c.Kernel = toText(from)
		return c
	case from.Category() == 'S' || from.OID == types.OIDCstring:
		c.Context = Explicit
		c.Kernel = fromText(to)
		return c
	}
	return nil
}

func permits(have, want CastContext) bool {
	switch want {
	case Explicit:
		return true
	case Assignment:
		return have != Explicit
	}
	return have == Implicit
}

// CanCoerce reports whether a value of type from becomes one of type to in a
// context: Implicit in expressions, Assignment into columns, Explicit by CAST.
func CanCoerce(from, to types.T, ctx CastContext) bool {
	if from.OID == to.OID || isPoly(to) || to.Is(types.Any) || from.Is(types.AnyRecord) && to.IsComposite() {
		return true
	}
	c := FindCast(from, to)
	return c != nil && permits(c.Context, ctx)
}

// CommonTypeError says that two types have no common one. Error names no
// construct; For does.
type CommonTypeError struct {
	A, B types.T
	// Convert says that they are of one category, and A does not convert to B.
	Convert bool
}

// For gives the error as PostgreSQL words it for a construct: "UNION types integer and text cannot be matched" (42804).
func (e *CommonTypeError) For(construct string) *pgerr.Error {
	if e.Convert {
		return pgerr.New(pgerr.CannotCoerce, "%s could not convert type %s to %s", construct, e.A.Bare().Format(), e.B.Bare().Format())
	}
	return pgerr.New(pgerr.DatatypeMismatch, "%s types %s and %s cannot be matched", construct, e.A.Bare().Format(), e.B.Bare().Format())
}

func (e *CommonTypeError) Error() string { return e.Unwrap().Error() }

// Unwrap gives the error without a construct's name.
func (e *CommonTypeError) Unwrap() error {
	return pgerr.New(pgerr.DatatypeMismatch, "types %s and %s cannot be matched", e.A.Bare().Format(), e.B.Bare().Format())
}

// SelectCommonType gives the type that UNION, CASE, VALUES, ARRAY and their kind
// bring all of ts to (manual 10.5). The error is a *CommonTypeError, whose For
// takes the construct's name. The modifier is kept where all agree.
func SelectCommonType(ts []types.T) (types.T, error) {
	if len(ts) == 0 {
		return types.Text, nil
	}
	same := true
	for _, t := range ts[1:] {
		same = same && t == ts[0]
	}
	if same && !ts[0].Is(types.Unknown) {
		return ts[0], nil
	}
	best := types.Unknown
	for _, t := range ts {
		switch {
		case t.Is(types.Unknown) || t.OID == best.OID:
		case best.Is(types.Unknown):
			best = t
		case t.Category() != best.Category():
			return types.T{}, &CommonTypeError{best, t, false}
		case !best.Preferred() && CanCoerce(best, t, Implicit) && !CanCoerce(t, best, Implicit):
			best = t
		}
	}
	if best.Is(types.Unknown) {
		return types.Text, nil
	}
	for _, t := range ts {
		if t.OID != best.OID || t.Mod != best.Mod {
			best.Mod = -1
		}
		if !CanCoerce(t, best, Implicit) {
			return types.T{}, &CommonTypeError{t, best, true}
		}
	}
	return best, nil
}
