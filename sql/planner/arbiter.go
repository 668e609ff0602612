package planner

import (
	"slices"
	"strings"

	"streamsql/catalog"
	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/sql/parser"
	"streamsql/sql/parser/ast"
)

// IndexKey is what an index is of, over the columns of its table by position.
type IndexKey struct {
	// Exprs are parallel to the index's columns, nil where one is a plain column of the table. Names says what each is called in messages.
	Exprs []Expr
	Names []string
	// Where is the condition of a partial index, nil none.
	Where Expr

	collations, classes []string
}

// BindIndex binds the expressions and the condition of an index.
func BindIndex(x *catalog.IndexInfo, o *Options) (*IndexKey, error) {
	out := &IndexKey{Exprs: make([]Expr, len(x.Columns)), Names: make([]string, len(x.Columns)),
		collations: make([]string, len(x.Columns)), classes: make([]string, len(x.Columns))}
	c := *o
	c.Table, c.Clause = x.Rel.Name, "index expressions"
	for i, at := range x.Columns {
		t, err := parser.ParseIndexTerm(x.Terms[i])
		if err != nil {
			return nil, unplaced(err)
		}
		out.Names[i], out.collations[i], out.classes[i] = t.Text, t.Collation, t.Class
		if at >= 0 {
			continue
		}
		if out.Exprs[i], err = BindScalar(t.Expr, x.Rel.Fields().Fields, types.T{}, &c); err != nil {
			return nil, unplaced(err)
		}
	}
	if x.Where != "" {
		e, err := parser.ParseExpr(x.Where)
		if err != nil {
			return nil, unplaced(err)
		}
		c.Clause = "index predicates"
		if out.Where, err = BindScalar(e, x.Rel.Fields().Fields, types.Bool, &c); err != nil {
			return nil, unplaced(err)
		}
	}
	return out, nil
}

// inferred is a term of ON CONFLICT (..): a column of the table, or with -1 an expression.
type inferred struct {
	column           int
	e                Expr
	collation, class string
}

// arbiters finds the unique indexes that ON CONFLICT (..) WHERE .. names: those of exactly its columns whose expressions it has and whose
// condition it implies.
func (b *binder) arbiters(c *ast.OnConflict, rel *catalog.Relation, alias string) ([]uint32, error) {
	o := *b.o
	o.Table, o.Clause = alias, "ON CONFLICT clause"
	fields := rel.Fields().Fields
	var terms []inferred
	var cols []int
	for i, it := range c.Terms {
		t := inferred{column: -1, class: c.Classes[i]}
		e := it.Expr
		if k, ok := e.(*ast.Collate); ok {
			e, t.collation = k.X, k.Collation.Base()
		}
		if ref, ok := e.(*ast.ColumnRef); ok && len(ref.Parts) == 1 {
			if t.column = rel.ColumnIndex(ref.Parts[0]); t.column < 0 {
				return nil, pgerr.New(pgerr.UndefinedColumn, "column \"%s\" does not exist", ref.Parts[0]).At(ref.Pos)
			}
			if !slices.Contains(cols, t.column) {
				cols = append(cols, t.column)
			}
		} else {
			var err error
			if t.e, err = BindScalar(e, fields, types.T{}, &o); err != nil {
				return nil, err
			}
		}
		terms = append(terms, t)
	}
	slices.Sort(cols)
	var given []Expr
	if c.IndexWhere != nil {
		w, err := BindScalar(c.IndexWhere, fields, types.Bool, &o)
		if err != nil {
			return nil, err
		}
		given = conjuncts(w, nil)
	}
	var out []uint32
	for _, x := range rel.AllIndexes() {
		if !x.Unique {
			continue
		}
		var plain []int
		for _, k := range x.Columns {
			if k >= 0 && !slices.Contains(plain, k) {
				plain = append(plain, k)
			}
		}
		if slices.Sort(plain); !slices.Equal(plain, cols) {
			continue
		}
		key, err := BindIndex(&x, b.o)
		if err != nil {
			return nil, err
		}
		if key.covers(x.Columns, terms) && key.implied(given) {
			out = append(out, x.OID)
		}
	}
	if len(out) == 0 {
		return nil, pgerr.New(pgerr.InvalidColumnReference, "there is no unique or exclusion constraint matching the ON CONFLICT specification").At(c.Pos)
	}
	return out, nil
}

// covers says that the terms have the index's expressions and no others, each with the collation and operator class that it asks for.
func (k *IndexKey) covers(cols []int, terms []inferred) bool {
	for _, t := range terms {
		if !slices.ContainsFunc(cols, func(int) bool { return true }) {
			return false
		}
		found := t.column >= 0 && t.collation == "" && t.class == ""
		for i, at := range cols {
			same := at >= 0 && at == t.column || at < 0 && t.e != nil && sameExpr(k.Exprs[i], t.e)
			found = found || same && (t.collation == "" || t.collation == k.collations[i]) && sameClass(t.class, k.classes[i])
		}
		if !found {
			return false
		}
	}
	for i, e := range k.Exprs {
		if cols[i] < 0 && !slices.ContainsFunc(terms, func(t inferred) bool { return t.e != nil && sameExpr(t.e, e) }) {
			return false
		}
	}
	return true
}

// sameClass says that an index of class has serves where ask is asked for: the classes that only name a type are its default.
func sameClass(ask, has string) bool {
	standard := func(s string) string {
		if strings.HasSuffix(s, "_ops") && !strings.HasSuffix(s, "_pattern_ops") {
			return ""
		}
		return s
	}
	return ask == "" || standard(ask) == standard(has)
}

// implied says that rows for which all of given is true are in the index.
func (k *IndexKey) implied(given []Expr) bool {
	for _, c := range conjuncts(k.Where, nil) {
		if !slices.ContainsFunc(given, func(g Expr) bool { return implies(g, c) }) {
			return false
		}
	}
	return true
}

// implies recognises that c is true wherever g is: the same, one of the alternatives of an OR, or IS NOT NULL of what a
// comparison compares.
func implies(g, c Expr) bool {
	if sameExpr(g, c) {
		return true
	}
	if or, ok := c.(*Or); ok {
		return slices.ContainsFunc(or.Args, func(a Expr) bool { return implies(g, a) })
	}
	n, ok := c.(*IsNull)
	call, isCall := g.(*Call)
	return ok && n.Not && isCall && call.Fn.IsOp && call.Fn.Strict && slices.ContainsFunc(call.Args, func(a Expr) bool { return sameExpr(a, n.X) })
}
