package engine

import (
	"context"
	"slices"
	"strings"

	"streamsql/catalog"
	"streamsql/connector"
	"streamsql/internal/pgerr"
	"streamsql/internal/vec"
	"streamsql/sql/parser/ast"
	"streamsql/state"
)

// tx is a transaction: the changes that its statements made, on private copies of the tables, until COMMIT.
type tx struct {
	who        sessionIdentity // of the session when it began
	explicit   bool            // BEGIN was said; else it ends with the statement or the query string
	failed     bool
	modes      txModes
	queried    bool // something has been executed that sees tables
	started    vec.Time
	tables     map[uint32]*txTable
	light      bool // see commit
	offset     connector.Offset
	offsetOf   uint32
	savepoints []savepoint
	// Of what a sink writes into a table: the sink and the epoch until which its output is in the table then, and if the sink is new
	// the change of the catalog that makes it known.
	sink      *sinkWriter
	sinkEpoch uint64
	catalog   *catalogChange

	// ddl are the changes of the catalog so far; cat is the catalog with them, over base. found are the relations that they
	// change as they were found.
	ddl       []*ddl
	base, cat *catalog.Snapshot
	found     map[uint32]*catalog.Relation
	// foundRoles and foundAccess are the same of roles and of what has been granted.
	foundRoles  map[uint32]*catalog.Role
	foundAccess map[uint32]*catalog.Access
	// change and hidden are ddl merged, at COMMIT.
	change *catalogChange
	hidden map[uint32]bool
}

// txTable is a relation as a transaction has changed it.
type txTable struct {
	rel     *catalog.Relation
	work    *state.Table // nil: a push source keeps no rows
	version uint64       // of the relation when work was taken from it
	changes []*vec.Batch // owned
	indexes []*tableIndex

	made, rewritten, dropped bool
	// layouts say where ALTER TABLE has moved columns: the changes before each are of the columns before it.
	layouts []layoutChange
}

// layoutChange is a change of a table's columns within a transaction.
type layoutChange struct {
	at   int   // how many changes came before
	from []int // for each column, where it stood before; -1 for one that was not there, or was of another type
	rel  *catalog.Relation
}

type savepoint struct {
	name  string
	marks map[uint32]savepointMark
	ddl   int
	modes txModes
	// cursors are those that were open: the others are closed with what is rolled back.
	cursors map[*namedPortal]bool
}

// savepointMark is a table of the transaction as it was at a savepoint.
type savepointMark struct {
	table   txTable
	content *state.TableSnapshot
	indexes []*state.TableSnapshot
}

func (tt *txTable) mark() savepointMark {
	m := savepointMark{table: *tt}
	if tt.work != nil {
		m.content = tt.work.Snapshot()
	}
	for _, x := range tt.indexes {
		m.indexes = append(m.indexes, x.rows.Snapshot())
	}
	return m
}

// restore takes the table back to a mark.
func (tt *txTable) restore(m savepointMark) {
	for _, b := range tt.changes[len(m.table.changes):] {
		b.Release()
	}
	*tt = m.table
	if tt.work != nil {
		tt.work.Reset(m.content)
	}
	for i, x := range tt.indexes {
		x.rows.Reset(m.indexes[i])
	}
}

// TxStatus gives the transaction status that ReadyForQuery shows: 'I' idle, 'T' in a block, 'E' in a failed block.
func (s *Session) TxStatus() byte {
	switch {
	case s.tx == nil || !s.tx.explicit:
		return 'I'
	case s.tx.failed:
		return 'E'
	}
	return 'T'
}

// BeginImplicit opens the implicit transaction of a query string of several statements: they are
// committed together by EndImplicit.
func (s *Session) BeginImplicit() {
	if s.tx == nil {
		s.tx = s.newTx(false)
	}
}

// EndImplicit ends what a query string or Sync ends: without BEGIN the changes are
// committed (rolled back if err is not nil); within a block an error makes it fail.
func (s *Session) EndImplicit(ctx context.Context, err error) error {
	if s.tx == nil {
		if err != nil {
			s.closeTxPortals(false)
		}
		return nil
	}
	if s.tx.explicit {
		if err != nil {
			s.failTx()
		}
		return nil
	}
	if err != nil {
		s.rollback()
		return nil
	}
	return s.commit(ctx)
}

func (s *Session) newTx(explicit bool) *tx {
	t := &tx{explicit: explicit, started: s.e.clock(), tables: map[uint32]*txTable{}, modes: s.defaultModes(), who: s.who}
	s.vars.modes = &t.modes
	return t
}

// failTx puts the block into the failed state, in which only ROLLBACK, ROLLBACK TO and COMMIT are
// accepted. A statement that fails has changed nothing, so the earlier changes stay for a savepoint.
func (s *Session) failTx() { s.tx.failed = true }

func (t *tx) drop() {
	for _, tt := range t.tables {
		for _, b := range tt.changes {
			b.Release()
		}
	}
	t.tables = map[uint32]*txTable{}
}

// closeTxPortals closes the cursors that do not outlive a transaction.
func (s *Session) closeTxPortals(committed bool) {
	for name, p := range s.portals {
		if !p.cursor || p.hold && committed {
			continue
		}
		s.dropPortal(name)
	}
}

func (s *Session) rollback() {
	if s.tx == nil {
		return
	}
	s.tx.drop()
	if s.tx.explicit {
		s.closeTxPortals(false)
	}
	s.e.sequences.forget(s.tx.ddl)
	for _, r := range s.tx.found { // their columns are what they were
		if r != nil {
			r.RegisterRow()
		}
	}
	who := s.tx.who
	s.tx = nil
	s.vars.endTransaction()
	if s.who != who { // a role that was taken in the transaction is given back
		s.who.session, s.who.current = who.session, who.current // what other sessions read stays untouched
		s.vars.values["role"] = "none"
		if who.current != who.session {
			s.vars.values["role"] = s.roleName(who.current)
		}
		s.roleChanged()
	}
}

// commit makes the transaction's changes visible and waits for the epoch that shows them.
func (s *Session) commit(ctx context.Context) error {
	t := s.tx
	s.tx = nil
	s.vars.endTransaction()
	if t.explicit {
		s.closeTxPortals(true)
	}
	defer t.drop()
	s.onCommit(t)
	if len(t.ddl) > 0 {
		err := s.commitDDL(ctx, t)
		if err != nil {
			s.e.sequences.forget(t.ddl)
		}
		return err
	}
	s.e.write.Lock()
	k, err := s.e.commitLocked(t, false)
	s.e.write.Unlock()
	if err != nil || k == nil {
		return err
	}
	return <-k.done
}

// commitLocked validates the changes against the newest tables, applies and enqueues them. The caller holds e.write;
// alone is the commit's.
func (e *Engine) commitLocked(t *tx, alone bool) (*commit, error) {
	if err := e.canWrite(); err != nil {
		return nil, err
	}
	k := &commit{alone: alone, sink: t.sink, sinkEpoch: t.sinkEpoch, light: t.light, offset: t.offset, offsetOf: t.offsetOf}
	type undo struct {
		r       *relation
		mark    savepointMark
		replace bool
	}
	var done []undo
	revert := func() {
		for _, u := range done {
			if u.replace {
				u.r.table, u.r.indexes = u.mark.table.work, u.mark.table.indexes
				continue
			}
			tt := txTable{work: u.r.table, indexes: u.r.indexes}
			tt.restore(u.mark)
		}
	}
	for oid, tt := range t.tables {
		if tt.dropped || len(tt.changes) == 0 && !tt.made && !tt.rewritten {
			continue
		}
		w := tableWrite{oid: oid, changes: tt.changes}
		if tt.made {
			// Nobody follows it yet.
			for _, b := range tt.changes {
				b.Release()
			}
			tt.changes, w.changes = nil, nil
			w.after = tt.work.Snapshot()
			w.indexes = e.indexContents(tt.rel, tt.indexes)
			w.made = &relation{rel: tt.rel, table: tt.work, indexes: tt.indexes, published: w.after, publishedIndexes: w.indexes}
			k.writes = append(k.writes, w)
			continue
		}
		if tt.work == nil {
			if err := e.checkHeld(tt.rel); err != nil {
				revert()
				return nil, err
			}
		}
		if tt.work != nil {
			e.cut.RLock()
			r := e.relations[oid]
			e.cut.RUnlock()
			var err error
			switch {
			case r == nil:
				err = pgerr.New(pgerr.UndefinedTable, "relation \"%s\" does not exist", tt.rel.Name)
			case r.version == tt.version:
				done = append(done, undo{r: r, mark: savepointMark{table: txTable{work: r.table, indexes: r.indexes}}, replace: true})
				r.table, r.indexes = tt.work, tt.indexes
			case tt.rewritten || r.rel.LayoutVersion != tt.rel.LayoutVersion:
				err = pgerr.New(pgerr.SerializationFailure, "could not serialize access due to concurrent change of table \"%s\"", tt.rel.Name).
					WithHint("The transaction might succeed if retried.")
			default:
				now := txTable{rel: r.rel, work: r.table, indexes: r.indexes}
				done = append(done, undo{r: r, mark: now.mark()})
				if err = now.apply(tt.changes); err != nil {
					err = conflict(err)
				}
			}
			if err != nil {
				revert()
				return nil, err
			}
			w.after = r.table.Snapshot()
			w.indexes = e.indexContents(tt.rel, r.indexes)
		}
		w.changes = tt.inLayout(e.alloc)
		tt.changes = w.changes
		k.writes = append(k.writes, w)
	}
	if len(k.writes) == 0 && t.change == nil && t.sink == nil && t.offset == nil {
		return nil, nil
	}
	if err := e.checkReferences(t); err != nil {
		revert()
		return nil, err
	}
	for _, d := range t.ddl {
		if d.before != nil {
			d.before()
		}
	}
	if ch := t.catalog; ch != nil {
		k.ddl = func() { e.applyCatalog(ch) }
	}
	for _, u := range done {
		u.r.version++
	}
	for _, tt := range t.tables {
		if !tt.dropped {
			tt.changes = nil // the commit owns them now
		}
	}
	if t.change != nil {
		e.publishDDL(k, t)
	}
	e.coord.enqueue(k)
	return k, nil
}

// publishDDL makes the changes of the catalog part of a commit.
func (e *Engine) publishDDL(k *commit, t *tx) {
	k.layout = func() {
		for _, d := range t.ddl {
			if d.layout != nil {
				d.layout()
			}
		}
	}
	k.ddl = func() {
		visible := t.change.visible(t.hidden)
		e.cat = visible.apply(e.cat)
		e.persist.catalogChanged(t.change)
		for _, w := range k.writes {
			if w.made != nil {
				e.addRelation(w.made)
			}
		}
		for _, rel := range visible.Put {
			r := e.relations[rel.OID]
			if r == nil {
				continue
			}
			r.rel = rel
			if r.table != nil {
				r.table.SetName(rel.Name)
			}
			if slices.Contains(t.change.Rewrite, rel.OID) {
				e.begins(r)
			}
		}
		for _, oid := range t.change.Drop {
			delete(e.relations, oid)
			e.history.forget(oid)
		}
		for _, d := range t.ddl {
			if d.inside != nil {
				d.inside()
			}
		}
	}
}

// inLayout gives the changes with the columns that the table has at the end of the transaction. A column that came later is
// NULL in the changes before: nothing that follows the table reads it.
func (tt *txTable) inLayout(alloc vec.Allocator) []*vec.Batch {
	for _, l := range tt.layouts {
		fields := l.rel.Fields()
		for i, b := range tt.changes[:l.at] {
			bld := vec.NewBuilder(alloc, fields)
			views := b.Views(nil)
			for c, from := range l.from {
				if from >= 0 {
					bld.Cols[c].AppendRange(&views[from], 0, b.N)
					continue
				}
				for range b.N {
					bld.Cols[c].AppendNull()
				}
			}
			n := bld.Finish()
			n.Ops = slices.Clone(b.Ops)
			bld.Release()
			b.Release()
			tt.changes[i] = n
		}
	}
	tt.layouts = nil
	return tt.changes
}

// conflict words the failure of a change that was valid when the statement ran.
func conflict(err error) error {
	if pgerr.Code(err) == pgerr.UniqueViolation {
		return err
	}
	return pgerr.New(pgerr.SerializationFailure, "could not serialize access due to concurrent update").WithCause(err)
}

// writable gives the transaction's copy of a table, or of the changes to a push source.
func (s *Session) writable(rel *catalog.Relation) (*txTable, error) {
	moved := func(now *catalog.Relation) error {
		if now.LayoutVersion == rel.LayoutVersion {
			return nil
		}
		return pgerr.New(pgerr.SerializationFailure, "could not serialize access due to concurrent change of table \"%s\"", rel.Name).
			WithHint("The transaction might succeed if retried.")
	}
	if tt := s.tx.tables[rel.OID]; tt != nil {
		return tt, moved(tt.rel)
	}
	tt := &txTable{rel: rel}
	if rel.Kind == catalog.Table {
		s.e.write.Lock()
		s.e.cut.RLock()
		r := s.e.relations[rel.OID]
		s.e.cut.RUnlock()
		if r != nil {
			tt.work, tt.version, tt.indexes = r.table.Clone(), r.version, cloneIndexes(r.indexes)
		}
		s.e.write.Unlock()
		if r == nil {
			return nil, pgerr.New(pgerr.UndefinedTable, "relation \"%s\" does not exist", rel.Name)
		}
		if err := moved(r.rel); err != nil {
			return nil, err
		}
	}
	s.tx.tables[rel.OID] = tt
	return tt, nil
}

// transaction executes BEGIN and its kin and gives the command tag.
func (s *Session) transaction(ctx context.Context, t *ast.Transaction) (string, error) {
	block := s.tx != nil && s.tx.explicit
	switch t.Kind {
	case "begin":
		if block {
			s.warning(pgerr.ActiveSQLTransaction, "there is already a transaction in progress")
		} else if s.tx != nil { // BEGIN inside a query string: the statements before it belong to the block
			s.tx.explicit = true
		} else {
			s.tx = s.newTx(true)
		}
		if t.Start {
			return "START TRANSACTION", s.setTxModes(t)
		}
		return "BEGIN", s.setTxModes(t)
	case "commit", "rollback":
		return s.endTx(ctx, t, block)
	case "savepoint", "release", "rollback to":
		return s.savepoint(t)
	case "set transaction":
		if s.tx == nil {
			s.warning(pgerr.NoActiveSQLTransaction, "SET TRANSACTION can only be used in transaction blocks")
			return "SET", nil
		}
		return "SET", s.setTxModes(t)
	case "set session characteristics":
		for name, v := range map[string]*bool{"default_transaction_read_only": t.ReadOnly, "default_transaction_deferrable": t.Deferrable} {
			if v == nil {
				continue
			}
			if err := s.vars.set(name, onOff(*v), false); err != nil {
				return "", err
			}
		}
		if t.Isolation != "" {
			if err := s.vars.set("default_transaction_isolation", t.Isolation, false); err != nil {
				return "", err
			}
		}
		return "SET", nil
	}
	return "", pgerr.New(pgerr.FeatureNotSupported, "%s is not supported", strings.ToUpper(t.Kind))
}

// endTx executes COMMIT and ROLLBACK. Outside of a block they warn, and end what the query string has done so far.
func (s *Session) endTx(ctx context.Context, t *ast.Transaction, block bool) (string, error) {
	tag := strings.ToUpper(t.Kind)
	if !block {
		if t.Chain {
			return "", pgerr.New(pgerr.NoActiveSQLTransaction, "%s AND CHAIN can only be used in transaction blocks", tag)
		}
		s.warning(pgerr.NoActiveSQLTransaction, "there is no transaction in progress")
		if s.tx == nil {
			return tag, nil
		}
	}
	modes := s.tx.modes
	if t.Kind == "commit" && !s.tx.failed {
		if err := s.commit(ctx); err != nil {
			return "", err
		}
	} else {
		tag = "ROLLBACK"
		s.rollback()
	}
	if t.Chain {
		s.tx = s.newTx(true)
		s.tx.modes = modes
	}
	return tag, nil
}

func onOff(b bool) string {
	if b {
		return "on"
	}
	return "off"
}

func (s *Session) savepoint(t *ast.Transaction) (string, error) {
	tag := strings.ToUpper(t.Kind)
	if tag == "ROLLBACK TO" {
		tag = "ROLLBACK"
	}
	if s.tx == nil || !s.tx.explicit {
		return "", pgerr.New(pgerr.NoActiveSQLTransaction, "%s can only be used in transaction blocks", strings.ToUpper(t.Kind))
	}
	if t.Kind == "savepoint" {
		sp := savepoint{name: t.Savepoint, marks: map[uint32]savepointMark{}, ddl: len(s.tx.ddl), modes: s.tx.modes, cursors: map[*namedPortal]bool{}}
		for _, p := range s.portals {
			sp.cursors[p] = true
		}
		for oid, tt := range s.tx.tables {
			sp.marks[oid] = tt.mark()
		}
		s.tx.savepoints = append(s.tx.savepoints, sp)
		return tag, nil
	}
	for i := len(s.tx.savepoints) - 1; i >= 0; i-- {
		sp := s.tx.savepoints[i]
		if sp.name != t.Savepoint {
			continue
		}
		s.tx.modes = sp.modes // what a subtransaction sets is its own
		if t.Kind == "release" {
			s.tx.savepoints = s.tx.savepoints[:i]
			return tag, nil
		}
		s.tx.failed = false
		s.tx.savepoints = s.tx.savepoints[:i+1]
		for name, p := range s.portals {
			if p.cursor && !sp.cursors[p] {
				s.dropPortal(name)
			}
		}
		for oid, tt := range s.tx.tables {
			m, ok := sp.marks[oid]
			if ok {
				tt.restore(m)
				continue
			}
			for _, b := range tt.changes {
				b.Release()
			}
			delete(s.tx.tables, oid)
		}
		s.e.sequences.forget(s.tx.ddl[sp.ddl:])
		s.tx.ddl, s.tx.base = s.tx.ddl[:sp.ddl], nil
		return tag, nil
	}
	return "", pgerr.New("3B001", "savepoint \"%s\" does not exist", t.Savepoint)
}
