package engine

import (
	"context"
	"slices"
	"strings"
	"sync"

	"streamsql/catalog"
	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/internal/vec"
)

// asideTable is a table that rows are put into beside the result of a query: late rows, or what could not be decoded.
type asideTable struct {
	rel  *catalog.Relation
	cols []int // where each of the columns that are put aside stands in rel
	rows *vec.Builder
}

// add appends a row; value i of it is appended by put(i, column).
func (t *asideTable) add(put func(i int, dst *vec.Vec)) {
	for i, c := range t.cols {
		put(i, &t.rows.Cols[c])
	}
	for c := range t.rows.Cols {
		if !slices.Contains(t.cols, c) {
			t.rows.Cols[c].AppendNull()
		}
	}
}

// aside gathers the rows that one query puts into tables beside its result, until they are committed.
type aside struct {
	e      *Engine
	owner  string // of tables that are made
	tables map[uint32]*asideTable
	// muted drops what is gathered: of a query that is run again, whose rows have been put aside before.
	muted bool
}

// asideRows are rows on their way into a table.
type asideRows struct {
	rel  *catalog.Relation
	rows *vec.Batch // owned
}

func newAside(e *Engine, owner string) *aside {
	return &aside{e: e, owner: owner, tables: map[uint32]*asideTable{}}
}

// open makes ready to put rows of columns fields into a table, making it if there is none; what says in messages which rows they are.
func (a *aside) open(schema, name string, fields []vec.Field, what string) (*asideTable, error) {
	rel, cols, err := a.e.asideRelation(a.owner, schema, name, fields, what)
	if err != nil {
		return nil, err
	}
	t := a.tables[rel.OID]
	if t == nil {
		t = &asideTable{rel: rel, rows: vec.NewBuilder(a.e.alloc, rel.Fields())}
		a.tables[rel.OID] = t
	}
	return &asideTable{rel: rel, cols: cols, rows: t.rows}, nil
}

// take gives the rows gathered so far; none for a nil aside.
func (a *aside) take() (out []asideRows) {
	if a == nil {
		return nil
	}
	for _, t := range a.tables {
		if t.rows.Len() == 0 {
			continue
		}
		b := t.rows.Finish()
		if a.muted {
			b.Release()
			continue
		}
		out = append(out, asideRows{t.rel, b})
	}
	return out
}

// commit makes the rows gathered so far visible and waits for the epoch that shows them. The caller holds no lock of the engine.
func (a *aside) commit() error {
	if len(a.tables) == 0 {
		return nil
	}
	return a.e.commitAside(a.take())
}

func (a *aside) close() {
	if a == nil {
		return
	}
	for _, t := range a.tables {
		t.rows.Release()
	}
	a.tables = map[uint32]*asideTable{}
}

// commitAside inserts rows by an ordinary commit for each table, so that views over it and subscribers see them. It
// takes the batches over. The caller holds no lock of the engine.
func (e *Engine) commitAside(rows []asideRows) (err error) {
	for _, r := range rows {
		if ierr := e.insertAside(r); ierr != nil && err == nil {
			err = ierr
		}
	}
	return err
}

func (e *Engine) insertAside(r asideRows) error {
	return e.insertRows(&tx{}, []asideRows{r}, true)
}

// insertRows inserts rows of relations in a transaction of their own, and waits for it. It takes the batches over. The caller holds no lock of the engine.
func (e *Engine) insertRows(t *tx, rows []asideRows, alone bool) error {
	t.tables = map[uint32]*txTable{}
	defer t.drop()
	for _, r := range rows {
		tt := t.tables[r.rel.OID]
		if tt == nil {
			tt = &txTable{rel: r.rel}
			t.tables[r.rel.OID] = tt
		}
		tt.changes = append(tt.changes, r.rows)
	}
	for _, tt := range t.tables {
		if err := checkNotNull(tt.rel, tt.changes); err != nil {
			return err
		}
	}
	e.write.Lock()
	k, err := func() (*commit, error) {
		for _, tt := range t.tables {
			if e.Catalog().ByOID(tt.rel.OID) == nil {
				return nil, pgerr.New(pgerr.UndefinedTable, "relation \"%s\" does not exist", tt.rel.Name)
			}
			if tt.rel.Kind == catalog.Table {
				e.cut.RLock()
				held := e.relations[tt.rel.OID]
				e.cut.RUnlock()
				tt.work, tt.version, tt.indexes = held.table.Clone(), held.version, cloneIndexes(held.indexes)
				if err := tt.apply(tt.changes); err != nil {
					return nil, err
				}
			}
		}
		return e.commitLocked(t, alone)
	}()
	e.write.Unlock()
	if err != nil || k == nil {
		return err
	}
	select {
	case err := <-k.done:
		return err
	case <-e.stopping: // the coordinator may have taken its last commit
		return pgerr.New(pgerr.AdminShutdown, "terminating connection due to administrator command")
	}
}

// asideRelation finds the relation that rows of columns fields are put into, or makes a table of those columns. cols says
// where each of them stands. The caller holds no lock of the engine.
func (e *Engine) asideRelation(owner, schema, name string, fields []vec.Field, what string) (*catalog.Relation, []int, error) {
	if rel := e.Catalog().Get(schema, name); rel != nil {
		cols, err := fits(rel, fields, what)
		return rel, cols, err
	}
	rel := &catalog.Relation{Schema: schema, Name: name, Kind: catalog.Table, Owner: owner, Comment: what}
	for _, f := range fields {
		if rel.ColumnIndex(f.Name) >= 0 {
			return nil, nil, pgerr.New(pgerr.DuplicateColumn, "column \"%s\" of table \"%s\" for %s would be there twice", f.Name, name, what).
				WithHint("Rename the column of the relation.")
		}
		rel.Columns = append(rel.Columns, catalog.Column{Name: f.Name, Type: f.Type})
	}
	e.write.Lock()
	defer e.write.Unlock()
	cat := e.Catalog()
	if old := cat.Get(schema, name); old != nil {
		cols, err := fits(old, fields, what)
		return old, cols, err
	}
	if _, ok := cat.SchemaOID(schema); !ok {
		return nil, nil, pgerr.New(pgerr.InvalidSchemaName, "schema \"%s\" does not exist", schema)
	}
	if schema == "pg_catalog" || schema == "information_schema" || schema == "sys" {
		return nil, nil, pgerr.New(pgerr.InsufficientPrivilege, "permission denied to create \"%s.%s\"", schema, name)
	}
	r := e.register(rel)
	if err := e.changeCatalog(&catalogChange{Put: []*catalog.Relation{rel}}, func() { e.addRelation(r) }); err != nil {
		return nil, nil, err
	}
	cols, err := fits(rel, fields, what)
	return rel, cols, err
}

// fits checks that an existing relation can take rows of columns fields, and gives where they go.
func fits(rel *catalog.Relation, fields []vec.Field, what string) (cols []int, err error) {
	var names []string
	for _, f := range fields {
		names = append(names, f.Name+" "+f.Type.Format())
	}
	refuse := func(code, format string, args ...any) error {
		return pgerr.New(code, format, args...).WithDetail("\"%s\" is to take %s.", rel.Name, what).
			WithHint("It needs the columns %s; name a table that does not exist and it is made.", strings.Join(names, ", "))
	}
	if _, connected := rel.Option("connector"); rel.Kind != catalog.Table && rel.Kind != catalog.Source || connected {
		return nil, pgerr.New(pgerr.WrongObjectType, "cannot put rows into %s \"%s\"", rel.Kind, rel.Name).
			WithDetail("\"%s\" is to take %s.", rel.Name, what).WithHint("Name a table, or a source without a connector.")
	}
	if rel.PrimaryKey != nil {
		return nil, refuse(pgerr.WrongObjectType, "table \"%s\" has a primary key, and such rows may repeat", rel.Name)
	}
	for _, f := range fields {
		i := rel.ColumnIndex(f.Name)
		if i < 0 {
			return nil, refuse(pgerr.UndefinedColumn, "column \"%s\" of relation \"%s\" does not exist", f.Name, rel.Name)
		}
		if c := rel.Columns[i]; c.Type.OID != f.Type.OID {
			return nil, refuse(pgerr.DatatypeMismatch, "column \"%s\" of relation \"%s\" is of type %s, not %s", f.Name, rel.Name, c.Type.Format(), f.Type.Format())
		}
		cols = append(cols, i)
	}
	for i, c := range rel.Columns {
		if c.Generated != "" || c.NotNull && !slices.Contains(cols, i) {
			return nil, refuse(pgerr.WrongObjectType, "column \"%s\" of relation \"%s\" cannot be left out", c.Name, rel.Name)
		}
	}
	return cols, nil
}

// maxAsideBacklog bounds the rows that wait to be put aside: jobs do not read on from connectors while there are more.
const maxAsideBacklog = 1 << 20

// asideWriter commits what the jobs of views put aside. They run inside a step of the coordinator, which commits
// need: so they hand the rows over.
type asideWriter struct {
	e    *Engine
	wake chan struct{}

	mu      sync.Mutex
	queue   []asideWork
	pending int // that have been put and are not committed
	rows    int
	closed  bool
}

// asideWork is what one step put aside. after, where not nil, is the commit that brought it about: whoever waits for that
// sees the rows put aside too.
type asideWork struct {
	rows  []asideRows
	after *commit
}

func newAsideWriter(e *Engine) *asideWriter { return &asideWriter{e: e, wake: make(chan struct{}, 1)} }

// put hands rows over. It does not wait.
func (w *asideWriter) put(rows []asideRows, after *commit) {
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		asideWork{rows, after}.drop()
		return
	}
	w.queue = append(w.queue, asideWork{rows, after})
	w.pending++
	for _, r := range rows {
		w.rows += r.rows.N
	}
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func (k asideWork) drop() {
	for _, r := range k.rows {
		r.rows.Release()
	}
	if k.after != nil {
		k.after.done <- nil
	}
}

// idle says that everything that was put is committed. A durable epoch is cut then only: what was put aside by a step that it
// holds would otherwise be lost in a crash.
func (w *asideWriter) idle() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.pending == 0
}

func (w *asideWriter) committed() {
	w.mu.Lock()
	w.pending--
	last := w.pending == 0
	w.mu.Unlock()
	if last {
		w.e.coord.poke()
	}
}

// full says that too many rows wait.
func (w *asideWriter) full() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.rows > maxAsideBacklog
}

// run commits what is handed over until ctx is done.
func (w *asideWriter) run(ctx context.Context) {
	for {
		w.mu.Lock()
		queue := w.queue
		w.queue, w.rows = nil, 0
		if ctx.Err() != nil {
			w.closed = true
		}
		w.mu.Unlock()
		for _, k := range queue {
			if ctx.Err() != nil {
				k.drop()
				w.committed()
				continue
			}
			if err := w.e.commitAside(k.rows); err != nil {
				w.e.log.Error("rows could not be put aside", "error", err)
			}
			if k.after != nil {
				w.e.persist.await(k.after.done)
			}
			w.committed()
		}
		if ctx.Err() != nil {
			return
		}
		if len(queue) > 0 {
			continue
		}
		select {
		case <-ctx.Done():
		case <-w.wake:
		}
	}
}

// rowText words a row for the detail of an error, as PostgreSQL does.
func rowText(b *vec.Batch, row int) string {
	vals := make([]string, len(b.Cols))
	env := types.Env{}
	var v vec.Vec
	for c, a := range b.Cols {
		v.View(a)
		vals[c] = "null"
		if d := v.Datum(row); d != nil {
			vals[c] = string(types.AppendText(nil, &env, b.Schema.Fields[c].Type, d))
		}
	}
	return strings.Join(vals, ", ")
}
