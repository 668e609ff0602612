package planner

import (
	"errors"
	"strconv"
	"strings"

	"streamsql/catalog"
	"streamsql/internal/fn"
	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/sql/parser/ast"
)

// ResolveType gives the type that a name means (42704 where there is none, 22023 for bad modifiers).
func ResolveType(tn ast.TypeName, cat *catalog.Snapshot) (types.T, error) {
	name := tn.Name.Base()
	schema := tn.Name.Schema()
	notFound := func() error {
		s := tn.Name.String() + strings.Repeat("[]", min(tn.Array, 1))
		if schema != "" && cat != nil {
			if _, ok := cat.SchemaOID(schema); !ok {
				return pgerr.New(pgerr.InvalidSchemaName, "schema \"%s\" does not exist", schema).At(tn.Pos)
			}
		}
		return pgerr.New(pgerr.UndefinedObject, "type \"%s\" does not exist", s).At(tn.Pos)
	}
	if schema != "" && schema != "pg_catalog" {
		if schema != "information_schema" && cat != nil && (cat.FindType(schema, name, nil) != nil || cat.FindRow(schema, name, nil) != nil) {
			return userType(tn, cat, notFound)
		}
		if schema != "information_schema" {
			return types.T{}, notFound()
		}
		switch name { // the domains of information_schema
		case "sql_identifier":
			name = "name"
		case "cardinal_number":
			name = "int4"
		case "character_data", "yes_or_no":
			name = "varchar"
		case "time_stamp":
			name = "timestamptz"
		}
	}
	t, ok := types.Lookup(name)
	if !ok {
		return userType(tn, cat, notFound)
	}
	var mods []int
	for _, m := range tn.Mods {
		neg := false
		if u, ok := m.(*ast.Unary); ok && u.Op == "-" {
			neg, m = true, u.X
		}
		l, ok := m.(*ast.Literal)
		if !ok {
			return t, pgerr.New(pgerr.SyntaxError, "type modifiers must be simple constants or identifiers").At(tn.Pos)
		}
		n, err := strconv.Atoi(l.Text)
		if err != nil {
			return t, pgerr.New(pgerr.InvalidTextRepresentation, "invalid input syntax for type integer: \"%s\"", l.Text).At(tn.Pos)
		}
		if neg {
			n = -n
		}
		mods = append(mods, n)
	}
	bad := func(format string, args ...any) (types.T, error) {
		return t, pgerr.New(pgerr.InvalidParameterValue, format, args...).At(tn.Pos)
	}
	switch {
	case t.OID == types.OIDInterval:
		p := -1
		if len(mods) > 0 {
			if p = mods[0]; p < 0 {
				return bad("INTERVAL(%d) precision must not be negative", p)
			}
			p = min(p, 6)
		}
		mod, ok := types.IntervalMod(strings.ToUpper(tn.Fields), p)
		if !ok {
			return bad("invalid INTERVAL type modifier")
		}
		t.Mod = mod
	case len(mods) == 0:
	case t.OID == types.OIDVarchar || t.OID == types.OIDBpchar:
		switch {
		case len(mods) > 1:
			return bad("invalid type modifier")
		case mods[0] < 1:
			return bad("length for type %s must be at least 1", name)
		case mods[0] > 10485760:
			return bad("length for type %s cannot exceed 10485760", name)
		}
		t.Mod = int32(mods[0]) + 4
	case t.OID == types.OIDBit || t.OID == types.OIDVarbit:
		if len(mods) > 1 {
			return bad("invalid type modifier")
		}
		if mods[0] < 1 {
			return bad("length for type %s must be at least 1", name)
		}
		t.Mod = int32(mods[0])
	case t.OID == types.OIDNumeric:
		scale := 0
		if len(mods) == 2 {
			scale = mods[1]
		}
		switch {
		case len(mods) > 2:
			return bad("invalid NUMERIC type modifier")
		case mods[0] < 1 || mods[0] > 1000:
			return bad("NUMERIC precision %d must be between 1 and 1000", mods[0])
		case scale < -1000 || scale > 1000:
			return bad("NUMERIC scale %d must be between -1000 and 1000", scale)
		}
		t.Mod = types.NumericMod(mods[0], scale)
	case t.OID == types.OIDTimestamp || t.OID == types.OIDTimestamptz || t.OID == types.OIDTime || t.OID == types.OIDTimetz:
		if len(mods) > 1 {
			return bad("invalid type modifier")
		}
		if mods[0] < 0 {
			return bad("%s(%d) precision must not be negative", strings.ToUpper(name), mods[0])
		}
		t.Mod = int32(min(mods[0], 6))
	default:
		return t, pgerr.New(pgerr.SyntaxError, "type modifier is not allowed for type \"%s\"", name).At(tn.Pos)
	}
	if tn.Array > 0 {
		a, ok := t.ArrayOf()
		if !ok {
			return t, notFound()
		}
		return a, nil
	}
	return t, nil
}

// unknown reports whether e is a literal or parameter whose type is still open.
func unknown(e Expr) bool { return e.Type().OID == types.OIDUnknown }

// coerce converts e to type to where ctx allows it, else ok is false. Literals of
// unknown type are read by the input function of the type, parameters take it on.
func (b *binder) coerce(e Expr, to types.T, ctx fn.CastContext, pos int) (out Expr, ok bool, err error) {
	from := e.Type()
	if from == to || to.Is(types.Any) || to.Is(types.Void) {
		return e, true, nil
	}
	explicit := ctx == fn.Explicit
	if from.OID == types.OIDUnknown && to.OID == types.OIDUnknown {
		return e, true, nil
	}
	if from.OID == types.OIDUnknown {
		switch x := e.(type) {
		case *Const:
			return b.readLiteral(x, to, explicit, pos)
		case *Param:
			if to.IsPseudo() {
				to = types.Text
			}
			b.params.set(x.N, to.Bare())
			p := &Param{x.N, to.Bare()}
			if to.Mod >= 0 {
				return b.coerce(p, to, ctx, pos)
			}
			return p, true, nil
		}
	}
	if from.OID == to.OID {
		if to.Mod < 0 || from.Mod == to.Mod {
			if to.Rec != nil && from.Rec == nil {
				return &Cast{X: e, To: to, Pos: pos}, true, nil
			}
			return e, true, nil
		}
		return &Cast{e, to, fn.FindCast(from, to), explicit, pos}, true, nil
	}
	if from.OID == types.OIDRecord && to.IsComposite() {
		return b.rowTo(e, to, ctx, pos)
	}
	if from.IsComposite() && to.OID == types.OIDRecord {
		return e, true, nil // the type says what the fields are
	}
	if !fn.CanCoerce(from, to, ctx) {
		return nil, false, nil
	}
	if to.IsPseudo() && to.OID != types.OIDRecord && to.OID != types.OIDCstring && to.OID != types.OIDUnknown {
		return e, true, nil
	}
	c := fn.FindCast(from, to)
	if c == nil {
		return nil, false, nil
	}
	return &Cast{e, to, c, explicit, pos}, true, nil
}

// rowTo converts a row to a composite type, field by field.
func (b *binder) rowTo(e Expr, to types.T, ctx fn.CastContext, pos int) (Expr, bool, error) {
	have, want := e.Type().Record(), to.Record()
	if have == nil || len(have.Types) != len(want.Types) {
		return nil, false, nil
	}
	r := &Row{Typ: to}
	for i, t := range want.Types {
		x, ok, err := b.coerce(fieldOf(e, i), t, ctx, pos)
		if err != nil || !ok {
			return nil, false, err
		}
		r.Elems = append(r.Elems, x)
	}
	return r, true, nil
}

func (b *binder) readLiteral(x *Const, to types.T, explicit bool, pos int) (Expr, bool, error) {
	if x.Val == nil {
		return &Const{nil, to}, true, nil
	}
	s := x.Val.(string)
	if isReg(to) && s != "-" && strings.Trim(s, "0123456789") != "" {
		return &Cast{&Const{s, types.Text}, to, fn.FindCast(types.Text, to), explicit, pos}, true, nil
	}
	if to.IsPseudo() {
		if to.OID == types.OIDRecord {
			return nil, false, pgerr.New(pgerr.FeatureNotSupported, "input of anonymous composite types is not implemented").At(pos)
		}
		return &Const{s, types.Text}, true, nil
	}
	in := to
	if to.OID != types.OIDInterval {
		in = to.Bare()
	}
	d, err := types.ParseText(b.o.Env, in, s)
	if err == nil && to.Mod >= 0 && to.OID != types.OIDInterval {
		if to.IsArray() {
			d, err = types.ParseText(b.o.Env, to, s)
		} else {
			d, err = types.ApplyMod(to, d, explicit)
		}
	}
	if err != nil {
		return nil, false, pgerr.AtPos(err, pos)
	}
	return &Const{d, to}, true, nil
}

// mustCoerce is coerce where the caller's resolution has shown that it works.
func (b *binder) mustCoerce(e Expr, to types.T, ctx fn.CastContext, pos int) (Expr, error) {
	x, ok, err := b.coerce(e, to, ctx, pos)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, pgerr.New(pgerr.CannotCoerce, "cannot cast type %s to %s", e.Type().Bare().Format(), to.Bare().Format()).At(pos)
	}
	return x, nil
}

// toBool demands a boolean for a clause ("WHERE", "CASE/WHEN", ...).
func (b *binder) toBool(e Expr, clause string, pos int) (Expr, error) {
	x, ok, err := b.coerce(e, types.Bool, fn.Implicit, pos)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, pgerr.New(pgerr.DatatypeMismatch, "argument of %s must be type boolean, not type %s", clause, e.Type().Bare().Format()).At(pos)
	}
	return x, nil
}

// assign converts e to the type of a table's column.
func (b *binder) assign(e Expr, to types.T, column string, pos int) (Expr, error) {
	x, ok, err := b.coerce(e, to, fn.Assignment, pos)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, pgerr.New(pgerr.DatatypeMismatch, "column \"%s\" is of type %s but expression is of type %s",
			column, to.Bare().Format(), e.Type().Bare().Format()).
			WithHint("You will need to rewrite or cast the expression.").At(pos)
	}
	return x, nil
}

// common brings expressions to one type for a construct ("CASE", "UNION", "IN", ...).
func (b *binder) common(es []Expr, construct string, pos []int) (types.T, error) {
	ts := make([]types.T, len(es))
	for i, e := range es {
		ts[i] = e.Type()
	}
	t, err := b.commonType(ts, construct, pos)
	if err != nil {
		return t, err
	}
	for i, e := range es {
		p := 0
		if i < len(pos) {
			p = pos[i]
		}
		x, ok, err := b.coerce(e, t, fn.Implicit, p)
		if err != nil {
			return t, err
		}
		if !ok {
			return t, pgerr.New(pgerr.CannotCoerce, "%s could not convert type %s to %s", construct, e.Type().Bare().Format(), t.Bare().Format()).At(p)
		}
		es[i] = x
	}
	return t, nil
}

func (b *binder) commonType(ts []types.T, construct string, pos []int) (types.T, error) {
	t, err := fn.SelectCommonType(ts)
	if err == nil {
		return t, nil
	}
	var ce *fn.CommonTypeError
	if errors.As(err, &ce) {
		pe := ce.For(construct)
		for i := range ts {
			if i < len(pos) && ts[i].OID == ce.B.OID {
				return t, pe.At(pos[i])
			}
		}
		return t, pe
	}
	return t, err
}

// paramTypes are the types of $1, $2, ..: declared or inferred from their first use.
type paramTypes struct{ ts []types.T }

func (p *paramTypes) get(n int) types.T {
	for len(p.ts) < n {
		p.ts = append(p.ts, types.Unknown)
	}
	if p.ts[n-1].OID == 0 {
		p.ts[n-1] = types.Unknown
	}
	return p.ts[n-1]
}

func (p *paramTypes) set(n int, t types.T) {
	if p.get(n).OID == types.OIDUnknown {
		p.ts[n-1] = t
	}
}
