package engine

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"streamsql/catalog"
	"streamsql/internal/fn"
	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/sql/parser"
	"streamsql/sql/parser/ast"
	"streamsql/sql/planner"
)

// objectName makes a name of its parts that fits into 63 bytes, as PostgreSQL's makeObjectName: the longer part gives way.
func objectName(first, second, label string) string {
	over := len(label)
	if label != "" {
		over++
	}
	if second != "" {
		over++
	}
	for len(first)+len(second)+over > 63 {
		if len(first) > len(second) {
			first = first[:len(first)-1]
		} else {
			second = second[:len(second)-1]
		}
	}
	s := strings.ToValidUTF8(first, "")
	if second != "" {
		s += "_" + strings.ToValidUTF8(second, "")
	}
	if label != "" {
		s += "_" + label
	}
	return s
}

// freeName gives the first of name, name1, name2 .. that is not taken.
func freeName(first, second, label string, taken func(string) bool) string {
	for i := 0; ; i++ {
		l := label
		if i > 0 {
			l = fmt.Sprintf("%s%d", label, i)
		}
		if n := objectName(first, second, l); !taken(n) {
			return n
		}
	}
}

// relationTaken tells whether a name is a relation's or index's in a schema.
func relationTaken(cat *catalog.Snapshot, schema string, also ...*catalog.Relation) func(string) bool {
	return func(n string) bool {
		if cat.Get(schema, n) != nil || cat.FindIndex(schema, n, nil) != nil {
			return true
		}
		for _, r := range also {
			if r.Schema == schema && r.Name == n || slices.ContainsFunc(r.AllIndexes(), func(x catalog.IndexInfo) bool { return x.Name == n }) {
				return true
			}
		}
		return false
	}
}

// constraintTaken tells whether a name is that of a constraint of the relation.
func constraintTaken(rel *catalog.Relation) func(string) bool {
	return func(n string) bool {
		return rel.FindConstraint(n) != nil || rel.PrimaryKey != nil && rel.PrimaryKeyName == n
	}
}

// tableParts gathers what a table brings along while it is defined: its sequences and the constraints that must wait until all
// columns are there.
type tableParts struct {
	s     *Session
	rel   *catalog.Relation
	cat   *catalog.Snapshot
	seqs  []*catalog.Relation // owned by a column, in the order of cols
	cols  []int
	later []*ast.Constraint
}

// addColumn resolves a column and adds it to the relation.
func (t *tableParts) addColumn(d *ast.ColumnDef) error {
	rel := t.rel
	if rel.ColumnIndex(d.Name) >= 0 {
		return pgerr.New(pgerr.DuplicateColumn, "column \"%s\" specified more than once", d.Name).At(d.Pos)
	}
	col := catalog.Column{Name: d.Name, NotNull: d.NotNull || d.PrimaryKey, Default: d.DefaultText, Generated: d.GeneratedText, Identity: d.Identity}
	if n := rel.NextNum(); rel.LastNum != 0 || int(n) != len(rel.Columns)+1 {
		col.Num, rel.LastNum = n, n
	}
	typ, domain, err := planner.ResolveColumnType(d.Type, t.cat, t.s.searchPath(t.cat))
	if err != nil {
		return err
	}
	if col.Type, col.Domain = typ, domain; typ.IsPseudo() {
		return pgerr.New(pgerr.InvalidTableDefinition, "column \"%s\" has pseudo-type %s", d.Name, typ).At(d.Pos)
	}
	if d.Serial && d.Default != nil || d.Identity != "" && d.Default != nil {
		what := "identity"
		if d.Serial {
			what = "default"
		}
		return pgerr.New(pgerr.SyntaxError, "multiple %s values specified for column \"%s\" of table \"%s\"", what, d.Name, rel.Name).At(d.Pos)
	}
	if d.Identity != "" && d.GeneratedText != "" {
		return pgerr.New(pgerr.SyntaxError, "both identity and generation expression specified for column \"%s\" of table \"%s\"", d.Name, rel.Name).At(d.Pos)
	}
	rel.Columns = append(rel.Columns, col)
	i := len(rel.Columns) - 1
	if d.Serial || d.Identity != "" {
		if rel.Kind != catalog.Table {
			return pgerr.New(pgerr.FeatureNotSupported, "serial and identity columns need a table").At(d.Pos)
		}
		if err := t.addSequence(i, d.Sequence, d.Pos); err != nil {
			return err
		}
	} else if err := t.s.setDefaultSequence(&rel.Columns[i], d.Default); err != nil {
		return err
	}
	for _, c := range d.Constraints {
		if err := t.addConstraint(c, d.Name); err != nil {
			return err
		}
	}
	return nil
}

// addSequence makes the sequence of a serial or identity column.
func (t *tableParts) addSequence(i int, o *ast.SequenceOptions, pos int) error {
	col := &t.rel.Columns[i]
	switch col.Type.OID {
	case types.OIDInt2, types.OIDInt4, types.OIDInt8:
	default:
		return pgerr.New(pgerr.InvalidParameterValue, "identity column type must be smallint, integer, or bigint").At(pos)
	}
	name := freeName(t.rel.Name, col.Name, "seq", relationTaken(t.cat, t.rel.Schema, append(t.seqs, t.rel)...))
	schema := t.rel.Schema
	if o == nil {
		o = &ast.SequenceOptions{}
	} else if o.Name != nil {
		name = o.Name.Base()
		if o.Name.Schema() != "" {
			schema = o.Name.Schema()
		}
	}
	def := catalog.Sequence{Type: col.Type, Identity: col.Identity != ""}
	if err := t.s.sequenceOptions(&def, o, true); err != nil {
		return err
	}
	t.seqs = append(t.seqs, &catalog.Relation{Schema: schema, Name: name, Kind: catalog.SequenceKind, Owner: t.s.ownerName(), Sequence: &def,
		Columns: sequenceColumns(), Temp: t.rel.Temp})
	t.cols = append(t.cols, i)
	return nil
}

// setDefaultSequence recognises DEFAULT nextval('s'), whose sequence may be renamed: the column then names it by its OID.
func (s *Session) setDefaultSequence(col *catalog.Column, e ast.Expr) error {
	col.Sequence = 0
	if c, ok := e.(*ast.Cast); ok {
		e = c.X
	}
	call, ok := e.(*ast.FuncCall)
	if !ok || call.Name.Base() != "nextval" || len(call.Args) != 1 || call.Name.Schema() != "" && call.Name.Schema() != "pg_catalog" {
		return nil
	}
	arg := call.Args[0]
	if c, ok := arg.(*ast.Cast); ok {
		arg = c.X
	}
	lit, ok := arg.(*ast.Literal)
	if !ok || lit.Kind != ast.LitString {
		return nil
	}
	oid, err := (&sessionInfo{s: s, cat: s.catalog()}).RegLookup(types.Regclass, lit.Text)
	if err != nil {
		return pgerr.AtPos(err, arg.Position())
	}
	if r := s.catalog().ByOID(oid); r == nil || r.Kind != catalog.SequenceKind {
		return pgerr.New(pgerr.WrongObjectType, "\"%s\" is not a sequence", lit.Text).At(arg.Position())
	}
	if col.Type.OID == types.OIDInt2 || col.Type.OID == types.OIDInt4 || col.Type.OID == types.OIDInt8 {
		col.Sequence, col.Default = oid, ""
	}
	return nil
}

// addConstraint adds a constraint; column is the one that it was written with, "" of a table constraint. What refers to
// columns or tables waits until all columns are there.
func (t *tableParts) addConstraint(c *ast.Constraint, column string) error {
	rel := t.rel
	if rel.Kind != catalog.Table && c.Kind != "primary key" {
		return pgerr.New(pgerr.FeatureNotSupported, "%s constraints need a table", strings.ToUpper(c.Kind)).
			WithDetail("A source keeps no rows; its rows are not checked.").At(c.Pos)
	}
	if c.Kind == "primary key" && rel.PrimaryKey != nil {
		return multipleKeys(rel, c.Pos)
	}
	if c.Kind == "primary key" {
		if c.UsingIndex != "" {
			return pgerr.New(pgerr.FeatureNotSupported, "PRIMARY KEY USING INDEX is not supported").At(c.Pos)
		}
		if column != "" {
			rel.PrimaryKey = []int{rel.ColumnIndex(column)}
			rel.PrimaryKeyName = c.Name
			return nil
		}
		return t.setPrimaryKey(c)
	}
	k := *c
	if column != "" && c.Kind != "check" {
		k.Columns = []string{column}
	}
	t.later = append(t.later, &k)
	return nil
}

func (t *tableParts) setPrimaryKey(c *ast.Constraint) error {
	rel := t.rel
	rel.PrimaryKeyName = c.Name
	rel.PrimaryKey = nil
	for _, n := range c.Columns {
		i := rel.ColumnIndex(n)
		if i < 0 {
			return pgerr.New(pgerr.UndefinedColumn, "column \"%s\" named in key does not exist", n).At(c.Pos)
		}
		if slices.Contains(rel.PrimaryKey, i) {
			return pgerr.New(pgerr.DuplicateColumn, "column \"%s\" appears twice in primary key constraint", n).At(c.Pos)
		}
		rel.Columns[i].NotNull = true
		rel.PrimaryKey = append(rel.PrimaryKey, i)
	}
	return nil
}

// finish binds what waited: defaults, generated columns, CHECK, UNIQUE and FOREIGN KEY. The relation has its OIDs.
func (t *tableParts) finish() error {
	for _, c := range t.later {
		k, err := t.constraint(c)
		if err != nil {
			return err
		}
		t.rel.Constraints = append(t.rel.Constraints, k)
	}
	t.later = nil
	return nil
}

// constraint binds one constraint besides the primary key. Its OIDs are the caller's to give.
func (t *tableParts) constraint(c *ast.Constraint) (*catalog.Constraint, error) {
	rel := t.rel
	if c.Name != "" && constraintTaken(rel)(c.Name) {
		return nil, pgerr.New(pgerr.DuplicateObject, "constraint \"%s\" for relation \"%s\" already exists", c.Name, rel.Name).At(c.Pos)
	}
	k := &catalog.Constraint{Name: c.Name, Deferrable: c.Deferrable, Deferred: c.Deferred, NotValid: c.NotValid}
	var err error
	columns := func(names []string, of *catalog.Relation) (nums []int16, cols []int, err error) {
		for _, n := range names {
			i := of.ColumnIndex(n)
			if i < 0 {
				what := "named in key"
				if c.Kind == "foreign key" {
					what = "referenced in foreign key constraint"
				}
				return nil, nil, pgerr.New(pgerr.UndefinedColumn, "column \"%s\" %s does not exist", n, what).At(c.Pos)
			}
			if c.Kind == "unique" && slices.Contains(cols, i) {
				return nil, nil, pgerr.New(pgerr.DuplicateColumn, "column \"%s\" appears twice in unique constraint", n).At(c.Pos)
			}
			nums, cols = append(nums, of.Attnum(i)), append(cols, i)
		}
		return nums, cols, nil
	}
	taken := constraintTaken(rel)
	switch c.Kind {
	case "check":
		k.Kind, k.Expr = catalog.CheckConstraint, c.CheckText
		if err := t.s.bindCheck(rel, c.Check); err != nil {
			return nil, err
		}
		used := exprColumns(rel, c.CheckText)
		k.Columns = rel.Attnums(used)
		second := ""
		if len(used) == 1 {
			second = rel.Columns[used[0]].Name
		}
		if k.Name == "" {
			k.Name = freeName(rel.Name, second, "check", taken)
		}
	case "unique":
		k.Kind = catalog.UniqueConstraint
		if c.UsingIndex != "" {
			return nil, pgerr.New(pgerr.FeatureNotSupported, "UNIQUE USING INDEX is not supported").At(c.Pos)
		}
		if k.Columns, _, err = columns(c.Columns, rel); err != nil {
			return nil, err
		}
		relTaken := relationTaken(t.cat, rel.Schema, append(t.seqs, rel)...)
		if k.Name == "" {
			k.Name = freeName(rel.Name, objectName(strings.Join(c.Columns, "_"), "", ""), "key", func(n string) bool { return relTaken(n) || taken(n) })
		} else if relTaken(k.Name) {
			return nil, pgerr.New(pgerr.DuplicateTable, "relation \"%s\" already exists", k.Name).At(c.Pos)
		}
	case "foreign key":
		return k, t.foreignKey(k, c, columns)
	default:
		return nil, pgerr.New(pgerr.FeatureNotSupported, "%s constraints are not supported", strings.ToUpper(c.Kind)).At(c.Pos)
	}
	return k, nil
}

// foreignKey binds REFERENCES.
func (t *tableParts) foreignKey(k *catalog.Constraint, c *ast.Constraint, columns func([]string, *catalog.Relation) ([]int16, []int, error)) error {
	k.Kind, k.OnUpdate, k.OnDelete, k.Match = catalog.ForeignConstraint, c.OnUpdate, c.OnDelete, c.Match
	rel := t.rel
	ref := t.cat.Find(c.RefTable.Schema(), c.RefTable.Base(), t.s.searchPath(t.cat))
	if ref == nil && (c.RefTable.Schema() == "" || c.RefTable.Schema() == rel.Schema) && c.RefTable.Base() == rel.Name {
		ref = rel // the table itself, which is being made
	} else if ref != nil && ref.OID == rel.OID {
		ref = rel
	}
	switch {
	case ref == nil:
		return pgerr.New(pgerr.UndefinedTable, "relation \"%s\" does not exist", c.RefTable.String()).At(c.RefTable.Pos)
	case ref.Kind != catalog.Table:
		return pgerr.New(pgerr.WrongObjectType, "referenced relation \"%s\" is not a table", ref.Name).At(c.RefTable.Pos)
	case rel.Temp != ref.Temp:
		what := "temporary"
		if !rel.Temp {
			what = "permanent"
		}
		return pgerr.New(pgerr.InvalidTableDefinition, "constraints on %s tables may reference only %s tables", what, what).At(c.Pos)
	}
	var cols, refCols []int
	var err error
	if k.Columns, cols, err = columns(c.Columns, rel); err != nil {
		return err
	}
	if len(c.RefColumns) == 0 {
		if ref.PrimaryKey == nil {
			return pgerr.New(pgerr.UndefinedObject, "there is no primary key for referenced table \"%s\"", ref.Name).At(c.Pos)
		}
		refCols = ref.PrimaryKey
		k.RefColumns = ref.Attnums(refCols)
	} else if k.RefColumns, refCols, err = columns(c.RefColumns, ref); err != nil {
		return err
	}
	if ref != rel {
		if err := t.s.mayReference(ref, k.RefColumns); err != nil {
			return err
		}
	}
	if len(cols) != len(refCols) {
		return pgerr.New("42830", "number of referencing and referenced columns for foreign key disagree").At(c.Pos)
	}
	found := slices.Equal(refCols, ref.PrimaryKey) || samePermuted(refCols, ref.PrimaryKey)
	for _, x := range ref.AllIndexes() {
		found = found || x.Unique && x.Where == "" && samePermuted(refCols, x.Columns)
	}
	if ref == rel {
		for _, o := range t.later {
			if o.Kind == "unique" {
				if _, u, err := columns(o.Columns, rel); err == nil {
					found = found || samePermuted(refCols, u)
				}
			}
		}
	}
	if !found {
		return pgerr.New("42830", "there is no unique constraint matching given keys for referenced table \"%s\"", ref.Name).At(c.Pos)
	}
	if k.Name == "" {
		k.Name = freeName(rel.Name, objectName(strings.Join(c.Columns, "_"), "", ""), "fkey", constraintTaken(rel))
	}
	for i := range cols {
		a, b := rel.Columns[cols[i]].Type, ref.Columns[refCols[i]].Type
		if a.OID != b.OID && !(integral(a) && integral(b)) && !(stringy(a) && stringy(b)) {
			return pgerr.New(pgerr.DatatypeMismatch, "foreign key constraint \"%s\" cannot be implemented", k.Name).
				WithDetail("Key columns \"%s\" and \"%s\" are of incompatible types: %s and %s.", rel.Columns[cols[i]].Name, ref.Columns[refCols[i]].Name,
					a.Bare().Format(), b.Bare().Format()).At(c.Pos)
		}
	}
	k.Ref = ref.OID // 0: the table itself, which has no OID yet
	return nil
}

func integral(t types.T) bool {
	return t.OID == types.OIDInt2 || t.OID == types.OIDInt4 || t.OID == types.OIDInt8
}

func stringy(t types.T) bool { return t.OID == types.OIDText || t.OID == types.OIDVarchar }

func samePermuted(a, b []int) bool {
	x, y := slices.Clone(a), slices.Clone(b)
	slices.Sort(x)
	slices.Sort(y)
	return slices.Equal(x, y)
}

// bindCheck binds the expression of a CHECK constraint.
func (s *Session) bindCheck(rel *catalog.Relation, e ast.Expr) error {
	_, err := s.bindCondition(rel, e, "check constraints", "CHECK")
	return err
}

// bindCondition binds a condition on the rows of a table, of which clause and word tell for messages what it is.
func (s *Session) bindCondition(rel *catalog.Relation, e ast.Expr, clause, word string) (planner.Expr, error) {
	o := s.columnOptions(rel)
	o.Clause = clause
	x, err := planner.BindScalar(e, rel.Fields().Fields, types.T{}, o)
	if err != nil {
		return nil, err
	}
	if !x.Type().Is(types.Bool) && !x.Type().Is(types.Unknown) {
		was := x
		if x, err = planner.BindScalar(e, rel.Fields().Fields, types.Bool, o); err != nil {
			return nil, pgerr.New(pgerr.DatatypeMismatch, "argument of %s must be type boolean, not type %s", word, was.Type().Format()).At(e.Position())
		}
	}
	return x, nil
}

// exprColumns gives the columns that an expression over a relation names.
func exprColumns(rel *catalog.Relation, text string) []int {
	var out []int
	for _, ref := range columnRefs(text) {
		if i := rel.ColumnIndex(ref.name); i >= 0 && !slices.Contains(out, i) {
			out = append(out, i)
		}
	}
	return out
}

// columnRef is a column named in an expression: where its last part begins, in characters from 0.
type columnRef struct {
	name string
	refs *ast.ColumnRef
}

// columnRefs finds the columns in an expression, or in a term of an index.
func columnRefs(text string) []columnRef {
	t, err := parser.ParseIndexTerm(text)
	if err != nil {
		return nil
	}
	var out []columnRef
	ast.WalkExpr(t.Expr, func(x ast.Expr) bool {
		if c, ok := x.(*ast.ColumnRef); ok {
			out = append(out, columnRef{c.Parts[len(c.Parts)-1], c})
		}
		return true
	})
	return out
}

// sequenceColumns are what SELECT from a sequence shows.
func sequenceColumns() []catalog.Column {
	return []catalog.Column{{Name: "last_value", Type: types.Int8, NotNull: true}, {Name: "log_cnt", Type: types.Int8, NotNull: true},
		{Name: "is_called", Type: types.Bool, NotNull: true}}
}

// sequenceOptions puts options into the definition of a sequence; fresh says that it is new.
func (s *Session) sequenceOptions(d *catalog.Sequence, o *ast.SequenceOptions, fresh bool) error {
	invalid := func(format string, args ...any) error {
		return pgerr.New(pgerr.InvalidParameterValue, format, args...).At(0)
	}
	old := *d
	if fresh {
		if d.Type.OID == 0 {
			d.Type = types.Int8
		}
		d.Increment, d.Cache = 1, 1
	}
	if o.Type != nil {
		t, err := planner.ResolveType(*o.Type, s.catalog())
		if err != nil {
			return err
		}
		if d.Identity && fresh && t.OID != d.Type.OID {
			return invalid("sequence type %s conflicts with the type of the identity column", t.Format())
		}
		if !integral(t) {
			return invalid("sequence type must be smallint, integer, or bigint")
		}
		d.Type = t
	}
	low, high := int64(math.MinInt64), int64(math.MaxInt64)
	limits := func(t types.T) (int64, int64) {
		switch t.OID {
		case types.OIDInt2:
			return math.MinInt16, math.MaxInt16
		case types.OIDInt4:
			return math.MinInt32, math.MaxInt32
		}
		return math.MinInt64, math.MaxInt64
	}
	low, high = limits(d.Type)
	if o.Increment != nil {
		if d.Increment = *o.Increment; d.Increment == 0 {
			return invalid("INCREMENT must not be zero")
		}
	}
	oldLow, oldHigh := limits(old.Type)
	resetMax := !fresh && o.Type != nil && (old.Max == oldHigh && old.Increment > 0)
	resetMin := !fresh && o.Type != nil && (old.Min == oldLow && old.Increment < 0)
	switch {
	case o.Max != nil:
		d.Max = *o.Max
	case fresh || o.NoMax || resetMax:
		if d.Max = high; d.Increment < 0 {
			d.Max = -1
		}
	}
	switch {
	case o.Min != nil:
		d.Min = *o.Min
	case fresh || o.NoMin || resetMin:
		if d.Min = 1; d.Increment < 0 {
			d.Min = low
		}
	}
	switch {
	case d.Max > high || d.Max < low:
		return invalid("MAXVALUE (%d) is out of range for sequence data type %s", d.Max, d.Type.Format())
	case d.Min > high || d.Min < low:
		return invalid("MINVALUE (%d) is out of range for sequence data type %s", d.Min, d.Type.Format())
	case d.Min >= d.Max:
		return invalid("MINVALUE (%d) must be less than MAXVALUE (%d)", d.Min, d.Max)
	}
	if o.Start != nil {
		d.Start = *o.Start
	} else if fresh {
		if d.Start = d.Min; d.Increment < 0 {
			d.Start = d.Max
		}
	}
	switch {
	case d.Start < d.Min:
		return invalid("START value (%d) cannot be less than MINVALUE (%d)", d.Start, d.Min)
	case d.Start > d.Max:
		return invalid("START value (%d) cannot be greater than MAXVALUE (%d)", d.Start, d.Max)
	}
	if o.Cycle != nil {
		d.Cycle = *o.Cycle
	}
	if o.Cache != nil {
		d.Cache = *o.Cache
	}
	return nil
}

// ownedBy resolves OWNED BY.
func (s *Session) ownedBy(seq *catalog.Relation, o *ast.SequenceOptions) error {
	if o.OwnedByNone {
		seq.Sequence.Owner, seq.Sequence.OwnerColumn = 0, 0
	}
	if o.OwnedBy == nil {
		return nil
	}
	n := *o.OwnedBy
	if len(n.Parts) < 2 {
		return pgerr.New(pgerr.SyntaxError, "invalid OWNED BY option").WithHint("Specify OWNED BY table.column or OWNED BY NONE.").At(n.Pos)
	}
	rel, err := s.lookup(ast.Name{Parts: n.Parts[:len(n.Parts)-1], Pos: n.Pos}, catalog.Table)
	if err != nil {
		return err
	}
	i := rel.ColumnIndex(n.Base())
	if i < 0 {
		return pgerr.New(pgerr.UndefinedColumn, "column \"%s\" of relation \"%s\" does not exist", n.Base(), rel.Name).At(n.Pos)
	}
	if rel.Schema != seq.Schema {
		return pgerr.New(pgerr.ObjectNotInPrerequisiteState, "sequence must be in same schema as table it is linked to").At(n.Pos)
	}
	seq.Sequence.Owner, seq.Sequence.OwnerColumn = rel.OID, rel.Attnum(i)
	return nil
}

// createSequence executes CREATE SEQUENCE.
func (s *Session) createSequence(_ context.Context, x *ast.CreateSequence) error {
	schema, name, err := s.qualifyTemp(x.Name, x.Temp)
	if err != nil {
		return err
	}
	if skip, err := s.taken(schema, name, x.IfNotExists, x.Name.Pos); skip || err != nil {
		return err
	}
	rel := &catalog.Relation{Schema: schema, Name: name, Kind: catalog.SequenceKind, Owner: s.ownerName(), Sequence: &catalog.Sequence{},
		Columns: sequenceColumns(), Temp: isTempSchema(schema)}
	if err := s.sequenceOptions(rel.Sequence, &x.Options, true); err != nil {
		return err
	}
	if err := s.ownedBy(rel, &x.Options); err != nil {
		return err
	}
	s.e.write.Lock()
	defer s.e.write.Unlock()
	s.e.register(rel)
	s.e.sequences.declare(rel)
	s.change(&ddl{ch: &catalogChange{Put: []*catalog.Relation{rel}}, newSequences: []uint32{rel.OID}})
	return nil
}

// restartValue gives the value that a sequence begins with anew, with what RESTART names.
func restartValue(d *catalog.Sequence, with *int64) (int64, error) {
	v := d.Start
	if with != nil {
		v = *with
	}
	if v < d.Min {
		return 0, pgerr.New(pgerr.InvalidParameterValue, "RESTART value (%d) cannot be less than MINVALUE (%d)", v, d.Min)
	}
	if v > d.Max {
		return 0, pgerr.New(pgerr.InvalidParameterValue, "RESTART value (%d) cannot be greater than MAXVALUE (%d)", v, d.Max)
	}
	return v, nil
}

// ownedSequences gives the sequences that belong to a column of a relation, or with column 0 to any.
func ownedSequences(cat *catalog.Snapshot, oid uint32, column int16) []*catalog.Relation {
	var out []*catalog.Relation
	for _, r := range cat.Relations() {
		if q := r.Sequence; q != nil && q.Owner == oid && (column == 0 || q.OwnerColumn == column) {
			out = append(out, r)
		}
	}
	return out
}

// quoted gives a name as SQL text.
func quoted(n string) string { return fn.QuoteIdent(n) }
