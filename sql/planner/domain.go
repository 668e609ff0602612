package planner

import (
	"cmp"
	"slices"

	"streamsql/catalog"
	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/internal/vec"
	"streamsql/sql/parser"
	"streamsql/sql/parser/ast"
)

// Guard is what the values of a type must meet because of domains: that the type is one, or that its elements or fields are of one.
type Guard struct {
	// Null is the error of a NULL, nil where one is allowed.
	Null error
	// Checks are the conditions on a value. They read it as column 0, of type Typ.
	Checks []DomainCheck
	Typ    types.T
	// Elem is of the elements of an array, Fields of the columns of a row; nil where anything goes.
	Elem   *Guard
	Fields []*Guard
}

// DomainCheck is a condition on the values of a domain: Cond false is Err.
type DomainCheck struct {
	Cond Expr
	Err  error
}

// Guarded is X, or the error of the guard that it does not meet.
type Guarded struct {
	X     Expr
	Guard *Guard
}

// Type implements Expr.
func (e *Guarded) Type() types.T { return e.X.Type() }

// GuardOf gives what the values of a column or cast must meet: declared is the OID of the domain, or of the array of a domain, that it was declared
// with, 0 of another type, and t its base type. It is nil where no domain is in the type.
func GuardOf(declared uint32, t types.T, o *Options) (*Guard, error) {
	return guardOf(declared, t, "", o)
}

// guardOf is GuardOf; name is that of the domain whose base is asked for, which the errors name.
func guardOf(declared uint32, t types.T, name string, o *Options) (*Guard, error) {
	if o.Catalog == nil || declared == 0 && !t.IsArray() && !t.IsComposite() {
		return nil, nil
	}
	if u := o.Catalog.TypeByOID(declared); u != nil {
		if name == "" {
			name = u.Name
		}
		g, err := guardOf(u.Over, u.Base, name, o)
		if err != nil {
			return nil, err
		}
		if g == nil {
			g = &Guard{Typ: u.Base}
		}
		if u.NotNull {
			g.Null = pgerr.New(pgerr.NotNullViolation, "domain %s does not allow null values", name)
		}
		checks := slices.Clone(u.Checks)
		slices.SortFunc(checks, func(a, b *catalog.Constraint) int { return cmp.Compare(a.Name, b.Name) })
		for _, c := range checks {
			cond, err := DomainCondition(c, u.Base, o)
			if err != nil {
				return nil, err
			}
			e := pgerr.New(pgerr.CheckViolation, "value for domain %s violates check constraint \"%s\"", name, c.Name)
			e.Constraint = c.Name
			g.Checks = append(g.Checks, DomainCheck{cond, e})
		}
		if g.Null == nil && g.Checks == nil && g.Elem == nil && g.Fields == nil {
			return nil, nil
		}
		return g, nil
	}
	if elem, ok := t.Elem(); ok {
		of := uint32(0)
		if d := o.Catalog.TypeOfArray(declared); d != nil {
			of = d.OID
		}
		g, err := guardOf(of, elem, "", o)
		if g == nil || err != nil {
			return nil, err
		}
		return &Guard{Typ: t, Elem: g}, nil
	}
	u := o.Catalog.TypeByOID(t.OID)
	if u == nil || u.Kind != 'c' {
		return nil, nil
	}
	var out *Guard
	for i, a := range u.Attrs {
		g, err := guardOf(a.Domain, a.Type, "", o)
		if err != nil {
			return nil, err
		}
		if g != nil {
			if out == nil {
				out = &Guard{Typ: t, Fields: make([]*Guard, len(u.Attrs))}
			}
			out.Fields[i] = g
		}
	}
	return out, nil
}

// DomainCondition binds the condition of a domain over column 0, its value of type base.
func DomainCondition(c *catalog.Constraint, base types.T, o *Options) (Expr, error) {
	e, err := parser.ParseExpr(c.Expr)
	if err != nil {
		return nil, unplaced(err)
	}
	cond, err := BindScalar(e, []vec.Field{{Name: "value", Type: base}}, types.Bool, o)
	if err != nil {
		return nil, unplaced(err)
	}
	return cond, nil
}

// guarded gives x with the checks of the domains in its type.
func (b *binder) guarded(x Expr, declared uint32) (Expr, error) {
	g, err := GuardOf(declared, x.Type(), b.o)
	if g == nil || err != nil {
		return x, err
	}
	return &Guarded{X: x, Guard: g}, nil
}

// guardedPopulate holds what json_populate_record gives against the domains of its type.
func (b *binder) guardedPopulate(x Expr) (Expr, error) {
	if c, ok := x.(*Call); ok && isPopulate(c.Fn.Name) {
		return b.guarded(x, 0)
	}
	return x, nil
}

// guardedRows holds what json_populate_recordset and its kind give, as the columns of t, against the domains of the type that they fill.
func (b *binder) guardedRows(tf *lTableFunc, t *table) (lrel, error) {
	if !isPopulate(tf.fn.Name) || len(tf.args) == 0 {
		return tf, nil
	}
	g, err := GuardOf(0, tf.args[0].Type(), b.o)
	if g == nil || err != nil {
		return tf, err
	}
	p := &lProject{in: tf}
	for i, id := range tf.ids {
		x := Expr(b.col(id))
		if i < len(g.Fields) && g.Fields[i] != nil {
			x = &Guarded{X: x, Guard: g.Fields[i]}
		}
		to := b.newCol(b.cols[id].name, x.Type())
		b.cols[to].qual = b.cols[id].qual
		p.items = append(p.items, projItem{to, x})
		t.cols[i].id = to
	}
	if tf.ord >= 0 {
		p.items = append(p.items, projItem{tf.ord, b.col(tf.ord)})
	}
	return p, nil
}

// ResolveColumnType is ResolveType for what may also be a domain or an array of one: then the type is its base type, and domain the OID of what is
// named.
func ResolveColumnType(tn ast.TypeName, cat *catalog.Snapshot, path []string) (t types.T, domain uint32, err error) {
	if cat != nil {
		if u := cat.FindType(tn.Name.Schema(), tn.Name.Base(), path); u != nil && u.Kind == 'd' {
			if tn.Array == 0 {
				return u.Base, u.OID, nil
			}
			if a, ok := u.Base.ArrayOf(); ok {
				return a, u.ArrayOID, nil
			}
			return t, 0, pgerr.New(pgerr.FeatureNotSupported, "an array of a domain over an array is not supported").At(tn.Pos)
		}
	}
	t, err = ResolveType(tn, cat)
	return t, 0, err
}
