package planner

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"unsafe"

	"streamsql/internal/fn"
	"streamsql/internal/types"
)

// children calls f for each direct operand of e.
func children(e Expr, f func(Expr)) {
	list := func(es []Expr) {
		for _, x := range es {
			if x != nil {
				f(x)
			}
		}
	}
	switch e := e.(type) {
	case *Call:
		list(e.Args)
	case *Cast:
		f(e.X)
	case *And:
		list(e.Args)
	case *Or:
		list(e.Args)
	case *Not:
		f(e.X)
	case *IsNull:
		f(e.X)
	case *IsBool:
		f(e.X)
	case *IsDistinct:
		f(e.L)
		f(e.R)
	case *Case:
		for _, w := range e.Whens {
			f(w.Cond)
			f(w.Then)
		}
		if e.Else != nil {
			f(e.Else)
		}
	case *Coalesce:
		list(e.Args)
	case *MinMax:
		list(e.Args)
	case *In:
		f(e.X)
		list(e.List)
	case *AnyArray:
		f(e.X)
		f(e.Array)
	case *Array:
		list(e.Elems)
	case *Row:
		list(e.Elems)
	case *Field:
		f(e.X)
	case *Guarded:
		f(e.X)
	case *Subscript:
		f(e.X)
		list(e.Subs)
		list(e.Upper)
	case *subquery:
		list(e.test)
	}
}

// walkExpr visits e and its operands, parents first, while f returns true.
func walkExpr(e Expr, f func(Expr) bool) {
	if e == nil || !f(e) {
		return
	}
	children(e, func(x Expr) { walkExpr(x, f) })
}

// mapExpr rebuilds e bottom up: f is given each node with its operands already
// mapped and returns what stands in its place. Unchanged parts are shared.
func mapExpr(e Expr, f func(Expr) Expr) Expr {
	if e == nil {
		return nil
	}
	return f(mapChildren(e, func(x Expr) Expr { return mapExpr(x, f) }))
}

// replaceExpr replaces whole subexpressions, from the top: f returns nil to go on with the operands.
func replaceExpr(e Expr, f func(Expr) Expr) Expr {
	if e == nil {
		return nil
	}
	if x := f(e); x != nil {
		return x
	}
	return mapChildren(e, func(x Expr) Expr { return replaceExpr(x, f) })
}

// mapChildren applies f to the direct operands of e; e itself is returned where none changes.
func mapChildren(e Expr, f func(Expr) Expr) Expr {
	changed := false
	one := func(x Expr) Expr {
		if x == nil {
			return nil
		}
		y := f(x)
		changed = changed || y != x
		return y
	}
	list := func(es []Expr) []Expr {
		if es == nil {
			return nil
		}
		out := make([]Expr, len(es))
		for i, x := range es {
			out[i] = one(x)
		}
		return out
	}
	n := e
	switch e := e.(type) {
	case *Call:
		c := *e
		c.Args = list(e.Args)
		n = &c
	case *Cast:
		c := *e
		c.X = one(e.X)
		n = &c
	case *And:
		n = &And{list(e.Args)}
	case *Or:
		n = &Or{list(e.Args)}
	case *Not:
		n = &Not{one(e.X)}
	case *IsNull:
		n = &IsNull{one(e.X), e.Not}
	case *IsBool:
		n = &IsBool{one(e.X), e.Want, e.Not}
	case *IsDistinct:
		n = &IsDistinct{one(e.L), one(e.R), e.Not}
	case *Case:
		c := &Case{Typ: e.Typ}
		for _, w := range e.Whens {
			c.Whens = append(c.Whens, When{one(w.Cond), one(w.Then)})
		}
		c.Else = one(e.Else)
		n = c
	case *Coalesce:
		n = &Coalesce{list(e.Args), e.Typ}
	case *MinMax:
		n = &MinMax{list(e.Args), e.Greatest, e.Typ}
	case *In:
		c := *e
		c.X, c.List = one(e.X), list(e.List)
		n = &c
	case *AnyArray:
		c := *e
		c.X, c.Array = one(e.X), one(e.Array)
		n = &c
	case *Array:
		n = &Array{list(e.Elems), e.Typ, e.Pos}
	case *Row:
		n = &Row{list(e.Elems), e.Typ}
	case *Field:
		n = &Field{one(e.X), e.Index, e.Typ}
	case *Guarded:
		n = &Guarded{one(e.X), e.Guard}
	case *Subscript:
		c := *e
		c.X, c.Subs, c.Upper = one(e.X), list(e.Subs), list(e.Upper)
		n = &c
	case *subquery:
		c := *e
		c.test = list(e.test)
		n = &c
	}
	if !changed {
		return e
	}
	return n
}

// idset is a set of column ids.
type idset map[int]bool

func setOf(ids ...int) idset {
	s := make(idset, len(ids))
	for _, i := range ids {
		s[i] = true
	}
	return s
}

func (s idset) addAll(ids []int) {
	for _, i := range ids {
		s[i] = true
	}
}

func (s idset) union(t idset) {
	for i := range t {
		s[i] = true
	}
}

func (s idset) clone() idset {
	c := make(idset, len(s))
	c.union(s)
	return c
}

func (s idset) intersects(t idset) bool {
	for i := range s {
		if t[i] {
			return true
		}
	}
	return false
}

func (s idset) subsetOf(t idset) bool {
	for i := range s {
		if !t[i] {
			return false
		}
	}
	return true
}

// addRefs adds the columns that e refers to, those that its subqueries take from outside included.
func (s idset) addRefs(e Expr) {
	walkExpr(e, func(x Expr) bool {
		switch x := x.(type) {
		case *Column:
			s[x.Index] = true
		case *subquery:
			in := freeCols(x.rel)
			for _, t := range x.test {
				in.addRefs(t)
			}
			for _, id := range x.outs {
				delete(in, id)
			}
			s.union(in)
			return false
		}
		return true
	})
}

func refs(es ...Expr) idset {
	s := idset{}
	for _, e := range es {
		s.addRefs(e)
	}
	return s
}

// substitute replaces columns by expressions.
func substitute(e Expr, m map[int]Expr) Expr {
	if len(m) == 0 {
		return e
	}
	return mapExpr(e, func(x Expr) Expr {
		switch x := x.(type) {
		case *Column:
			if y, ok := m[x.Index]; ok {
				return y
			}
		case *subquery:
			if len(m) > 0 && refersTo(freeCols(x.rel), m) {
				c := *x
				c.rel = substituteRel(x.rel, m)
				return &c
			}
		}
		return x
	})
}

func refersTo(s idset, m map[int]Expr) bool {
	for i := range m {
		if s[i] {
			return true
		}
	}
	return false
}

// exprKey is equal for expressions that compute the same (columns by id).
func exprKey(e Expr) string {
	var b strings.Builder
	writeKey(&b, e)
	return b.String()
}

// ConstKey gives a text that is equal for equal values of one type. That of a long value is its digest: keys are made, kept and
// compared often.
func ConstKey(d types.Datum) string {
	const long = 1024
	s, ok := d.(string)
	if !ok || len(s) <= long {
		return fmt.Sprint(d)
	}
	sum := sha256.Sum256(unsafe.Slice(unsafe.StringData(s), len(s)))
	return fmt.Sprintf("%d bytes: %x", len(s), sum)
}

func writeKey(b *strings.Builder, e Expr) {
	if e == nil {
		b.WriteString("~")
		return
	}
	list := func(name string, es ...Expr) {
		b.WriteString(name)
		b.WriteByte('(')
		for i, x := range es {
			if i > 0 {
				b.WriteByte(',')
			}
			writeKey(b, x)
		}
		b.WriteByte(')')
	}
	switch e := e.(type) {
	case *Column:
		fmt.Fprintf(b, "#%d", e.Index)
	case *Const:
		fmt.Fprintf(b, "%T%q:%d/%d", e.Val, ConstKey(e.Val), e.Typ.OID, e.Typ.Mod)
	case *Param:
		fmt.Fprintf(b, "$%d", e.N)
	case *Call:
		list(fmt.Sprintf("%s.%s/%v/%d/%d", e.Fn.Schema, e.Fn.Name, e.Fn.IsOp, e.Fn.OID, e.Typ.OID), e.Args...)
	case *Cast:
		list(fmt.Sprintf("cast%d/%d/%v", e.To.OID, e.To.Mod, e.Explicit), e.X)
	case *And:
		list("and", e.Args...)
	case *Or:
		list("or", e.Args...)
	case *Not:
		list("not", e.X)
	case *IsNull:
		list(fmt.Sprintf("isnull%v", e.Not), e.X)
	case *IsBool:
		list(fmt.Sprintf("isbool%v%v", e.Want, e.Not), e.X)
	case *IsDistinct:
		list(fmt.Sprintf("distinct%v", e.Not), e.L, e.R)
	case *Case:
		var es []Expr
		for _, w := range e.Whens {
			es = append(es, w.Cond, w.Then)
		}
		list("case", append(es, e.Else)...)
	case *Coalesce:
		list("coalesce", e.Args...)
	case *MinMax:
		list(fmt.Sprintf("minmax%v", e.Greatest), e.Args...)
	case *In:
		list(fmt.Sprintf("in%v", e.Not), append([]Expr{e.X}, e.List...)...)
	case *AnyArray:
		list(fmt.Sprintf("any%s%v", e.Op.Name, e.All), e.X, e.Array)
	case *Array:
		list(fmt.Sprintf("array%d", e.Typ.OID), e.Elems...)
	case *Row:
		list("row", e.Elems...)
	case *Field:
		list(fmt.Sprintf("field%d", e.Index), e.X)
	case *Guarded:
		list(fmt.Sprintf("guard%p", e.Guard), e.X)
	case *Subscript:
		list(fmt.Sprintf("sub%v%d", e.Slice, len(e.Subs)), append(append([]Expr{e.X}, e.Subs...), e.Upper...)...)
	case *subquery:
		list(fmt.Sprintf("query%p", e), e.test...)
	default:
		fmt.Fprintf(b, "?%p", e)
	}
}

// sameExpr reports whether a and b compute the same.
func sameExpr(a, b Expr) bool { return !differ(a, b) && exprKey(a) == exprKey(b) }

// differ reports whether a and b are seen not to be the same without their keys: nearly all pairs that are compared are.
func differ(a, b Expr) bool {
	list := func(x, y []Expr) bool {
		return !slices.EqualFunc(x, y, func(a, b Expr) bool { return !differ(a, b) })
	}
	switch x := a.(type) {
	case *Column:
		y, ok := b.(*Column)
		return !ok || x.Index != y.Index
	case *Const:
		y, ok := b.(*Const)
		if !ok || x.Typ.OID != y.Typ.OID {
			return true
		}
		switch v := x.Val.(type) {
		case string:
			w, ok := y.Val.(string)
			return !ok || v != w
		case int32:
			w, ok := y.Val.(int32)
			return !ok || v != w
		case int64:
			w, ok := y.Val.(int64)
			return !ok || v != w
		}
	case *Call:
		y, ok := b.(*Call)
		return !ok || x.Fn.Name != y.Fn.Name || x.Typ.OID != y.Typ.OID || list(x.Args, y.Args)
	case *Cast:
		y, ok := b.(*Cast)
		return !ok || x.To.OID != y.To.OID || differ(x.X, y.X)
	case *And:
		y, ok := b.(*And)
		return !ok || list(x.Args, y.Args)
	case *Or:
		y, ok := b.(*Or)
		return !ok || list(x.Args, y.Args)
	case *Case:
		y, ok := b.(*Case)
		return !ok || !slices.EqualFunc(x.Whens, y.Whens, func(v, w When) bool { return !differ(v.Cond, w.Cond) && !differ(v.Then, w.Then) })
	}
	return false
}

// volatileExpr reports whether e may give another value when it is evaluated again.
func volatileExpr(e Expr) bool {
	found := false
	walkExpr(e, func(x Expr) bool {
		if c, ok := x.(*Call); ok && c.Fn.Volatility == fn.Volatile {
			found = true
		}
		return !found
	})
	return found
}

// constantExpr reports whether e has one value in all rows of a statement.
func constantExpr(e Expr) bool {
	ok := true
	walkExpr(e, func(x Expr) bool {
		switch x := x.(type) {
		case *Column, *subquery:
			ok = false
		case *Call:
			ok = ok && x.Fn.Volatility != fn.Volatile
		}
		return ok
	})
	return ok
}

// foldable reports whether e can be computed while planning.
func foldable(e Expr) bool {
	ok := true
	walkExpr(e, func(x Expr) bool {
		switch x := x.(type) {
		case *Column, *subquery, *Param:
			ok = false
		case *Call:
			ok = ok && x.Fn.Volatility == fn.Immutable && x.Fn.Set == nil
		case *Cast:
			ok = ok && !dependsOnSettings(x.X.Type(), x.To)
		}
		return ok
	})
	return ok
}

// dependsOnSettings says of a cast that its result may change with the session's settings, so that
// it must not be folded into a plan that outlives them.
func dependsOnSettings(from, to types.T) bool {
	tz := func(t types.T) bool { return t.OID == types.OIDTimestamptz || t.OID == types.OIDTimetz }
	date := func(t types.T) bool { return t.Category() == 'D' || t.Category() == 'T' }
	return tz(from) != tz(to) && (date(from) && date(to)) || date(from) && to.Category() == 'S' || isReg(from) || isReg(to)
}

func isReg(t types.T) bool {
	switch t.OID {
	case types.OIDRegclass, types.OIDRegtype, types.OIDRegproc, types.OIDRegprocedure, types.OIDRegoper, types.OIDRegoperator, types.OIDRegnamespace, types.OIDRegrole, types.OIDRegcollation:
		return true
	}
	return false
}

// simplify folds the constant parts of e. A part that fails is left to fail when it is evaluated.
func (b *binder) simplify(e Expr) Expr {
	return mapExpr(e, func(x Expr) Expr {
		switch x := x.(type) {
		case *Const, *Column, *Param, *subquery:
			return x
		case *And:
			var args []Expr
			for _, a := range x.Args {
				if c, ok := a.(*Const); ok && c.Val == true {
					continue
				} else if ok && c.Val == false {
					return c
				}
				args = append(args, a)
			}
			switch len(args) {
			case 0:
				return &Const{true, types.Bool}
			case 1:
				return args[0]
			}
			return &And{args}
		case *Or:
			var args []Expr
			for _, a := range x.Args {
				if c, ok := a.(*Const); ok && c.Val == false {
					continue
				} else if ok && c.Val == true {
					return c
				}
				args = append(args, a)
			}
			switch len(args) {
			case 0:
				return &Const{false, types.Bool}
			case 1:
				return args[0]
			}
			return &Or{args}
		case *Case:
			var whens []When
			for _, w := range x.Whens {
				if c, ok := w.Cond.(*Const); ok {
					if c.Val != true {
						continue
					}
					if len(whens) == 0 {
						return w.Then
					}
					return &Case{whens, w.Then, x.Typ}
				}
				whens = append(whens, w)
			}
			if len(whens) == 0 {
				if x.Else == nil {
					return &Const{nil, x.Typ}
				}
				return x.Else
			}
			if len(whens) < len(x.Whens) {
				return &Case{whens, x.Else, x.Typ}
			}
			return x
		case *Row:
			return x
		}
		if c, ok := x.(*Call); ok && c.Fn.Strict && c.Fn.Set == nil {
			for _, a := range c.Args {
				if k, ok := a.(*Const); ok && k.Val == nil { // whatever the others are
					return &Const{nil, x.Type()}
				}
			}
		}
		allConst := true
		children(x, func(y Expr) {
			if _, ok := y.(*Const); !ok {
				allConst = false
			}
		})
		if !allConst || b.o.Fold == nil || !foldable(x) {
			return x
		}
		d, err := b.o.Fold(x)
		if err != nil {
			return x
		}
		return &Const{d, x.Type()}
	})
}

// conjuncts splits e at its ANDs.
func conjuncts(e Expr, out []Expr) []Expr {
	if a, ok := e.(*And); ok {
		for _, x := range a.Args {
			out = conjuncts(x, out)
		}
		return out
	}
	if e == nil {
		return out
	}
	if c, ok := e.(*Const); ok && c.Val == true {
		return out
	}
	return append(out, e)
}

// isOp reports whether e is the operator sym of two operands.
func isOp(e Expr, sym string) (*Call, bool) {
	c, ok := e.(*Call)
	return c, ok && c.Fn.IsOp && c.Fn.Name == sym && len(c.Args) == 2
}

// rejectsNull reports whether e cannot be true where all columns in s are NULL.
func rejectsNull(e Expr, s idset) bool {
	switch e := e.(type) {
	case *And:
		for _, a := range e.Args {
			if rejectsNull(a, s) {
				return true
			}
		}
		return false
	case *Or:
		for _, a := range e.Args {
			if !rejectsNull(a, s) {
				return false
			}
		}
		return len(e.Args) > 0
	case *IsNull:
		return e.Not && nullFrom(e.X, s)
	case *IsBool:
		return !e.Not && nullFrom(e.X, s)
	case *AnyArray: // of an empty array ANY is false and ALL true, whatever it is compared with
		return !e.All && nullFrom(e.X, s)
	}
	return nullFrom(e, s)
}

// nullFrom reports whether e is NULL where the columns in s are.
func nullFrom(e Expr, s idset) bool {
	switch e := e.(type) {
	case *Column:
		return s[e.Index]
	case *Call:
		if !e.Fn.Strict {
			return false
		}
		for _, a := range e.Args {
			if nullFrom(a, s) {
				return true
			}
		}
	case *Cast:
		return nullFrom(e.X, s)
	case *Not:
		return nullFrom(e.X, s)
	case *In:
		return nullFrom(e.X, s)
	}
	return false
}

func int8Const(n int64) Expr { return &Const{n, types.Int8} }
