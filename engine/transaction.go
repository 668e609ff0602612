package engine

import (
	"context"
	"errors"
	"strings"

	"streamsql/catalog"
	"streamsql/internal/pgerr"
	"streamsql/internal/vec"
	"streamsql/sql/parser/ast"
	"streamsql/state"
)

// tx is a transaction: the changes that its statements made, on private copies of the tables, until COMMIT.
type tx struct {
	explicit   bool // BEGIN was said; else it ends with the statement or the query string
	failed     bool
	readOnly   bool
	started    vec.Time
	tables     map[uint32]*txTable
	savepoints []savepoint
	// Of what a sink writes into a table: the sink and the epoch until which its output is in the table then, and if the sink is new
	// the change of the catalog that makes it known.
	sink      *sinkWriter
	sinkEpoch uint64
	catalog   *catalogChange
}

// txTable is a relation as a transaction has changed it.
type txTable struct {
	rel     *catalog.Relation
	work    *state.Table // nil: a push source keeps no rows
	version uint64       // of the relation when work was taken from it
	changes []*vec.Batch // owned
}

type savepoint struct {
	name  string
	marks map[uint32]savepointMark
}

type savepointMark struct {
	content *state.TableSnapshot
	changes int
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
	return &tx{explicit: explicit, started: s.e.clock(), tables: map[uint32]*txTable{}}
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
	s.tx = nil
	s.vars.endTransaction()
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
	k := &commit{alone: alone, sink: t.sink, sinkEpoch: t.sinkEpoch}
	type undo struct {
		r    *relation
		snap *state.TableSnapshot
		old  *state.Table
	}
	var done []undo
	revert := func() {
		for _, u := range done {
			if u.old != nil {
				u.r.table = u.old
			} else {
				u.r.table.Reset(u.snap)
			}
		}
	}
	for oid, tt := range t.tables {
		if len(tt.changes) == 0 {
			continue
		}
		w := tableWrite{oid: oid, changes: tt.changes}
		if tt.work != nil {
			e.cut.RLock()
			r := e.relations[oid]
			e.cut.RUnlock()
			var err error
			switch {
			case r == nil:
				err = pgerr.New(pgerr.UndefinedTable, "relation \"%s\" does not exist", tt.rel.Name)
			case r.version == tt.version:
				done = append(done, undo{r: r, old: r.table})
				r.table = tt.work
			default:
				snap := r.table.Snapshot()
				done = append(done, undo{r: r, snap: snap})
				for _, b := range tt.changes {
					if err = r.table.Apply(b); err != nil {
						err = conflict(r.rel, err)
						break
					}
				}
			}
			if err != nil {
				revert()
				return nil, err
			}
			w.after = r.table.Snapshot()
		}
		k.writes = append(k.writes, w)
	}
	if len(k.writes) == 0 && t.sink == nil {
		return nil, nil
	}
	if ch := t.catalog; ch != nil {
		if err := e.logCatalog(ch); err != nil {
			revert()
			return nil, err
		}
		k.ddl = func() { e.cat = ch.apply(e.cat) }
	}
	if err := e.logRows(k.writes); err != nil {
		revert()
		return nil, err
	}
	for _, u := range done {
		u.r.version++
	}
	for _, tt := range t.tables {
		tt.changes = nil // the commit owns them now
	}
	e.coord.enqueue(k)
	return k, nil
}

// conflict words the failure of a change that was valid when the statement ran.
func conflict(rel *catalog.Relation, err error) error {
	var dup *state.DuplicateKey
	if errors.As(err, &dup) {
		return duplicateKey(rel, dup)
	}
	return pgerr.New(pgerr.SerializationFailure, "could not serialize access due to concurrent update").WithCause(err)
}

// writable gives the transaction's copy of a table, or of the changes to a push source.
func (s *Session) writable(rel *catalog.Relation) (*txTable, error) {
	if tt := s.tx.tables[rel.OID]; tt != nil {
		return tt, nil
	}
	tt := &txTable{rel: rel}
	if rel.Kind == catalog.Table {
		s.e.write.Lock()
		s.e.cut.RLock()
		r := s.e.relations[rel.OID]
		s.e.cut.RUnlock()
		if r != nil {
			tt.work, tt.version = r.table.Clone(), r.version
		}
		s.e.write.Unlock()
		if r == nil {
			return nil, pgerr.New(pgerr.UndefinedTable, "relation \"%s\" does not exist", rel.Name)
		}
	}
	s.tx.tables[rel.OID] = tt
	return tt, nil
}

// transaction executes BEGIN and its kin and gives the command tag.
func (s *Session) transaction(ctx context.Context, t *ast.Transaction) (string, error) {
	switch t.Kind {
	case "begin":
		if s.tx != nil && s.tx.explicit {
			s.warning(pgerr.ActiveSQLTransaction, "there is already a transaction in progress")
		} else if s.tx != nil { // BEGIN inside a query string: the statements before it belong to the block
			s.tx.explicit = true
		} else {
			s.tx = s.newTx(true)
		}
		s.setTxModes(t)
		return "BEGIN", nil
	case "commit":
		if s.tx == nil || !s.tx.explicit {
			s.warning(pgerr.NoActiveSQLTransaction, "there is no transaction in progress")
			return "COMMIT", nil
		}
		if s.tx.failed {
			s.rollback()
			return "ROLLBACK", nil
		}
		if err := s.commit(ctx); err != nil {
			return "", err
		}
		if t.Chain {
			s.tx = s.newTx(true)
		}
		return "COMMIT", nil
	case "rollback":
		if s.tx == nil || !s.tx.explicit {
			s.warning(pgerr.NoActiveSQLTransaction, "there is no transaction in progress")
			return "ROLLBACK", nil
		}
		s.rollback()
		if t.Chain {
			s.tx = s.newTx(true)
		}
		return "ROLLBACK", nil
	case "savepoint", "release", "rollback to":
		return s.savepoint(t)
	case "set transaction":
		if s.tx == nil {
			s.warning(pgerr.NoActiveSQLTransaction, "SET TRANSACTION can only be used in transaction blocks")
		} else {
			s.setTxModes(t)
		}
		return "SET", nil
	case "set session characteristics":
		if t.Isolation != "" {
			if err := s.vars.set("default_transaction_isolation", t.Isolation, false); err != nil {
				return "", err
			}
		}
		if t.ReadOnly != nil {
			if err := s.vars.set("default_transaction_read_only", onOff(*t.ReadOnly), false); err != nil {
				return "", err
			}
		}
		return "SET", nil
	}
	return "", pgerr.New(pgerr.FeatureNotSupported, "%s is not supported", strings.ToUpper(t.Kind))
}

func onOff(b bool) string {
	if b {
		return "on"
	}
	return "off"
}

func (s *Session) setTxModes(t *ast.Transaction) {
	d, _ := s.vars.get("default_transaction_read_only")
	s.tx.readOnly = d == "on"
	if t.ReadOnly != nil {
		s.tx.readOnly = *t.ReadOnly
	}
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
		sp := savepoint{name: t.Savepoint, marks: map[uint32]savepointMark{}}
		for oid, tt := range s.tx.tables {
			m := savepointMark{changes: len(tt.changes)}
			if tt.work != nil {
				m.content = tt.work.Snapshot()
			}
			sp.marks[oid] = m
		}
		s.tx.savepoints = append(s.tx.savepoints, sp)
		return tag, nil
	}
	for i := len(s.tx.savepoints) - 1; i >= 0; i-- {
		sp := s.tx.savepoints[i]
		if sp.name != t.Savepoint {
			continue
		}
		if t.Kind == "release" {
			s.tx.savepoints = s.tx.savepoints[:i]
			return tag, nil
		}
		s.tx.failed = false
		s.tx.savepoints = s.tx.savepoints[:i+1]
		for oid, tt := range s.tx.tables {
			m, ok := sp.marks[oid]
			for _, b := range tt.changes[m.changes:] {
				b.Release()
			}
			tt.changes = tt.changes[:m.changes]
			if !ok {
				delete(s.tx.tables, oid)
			} else if tt.work != nil {
				tt.work.Reset(m.content)
			}
		}
		return tag, nil
	}
	return "", pgerr.New("3B001", "savepoint \"%s\" does not exist", t.Savepoint)
}
