package engine

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"streamsql/catalog"
	"streamsql/internal/pgerr"
)

// ddl is what one statement changes in the catalog, and what goes with it at COMMIT. The functions may be nil; all but last run
// under Engine.write.
type ddl struct {
	ch *catalogChange
	// before runs when the commit has been found valid: connectors and sinks of what goes are told to stop.
	before func()
	// layout runs when the commit's step begins, ahead of the jobs: they learn where columns stand from now on.
	layout func()
	inside func()                      // within the cut
	after  func()                      // once the change is visible
	last   func(context.Context) error // at the very end, without locks: views are filled
	// hidden says that the relations of ch become visible in last, not with the commit: a materialized view appears filled.
	hidden bool
	// newSequences are the sequences that the change makes: they go when it is undone.
	newSequences []uint32
}

// catalog gives the catalog as the session sees it: the published one with its transaction's own changes.
func (s *Session) catalog() *catalog.Snapshot {
	base := s.e.Catalog()
	if s.tx == nil || len(s.tx.ddl) == 0 {
		return base
	}
	if s.tx.base != base {
		s.tx.base, s.tx.cat = base, base
		for _, d := range s.tx.ddl {
			s.tx.cat = d.apply(s.tx.cat)
		}
	}
	return s.tx.cat
}

// apply gives the catalog that the transaction sees after d: a materialized view that is yet to be filled is read as a view.
func (d *ddl) apply(c *catalog.Snapshot) *catalog.Snapshot {
	if !d.hidden {
		return d.ch.apply(c)
	}
	ch := *d.ch
	ch.Put = nil
	for _, r := range d.ch.Put {
		v := *r
		v.Kind = catalog.View
		ch.Put = append(ch.Put, &v)
	}
	return ch.apply(c)
}

// change makes a change of the catalog part of the session's transaction, which there is. The caller holds e.write.
func (s *Session) change(d *ddl) {
	before := s.catalog()
	for _, r := range d.ch.Put {
		s.touch(before, r.OID)
	}
	for _, oid := range d.ch.Drop {
		s.touch(before, oid)
	}
	for _, r := range d.ch.PutRoles {
		touchObject(&s.tx.foundRoles, r.OID, before.Role(r.OID))
	}
	for oid := range d.ch.Access {
		touchObject(&s.tx.foundAccess, oid, before.Access(oid))
	}
	after := d.apply(before)
	s.tx.ddl = append(s.tx.ddl, d)
	s.tx.base, s.tx.cat = s.e.Catalog(), after
}

// touch remembers a relation as the transaction found it, to see at COMMIT whether another has changed it meanwhile.
func (s *Session) touch(now *catalog.Snapshot, oid uint32) {
	if _, ok := s.tx.found[oid]; ok {
		return
	}
	if s.tx.found == nil {
		s.tx.found = map[uint32]*catalog.Relation{}
	}
	s.tx.found[oid] = now.ByOID(oid)
}

// touchObject remembers an object as the transaction found it.
func touchObject[T any](found *map[uint32]*T, oid uint32, now *T) {
	if *found == nil {
		*found = map[uint32]*T{}
	}
	if _, ok := (*found)[oid]; !ok {
		(*found)[oid] = now
	}
}

// merged gives all changes of the transaction as one, and the relations among them that stay hidden until they are filled.
func (t *tx) merged(base *catalog.Snapshot) (ch *catalogChange, hidden map[uint32]bool) {
	ch, hidden = &catalogChange{PutSchemas: map[string]uint32{}, Sequences: map[uint32]sequenceValue{}, Comments: map[uint32]string{},
		Access: map[uint32]*catalog.Access{}}, map[uint32]bool{}
	for _, d := range t.ddl {
		for _, oid := range d.ch.Drop {
			ch.Put = slices.DeleteFunc(ch.Put, func(r *catalog.Relation) bool { return r.OID == oid })
			ch.Rewrite = slices.DeleteFunc(ch.Rewrite, func(o uint32) bool { return o == oid })
			if base.ByOID(oid) != nil {
				ch.Drop = append(ch.Drop, oid)
			}
		}
		for _, n := range d.ch.DropSchemas {
			delete(ch.PutSchemas, n)
			if _, ok := base.SchemaOID(n); ok && !slices.Contains(ch.DropSchemas, n) {
				ch.DropSchemas = append(ch.DropSchemas, n)
			}
		}
		for _, oid := range d.ch.DropFunctions {
			ch.PutFunctions = slices.DeleteFunc(ch.PutFunctions, func(f *catalog.Function) bool { return f.OID == oid })
			if base.FunctionByOID(oid) != nil {
				ch.DropFunctions = append(ch.DropFunctions, oid)
			}
		}
		for _, oid := range d.ch.DropTypes {
			ch.PutTypes = slices.DeleteFunc(ch.PutTypes, func(f *catalog.Type) bool { return f.OID == oid })
			if base.TypeByOID(oid) != nil {
				ch.DropTypes = append(ch.DropTypes, oid)
			}
		}
		for _, f := range d.ch.PutFunctions {
			ch.PutFunctions = append(slices.DeleteFunc(ch.PutFunctions, func(g *catalog.Function) bool { return g.OID == f.OID }), f)
		}
		for _, f := range d.ch.PutTypes {
			ch.PutTypes = append(slices.DeleteFunc(ch.PutTypes, func(g *catalog.Type) bool { return g.OID == f.OID }), f)
		}
		for _, r := range d.ch.Put {
			if i := slices.IndexFunc(ch.Put, func(q *catalog.Relation) bool { return q.OID == r.OID }); i >= 0 {
				ch.Put[i] = r
			} else {
				ch.Put = append(ch.Put, r)
			}
			if d.hidden {
				hidden[r.OID] = true
			}
		}
		maps.Copy(ch.PutSchemas, d.ch.PutSchemas)
		maps.Copy(ch.Sequences, d.ch.Sequences)
		maps.Copy(ch.Comments, d.ch.Comments)
		maps.Copy(ch.Access, d.ch.Access)
		for _, oid := range d.ch.DropRoles {
			ch.PutRoles = slices.DeleteFunc(ch.PutRoles, func(r *catalog.Role) bool { return r.OID == oid })
			if base.Role(oid) != nil {
				ch.DropRoles = append(ch.DropRoles, oid)
			}
		}
		for _, r := range d.ch.PutRoles {
			ch.PutRoles = append(slices.DeleteFunc(ch.PutRoles, func(q *catalog.Role) bool { return q.OID == r.OID }), r)
		}
		for _, oid := range d.ch.Rewrite {
			if !slices.Contains(ch.Rewrite, oid) {
				ch.Rewrite = append(ch.Rewrite, oid)
			}
		}
	}
	return ch, hidden
}

// visible gives ch without the relations that are hidden until they are filled.
func (ch *catalogChange) visible(hidden map[uint32]bool) *catalogChange {
	if len(hidden) == 0 {
		return ch
	}
	c := *ch
	c.Put = slices.DeleteFunc(slices.Clone(ch.Put), func(r *catalog.Relation) bool { return hidden[r.OID] })
	return &c
}

// checkChange finds out whether what a transaction changes in the catalog still fits what others have made of it meanwhile. The
// caller holds e.write.
func (e *Engine) checkChange(t *tx, ch *catalogChange) error {
	cat := e.Catalog()
	for oid, r := range t.found {
		if r == nil { // the transaction's own
			continue
		}
		if now := cat.ByOID(oid); now != r {
			return pgerr.New(pgerr.SerializationFailure, "could not serialize access due to concurrent change of %s \"%s\"", r.Kind, r.Name).
				WithHint("The transaction might succeed if retried.")
		}
	}
	for oid, r := range t.foundRoles {
		if now := cat.Role(oid); now != r {
			return pgerr.New(pgerr.SerializationFailure, "could not serialize access due to concurrent change of a role").
				WithHint("The transaction might succeed if retried.")
		}
	}
	for oid, a := range t.foundAccess {
		if now := cat.Access(oid); now != a {
			return pgerr.New(pgerr.SerializationFailure, "could not serialize access due to concurrent change of privileges").
				WithHint("The transaction might succeed if retried.")
		}
	}
	for _, r := range ch.PutRoles {
		if old := cat.RoleByName(r.Name); old != nil && old.OID != r.OID && !slices.Contains(ch.DropRoles, old.OID) &&
			!slices.ContainsFunc(ch.PutRoles, func(q *catalog.Role) bool { return q.OID == old.OID }) {
			return pgerr.New(pgerr.DuplicateObject, "role \"%s\" already exists", r.Name)
		}
	}
	for _, r := range ch.Put {
		if old := cat.Get(r.Schema, r.Name); old != nil && old.OID != r.OID && !slices.Contains(ch.Drop, old.OID) &&
			!slices.ContainsFunc(ch.Put, func(q *catalog.Relation) bool { return q.OID == old.OID }) {
			return pgerr.New(pgerr.DuplicateTable, "relation \"%s\" already exists", r.Name)
		}
	}
	next := ch.apply(cat)
	missing := func(oid uint32) bool { return next.ByOID(oid) == nil }
	for _, r := range next.Relations() {
		if r.Kind == catalog.System {
			continue
		}
		if _, ok := next.SchemaOID(r.Schema); !ok {
			return pgerr.New(pgerr.InvalidSchemaName, "schema \"%s\" does not exist", r.Schema)
		}
		for _, oid := range r.Depends {
			if missing(oid) {
				what := fmt.Sprint(oid)
				if o := cat.ByOID(oid); o != nil {
					what = o.Name
				}
				return pgerr.New(pgerr.UndefinedTable, "relation \"%s\", which \"%s\" reads, has been dropped meanwhile", what, r.Name)
			}
		}
		for _, c := range r.Constraints {
			if c.Kind == catalog.ForeignConstraint && missing(c.Ref) {
				return pgerr.New(pgerr.UndefinedTable, "the table that constraint \"%s\" of \"%s\" refers to has been dropped meanwhile", c.Name, r.Name)
			}
		}
	}
	return nil
}

// commitDDL commits a transaction that has changed the catalog: content and catalog appear in one epoch.
func (s *Session) commitDDL(ctx context.Context, t *tx) error {
	e := s.e
	err := func() error {
		e.write.Lock()
		defer e.write.Unlock()
		ch, hidden := t.merged(e.Catalog())
		if err := e.checkChange(t, ch); err != nil {
			return err
		}
		for _, oid := range ch.Drop {
			if tt := t.tables[oid]; tt != nil {
				tt.dropped = true
			}
		}
		for oid, tt := range t.tables {
			if tt.made && !slices.ContainsFunc(ch.Put, func(r *catalog.Relation) bool { return r.OID == oid }) {
				tt.dropped = true
			}
		}
		for _, r := range ch.Put {
			if r.Kind == catalog.SequenceKind {
				if v, ok := e.sequences.reserved(r.OID); ok {
					ch.Sequences[r.OID] = v
				}
			}
		}
		t.change, t.hidden = ch, hidden
		ch.passes(false)
		k, err := e.commitLocked(t, true)
		if err != nil {
			return err
		}
		if err := <-k.done; err != nil {
			return err
		}
		ch.passes(true)
		for _, d := range t.ddl {
			if d.after != nil {
				d.after()
			}
		}
		return nil
	}()
	if err != nil {
		return err
	}
	for _, d := range t.ddl {
		if d.last != nil {
			if lerr := d.last(ctx); lerr != nil && err == nil {
				err = lerr
			}
		}
	}
	return err
}

// isTempSchema reports whether a schema is the one that a session's temporary relations are in.
func isTempSchema(name string) bool { return strings.HasPrefix(name, "pg_temp_") }

// lastOID gives the highest OID that a relation has taken for itself and what belongs to it.
func lastOID(r *catalog.Relation) uint32 {
	last := max(r.OID, r.TypeOID, r.ArrayOID, r.PrimaryKeyOID, r.PrimaryKeyCon)
	for _, c := range r.Constraints {
		last = max(last, c.OID, c.IndexOID)
	}
	for _, x := range r.Indexes {
		last = max(last, x.OID)
	}
	return last
}
