package planner

import (
	"slices"

	"streamsql/catalog"
	"streamsql/sql/parser/ast"
)

// record remembers what a name in the statement means, so that a view goes on to mean it when relations and columns are renamed
// or columns added.
func (b *binder) record(n ast.Name, rel *catalog.Relation) {
	if b.viewDepth > 0 || rel.Kind == catalog.System || len(b.bound) > 0 {
		return
	}
	name := n.String()
	if slices.ContainsFunc(b.recorded, func(x catalog.Binding) bool { return x.Name == name }) {
		return
	}
	x := catalog.Binding{Name: name, OID: rel.OID}
	for i, c := range rel.Columns {
		x.Columns = append(x.Columns, catalog.BoundColumn{Num: rel.Attnum(i), Name: c.Name})
	}
	b.recorded = append(b.recorded, x)
}

// bindings gives what record remembered, with the columns that the statement reads.
func (b *binder) bindings() []catalog.Binding {
	if len(b.bound) > 0 {
		return b.bound
	}
	for i := range b.recorded {
		x := &b.recorded[i]
		for id := range b.used {
			if o := b.cols[id].origin; o.Rel == x.OID && !slices.Contains(x.Used, o.Attnum) {
				x.Used = append(x.Used, o.Attnum)
			}
		}
		slices.Sort(x.Used)
	}
	return b.recorded
}

// boundRelation gives the relation that a name meant when the definition under way was written; nil if that is not known.
func (b *binder) boundRelation(n ast.Name) *catalog.Relation {
	if len(b.bound) == 0 || b.o.Catalog == nil {
		return nil
	}
	name := n.String()
	for i := range b.bound {
		if b.bound[i].Name == name {
			return b.o.Catalog.ByOID(b.bound[i].OID)
		}
	}
	return nil
}

// boundColumns leaves of the columns of a relation in FROM those that were there when the definition was written, by
// their names then.
func (b *binder) boundColumns(t *table) {
	if t.rel == nil || len(b.bound) == 0 {
		return
	}
	k := slices.IndexFunc(b.bound, func(x catalog.Binding) bool { return x.OID == t.rel.OID })
	if k < 0 {
		return
	}
	var cols []scopeCol
	for _, c := range b.bound[k].Columns {
		if i := t.rel.ColumnByNum(c.Num); i >= 0 && i < len(t.cols) {
			col := t.cols[i]
			col.name = c.Name
			cols = append(cols, col)
		}
	}
	t.cols = cols
}
