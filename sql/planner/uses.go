package planner

import (
	"slices"

	"streamsql/catalog"
	"streamsql/internal/pgerr"
	"streamsql/sql/parser/ast"
)

// Uses is what a statement does with relations and functions, for the check of privileges. Whoever plans gives an empty one in Options and
// reads it when the plan is there; expressions that are bound later do not add to it.
type Uses struct {
	Relations []RelationUse
	// Creates are the schemas in which the statement makes tables for late rows; "" is the first of the search path.
	Creates []string
	// Functions are the OIDs of the users' functions that are called.
	Functions []uint32
}

// RelationUse is what a statement does with one relation. A relation that occurs more than once has a use each.
type RelationUse struct {
	Rel *catalog.Relation
	// Owner is the owner of the view whose definition names the relation, with whose rights it is used; "" whoever runs the statement.
	Owner string
	Needs catalog.Privileges
	// Columns are the attribute numbers that are read or written; a privilege on all of them serves as one on the relation. Nil with Whole: the
	// privilege is on rows, not on columns.
	Columns []int16
	Whole   bool
	// IfRead says that nothing is needed unless Columns has some: the target of UPDATE and DELETE is read only where its columns are named.
	IfRead bool

	b   *binder
	ids []int
}

// noteScan remembers that the columns ids of a relation may be read. They stand in the order of the relation's columns.
func (b *binder) noteScan(rel *catalog.Relation, ids []int, ifRead bool) {
	if b.o.Uses == nil {
		return
	}
	b.o.Uses.Relations = append(b.o.Uses.Relations, RelationUse{Rel: rel, Owner: b.owner, Needs: catalog.PrivSelect, IfRead: ifRead, b: b, ids: ids})
}

// noteChange remembers that columns of a relation are written; nil is all of them.
func (b *binder) noteChange(rel *catalog.Relation, needs catalog.Privileges, columns []string, whole bool) {
	if b.o.Uses == nil {
		return
	}
	u := RelationUse{Rel: rel, Owner: b.owner, Needs: needs, Whole: whole}
	if columns == nil && !whole {
		for i := range rel.Columns {
			u.Columns = append(u.Columns, rel.Attnum(i))
		}
	}
	for _, n := range columns {
		if i := rel.ColumnIndex(n); i >= 0 {
			u.Columns = append(u.Columns, rel.Attnum(i))
		}
	}
	b.o.Uses.Relations = append(b.o.Uses.Relations, u)
}

// noteAssigned remembers the columns that a list of assignments writes.
func (b *binder) noteAssigned(rel *catalog.Relation, set []ast.Assignment) {
	columns := []string{}
	for _, a := range set {
		columns = append(columns, a.Columns...)
	}
	b.noteChange(rel, catalog.PrivUpdate, columns, false)
}

// noteLate remembers that late rows go into a table, which is made where it is missing.
func (b *binder) noteLate(n ast.Name) {
	if b.o.Uses == nil || b.o.Catalog == nil || n.Parts == nil {
		return
	}
	if rel := b.o.Catalog.Find(n.Schema(), n.Base(), b.o.SearchPath); rel != nil {
		b.noteChange(rel, catalog.PrivInsert, nil, false)
		return
	}
	b.o.Uses.Creates = append(b.o.Uses.Creates, n.Schema())
}

// mayName checks that the schema that a name of the statement says may be looked into.
func (b *binder) mayName(n ast.Name) error {
	if n.Schema() == "" || b.owner != "" || b.o.Usage == nil {
		return nil
	}
	return pgerr.AtPos(b.o.Usage(n.Schema()), n.Pos)
}

// noteCall remembers that a function is called.
func (b *binder) noteCall(oid uint32) {
	if u := b.o.Uses; u != nil && !slices.Contains(u.Functions, oid) {
		u.Functions = append(u.Functions, oid)
	}
}

// Resolve makes Columns say what the finished plan reads. It is called once, after planning.
func (u *Uses) Resolve() {
	for i := range u.Relations {
		r := &u.Relations[i]
		if r.b == nil {
			continue
		}
		for k, id := range r.ids {
			if r.b.used[id] && k < len(r.Rel.Columns) {
				r.Columns = append(r.Columns, r.Rel.Attnum(k))
			}
		}
		r.b, r.ids = nil, nil
	}
}
