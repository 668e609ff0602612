package engine

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"streamsql/catalog"
	"streamsql/connector/format"
	"streamsql/exec"
	"streamsql/internal/mem"
	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/internal/vec"
	"streamsql/sql/parser"
	"streamsql/sql/parser/ast"
	"streamsql/sql/planner"
)

// planCopyOut plans COPY (query) TO and COPY table TO.
func (s *Session) planCopyOut(x *ast.Copy, o *planner.Options) (*planner.Query, error) {
	switch {
	case x.Query != nil:
		return planner.PlanQuery(x.Query, o)
	case x.Subscribe != nil:
		return planner.PlanSubscribe(x.Subscribe, o)
	}
	rel, err := s.lookup(*x.Table)
	if err != nil {
		return nil, err
	}
	if rel.Kind == catalog.View {
		return nil, pgerr.New(pgerr.WrongObjectType, "cannot copy from view \"%s\"", rel.Name).
			WithHint("Try the COPY (SELECT ...) TO variant.").At(x.Table.Pos)
	}
	cols := x.Columns
	if len(cols) == 0 {
		for _, c := range rel.Columns {
			cols = append(cols, c.Name)
		}
	}
	sel := &ast.Select{From: []ast.FromItem{&ast.TableRef{Name: *x.Table, Pos: x.Table.Pos}}}
	for _, c := range cols {
		sel.Items = append(sel.Items, ast.SelectItem{Expr: &ast.ColumnRef{Parts: []string{c}}})
	}
	q, err := planner.PlanQuery(&ast.Query{Body: sel}, o)
	o.Uses.Relations = []planner.RelationUse{{Rel: rel, Needs: catalog.PrivSelect, Columns: attnums(rel, cols)}}
	return q, err
}

// copyPortal makes the portal of COPY.
func (s *Session) copyPortal(ctx context.Context, x *ast.Copy, st *Statement, args []types.Datum) (Portal, error) {
	if err := s.mayCopyFile(x); err != nil {
		return nil, err
	}
	if x.Program || x.File != "" {
		return nil, pgerr.New(pgerr.FeatureNotSupported, "COPY to or from a server file is not supported").
			WithHint("Use COPY .. FROM STDIN or TO STDOUT, psql's \\copy, or a source with connector = 'file'.").At(x.Pos)
	}
	if !x.From {
		f, err := copyFormat(x, st.query.Columns)
		if err != nil {
			return nil, err
		}
		return &copyOutPortal{queryPortal: s.bindQuery(ctx, st.query, queryColumns(st.query), args), format: f}, nil
	}
	if s.readOnly() {
		return nil, errReadOnly("COPY FROM")
	}
	in, err := s.newCopyIn(ctx, x)
	if err != nil {
		return nil, err
	}
	return &copyInPortal{in: in}, nil
}

// copyFormat gives COPY's options with their defaults, and checks them. fields are the columns copied.
func copyFormat(x *ast.Copy, fields []vec.Field) (*CopyFormat, error) {
	f := &CopyFormat{Format: x.Format, Delimiter: '\t', Null: `\N`, Quote: '"'}
	if f.Format == "" {
		f.Format = "text"
	}
	csv := f.Format == "csv"
	if csv {
		f.Delimiter, f.Null = ',', ""
	}
	bad := func(code, format string, a ...any) (*CopyFormat, error) {
		return nil, pgerr.New(code, format, a...).At(x.Pos)
	}
	switch {
	case f.Format != "text" && f.Format != "csv" && f.Format != "binary":
		return bad(pgerr.InvalidParameterValue, "COPY format \"%s\" not recognized", f.Format)
	case f.Format == "binary" && (x.Delimiter != "" || x.Null != nil || x.Header != ""):
		return bad(pgerr.SyntaxError, "cannot specify DELIMITER, NULL or HEADER in BINARY mode")
	case !csv && (x.Quote != "" || x.Escape != "" || len(x.ForceQuote)+len(x.ForceNull)+len(x.ForceNotNull) > 0):
		return bad(pgerr.FeatureNotSupported, "COPY quote, escape and force options are available only in CSV mode")
	case len(x.Delimiter) > 1:
		return bad(pgerr.FeatureNotSupported, "COPY delimiter must be a single one-byte character")
	case len(x.Quote) > 1:
		return bad(pgerr.FeatureNotSupported, "COPY quote must be a single one-byte character")
	case len(x.Escape) > 1:
		return bad(pgerr.FeatureNotSupported, "COPY escape must be a single one-byte character")
	case x.Encoding != "" && !strings.EqualFold(x.Encoding, "utf8") && !strings.EqualFold(x.Encoding, "utf-8"):
		return bad(pgerr.FeatureNotSupported, "COPY encoding \"%s\" is not supported", x.Encoding)
	}
	if x.Delimiter != "" {
		f.Delimiter = x.Delimiter[0]
	}
	if x.Null != nil {
		f.Null = *x.Null
	}
	if x.Quote != "" {
		f.Quote = x.Quote[0]
	}
	f.Escape = f.Quote
	if x.Escape != "" {
		f.Escape = x.Escape[0]
	}
	f.Header, f.Match = x.Header != "", x.Header == "match"
	if f.Match && !x.From {
		return bad(pgerr.FeatureNotSupported, "cannot use \"match\" with HEADER in COPY TO")
	}
	if csv && f.Delimiter == f.Quote {
		return bad(pgerr.InvalidParameterValue, "COPY delimiter and quote must be different")
	}
	mark := func(names []string) ([]bool, error) {
		if len(names) == 0 {
			return nil, nil
		}
		out := make([]bool, len(fields))
		for _, n := range names {
			found := n == "*"
			for i := range fields {
				if n == "*" || fields[i].Name == n {
					out[i], found = true, true
				}
			}
			if !found {
				return nil, pgerr.New(pgerr.InvalidColumnReference, "column \"%s\" not referenced by COPY", n).At(x.Pos)
			}
		}
		return out, nil
	}
	var err error
	if f.ForceQuote, err = mark(x.ForceQuote); err != nil {
		return nil, err
	}
	if f.ForceNull, err = mark(x.ForceNull); err != nil {
		return nil, err
	}
	f.ForceNotNull, err = mark(x.ForceNotNull)
	return f, err
}

// copyOutPortal is a query whose rows the server writes as COPY data.
type copyOutPortal struct {
	*queryPortal
	format *CopyFormat
}

func (p *copyOutPortal) CopyOut() *CopyFormat  { return p.format }
func (p *copyOutPortal) Tag(rows int64) string { return fmt.Sprintf("COPY %d", rows) }

// copyInPortal hands out the CopyIn; the protocol layer feeds it.
type copyInPortal struct{ in *CopyIn }

func (p *copyInPortal) Columns() []Column    { return nil }
func (p *copyInPortal) CopyOut() *CopyFormat { return nil }
func (p *copyInPortal) CopyIn() *CopyIn      { return p.in }
func (p *copyInPortal) Continuous() bool     { return false }
func (p *copyInPortal) Tag(int64) string     { return fmt.Sprintf("COPY %d", p.in.rows) }
func (p *copyInPortal) Close()               { p.in.drop() }

// Fetch implements Portal; the data comes through CopyIn instead.
func (p *copyInPortal) Fetch(context.Context, int) (*vec.Batch, bool, error) {
	return nil, true, pgerr.New(pgerr.ProtocolViolation, "COPY FROM STDIN was given no data")
}

// CopyIn takes the data of COPY FROM STDIN. Nothing is visible before Finish; an
// error of Write or Finish ends the COPY and changes nothing.
type CopyIn struct {
	s        *Session
	rel      *catalog.Relation
	format   *CopyFormat
	fields   []vec.Field // the columns that the data has
	split    *format.Delimited
	header   bool
	bin      []byte
	binBegun bool
	binEnded bool
	builder  *vec.Builder
	maker    *rowMaker
	where    *exec.Program
	batches  []*vec.Batch // full rows of the relation
	rows     int64
	held     int64 // bytes of batches
	wait     int   // records are looked for when so many bytes are here
}

// newCopyIn resolves the target of COPY FROM.
func (s *Session) newCopyIn(ctx context.Context, x *ast.Copy) (*CopyIn, error) {
	rel, err := s.lookup(*x.Table)
	if err != nil {
		return nil, err
	}
	if err := insertable(rel, "copy to", x.Table.Pos); err != nil {
		return nil, err
	}
	c := &CopyIn{s: s, rel: rel}
	var cols []int
	if len(x.Columns) == 0 {
		for i := range rel.Columns {
			if rel.Columns[i].Generated == "" {
				cols = append(cols, i)
			}
		}
	}
	for _, n := range x.Columns {
		i := rel.ColumnIndex(n)
		switch {
		case i < 0:
			return nil, pgerr.New(pgerr.UndefinedColumn, "column \"%s\" of relation \"%s\" does not exist", n, rel.Name).At(x.Pos)
		case slices.Contains(cols, i):
			return nil, pgerr.New(pgerr.DuplicateColumn, "column \"%s\" specified more than once", n).At(x.Pos)
		case rel.Columns[i].Generated != "":
			return nil, pgerr.New(pgerr.InvalidColumnReference, "column \"%s\" is a generated column", n).
				WithDetail("Generated columns cannot be used in COPY.").At(x.Pos)
		}
		cols = append(cols, i)
	}
	use := planner.RelationUse{Rel: rel, Needs: catalog.PrivInsert}
	for _, i := range cols {
		use.Columns = append(use.Columns, rel.Attnum(i))
	}
	if err := permittedUse(s.catalog(), s.who.current, &use); err != nil {
		return nil, err
	}
	all := rel.Fields().Fields
	for _, i := range cols {
		c.fields = append(c.fields, all[i])
	}
	if c.format, err = copyFormat(x, c.fields); err != nil {
		return nil, err
	}
	if c.maker, err = s.newRowMaker(ctx, rel, cols); err != nil {
		return nil, err
	}
	if x.Where != nil {
		e, err := planner.BindScalar(x.Where, all, types.Bool, s.planOptions(nil, ""))
		if err != nil {
			return nil, err
		}
		if c.where, err = exec.CompileExprs(c.maker.xc, []planner.Expr{e}, rel.Fields()); err != nil {
			return nil, err
		}
	}
	if c.format.Format != "binary" {
		c.split = format.NewDelimited(c.format.Format == "csv")
		c.split.Delim, c.split.Quote, c.split.Escape = c.format.Delimiter, c.format.Quote, c.format.Escape
		c.split.Null = []byte(c.format.Null)
	}
	c.header = c.format.Header
	c.builder = vec.NewBuilder(s.e.alloc, vec.NewSchema(c.fields...))
	return c, nil
}

// Format gives the format of the data and Columns the number of columns, for CopyInResponse.
func (c *CopyIn) Format() *CopyFormat { return c.format }

// Columns gives the number of columns of the data.
func (c *CopyIn) Columns() int { return len(c.fields) }

// Write takes the next bytes of the data; records may be cut anywhere.
func (c *CopyIn) Write(data []byte) error {
	if c.split == nil {
		c.bin = append(c.bin, data...)
		if len(c.bin) < c.wait {
			return nil
		}
		if err := c.readBinary(); err != nil {
			return err
		}
		return c.unfinished(len(c.bin))
	}
	c.split.Write(data)
	if c.split.Buffered() < c.wait {
		return nil
	}
	if err := c.readRecords(); err != nil {
		return err
	}
	return c.unfinished(c.split.Buffered())
}

// unfinished asks for the room of a record of which n bytes are here. The end of a long one is looked for when there is twice as much of it.
func (c *CopyIn) unfinished(n int) error {
	c.wait = 0
	if n < mem.LargeBlock {
		return nil
	}
	const longest = 1 << 30
	if n >= longest/2 {
		return pgerr.New(pgerr.ProgramLimitExceeded, "out of memory").
			WithDetail("Cannot enlarge string buffer containing %d bytes by %d more bytes.", n, n)
	}
	c.wait = 2 * n
	return c.s.e.statements.Ask(3 * int64(n))
}

// where words the place of a record that is in error, as PostgreSQL's CONTEXT does.
func (c *CopyIn) context(column string, value []byte) string {
	w := fmt.Sprintf("COPY %s, line %d", c.rel.Name, c.split.Line())
	switch {
	case column != "" && value != nil:
		w += fmt.Sprintf(", column %s: \"%s\"", column, clip(value))
	case column != "":
		w += fmt.Sprintf(", column %s", column)
	default:
		w += fmt.Sprintf(": \"%s\"", clip(c.split.Raw()))
	}
	return w
}

func clip(b []byte) string {
	if len(b) > 100 {
		return strings.ToValidUTF8(string(b[:100]), "") + "..."
	}
	return string(b)
}

func (c *CopyIn) readRecords() error {
	for {
		fields, ok, err := c.split.Next()
		if err != nil {
			e := pgerr.From(err)
			e.Where = c.context("", nil)
			return e
		}
		if !ok {
			return nil
		}
		if c.header {
			c.header = false
			if c.format.Match {
				for i, f := range fields {
					if i >= len(c.fields) || string(f.Bytes) != c.fields[i].Name {
						return pgerr.New(pgerr.BadCopyFileFormat, "column name mismatch in header line field %d: got \"%s\"", i+1, f.Bytes)
					}
				}
			}
			continue
		}
		if err := c.addRecord(fields); err != nil {
			return err
		}
	}
}

func (c *CopyIn) addRecord(fields []format.Field) error {
	if len(fields) > len(c.fields) {
		e := pgerr.New(pgerr.BadCopyFileFormat, "extra data after last expected column")
		e.Where = c.context("", nil)
		return e
	}
	if len(fields) < len(c.fields) {
		e := pgerr.New(pgerr.BadCopyFileFormat, "missing data for column \"%s\"", c.fields[len(fields)].Name)
		e.Where = c.context("", nil)
		return e
	}
	for i, f := range fields {
		null := f.Null
		if c.format.ForceNull != nil && c.format.ForceNull[i] && string(f.Bytes) == c.format.Null {
			null = true
		}
		if c.format.ForceNotNull != nil && c.format.ForceNotNull[i] {
			null = false
		}
		if null {
			c.builder.Cols[i].AppendNull()
			continue
		}
		d, err := c.s.parseInput(c.fields[i].Type, string(f.Bytes))
		if err != nil {
			e := *pgerr.From(err)
			e.Where = c.context(c.fields[i].Name, f.Bytes)
			return &e
		}
		c.builder.Cols[i].AppendDatum(d)
	}
	return c.added()
}

// added counts a row and turns full batches into rows of the relation.
func (c *CopyIn) added() error {
	c.rows++
	if c.builder.Len() >= vec.MaxRows {
		return c.flush()
	}
	return nil
}

func (c *CopyIn) flush() error {
	if c.builder.Len() == 0 {
		return nil
	}
	b := c.builder.Finish()
	defer b.Release()
	full, err := c.maker.make(b)
	if err != nil {
		return err
	}
	if c.where != nil {
		views := full.Views(nil)
		res, err := c.where.Eval(views, full.N)
		if err != nil {
			full.Release()
			return err
		}
		if len(res[0].Errs) > 0 {
			full.Release()
			return res[0].Errs[0].Err
		}
		var sel []int32
		for i := range full.N {
			if !res[0].IsNull(i) && res[0].Bools[i] {
				sel = append(sel, int32(i))
			}
		}
		c.rows -= int64(full.N - len(sel))
		kept := full.Select(c.s.e.alloc, sel)
		full.Release()
		full = kept
	}
	c.batches = append(c.batches, full)
	c.held += full.Bytes()
	return c.s.e.askKept(roomFor(c.rel), c.held)
}

var binarySignature = []byte("PGCOPY\n\377\r\n\000")

func (c *CopyIn) readBinary() error {
	bad := func(msg string, a ...any) error { return pgerr.New(pgerr.BadCopyFileFormat, msg, a...) }
	if !c.binBegun {
		if len(c.bin) < 19 {
			return nil
		}
		if string(c.bin[:11]) != string(binarySignature) {
			return bad("COPY file signature not recognized")
		}
		ext := int(binary.BigEndian.Uint32(c.bin[15:]))
		if ext < 0 || ext > 1<<20 {
			return bad("invalid COPY file header (wrong length)")
		}
		if len(c.bin) < 19+ext {
			return nil
		}
		c.bin = c.bin[19+ext:]
		c.binBegun = true
	}
	for !c.binEnded && len(c.bin) >= 2 {
		n := int(int16(binary.BigEndian.Uint16(c.bin)))
		if n == -1 {
			c.binEnded = true
			break
		}
		if n != len(c.fields) {
			return bad("row field count is %d, expected %d", n, len(c.fields))
		}
		at := 2
		vals := make([][]byte, n)
		for i := range n {
			if len(c.bin) < at+4 {
				return nil
			}
			l := int(int32(binary.BigEndian.Uint32(c.bin[at:])))
			at += 4
			if l == -1 {
				continue
			}
			if l < 0 || l > 1<<30 {
				return bad("invalid field size")
			}
			if len(c.bin) < at+l {
				return nil
			}
			vals[i] = c.bin[at : at+l : at+l]
			at += l
		}
		for i, v := range vals {
			if v == nil {
				c.builder.Cols[i].AppendNull()
				continue
			}
			d, err := types.DecodeBinary(c.fields[i].Type, v)
			if err == nil {
				d, err = types.ApplyMod(c.fields[i].Type, d, false)
			}
			if err != nil {
				return err
			}
			c.builder.Cols[i].AppendDatum(d)
		}
		c.bin = c.bin[at:]
		if err := c.added(); err != nil {
			return err
		}
	}
	return nil
}

// Finish ends the data and inserts the rows.
func (c *CopyIn) Finish(ctx context.Context) (tag string, err error) {
	defer c.drop()
	defer recovered(c.s.e, "COPY", &err)
	if c.split != nil {
		c.split.End()
		if err := c.readRecords(); err != nil {
			return "", err
		}
	} else if err := c.readBinary(); err != nil {
		return "", err
	} else if !c.binEnded && (len(c.bin) > 0 || !c.binBegun) {
		return "", pgerr.New(pgerr.BadCopyFileFormat, "unexpected EOF in COPY data")
	}
	if err := c.flush(); err != nil {
		return "", err
	}
	bs := c.batches
	c.batches = nil
	if err := c.s.insertBatches(ctx, c.rel, bs); err != nil {
		return "", err
	}
	return fmt.Sprintf("COPY %d", c.rows), nil
}

// Fail ends the COPY without inserting anything; msg is the client's reason. It gives the error to report.
func (c *CopyIn) Fail(msg string) error {
	c.drop()
	return pgerr.New(pgerr.QueryCanceled, "COPY from stdin failed: %s", msg)
}

func (c *CopyIn) drop() {
	releaseAll(c.batches)
	c.batches = nil
	if c.builder != nil {
		c.builder.Release()
		c.builder = nil
	}
	if c.maker != nil {
		c.maker.close()
		c.maker = nil
	}
	if c.where != nil {
		c.where.Close()
		c.where = nil
	}
}

// parseInput reads a value's text, names of catalog objects included.
func (s *Session) parseInput(t types.T, text string) (types.Datum, error) {
	switch t.OID {
	case types.OIDRegclass, types.OIDRegtype, types.OIDRegproc, types.OIDRegnamespace, types.OIDRegrole:
		info := &sessionInfo{s: s, cat: s.catalog()}
		oid, err := info.RegLookup(t, text)
		return int64(oid), err
	}
	return types.ParseText(&s.vars.env, t, text)
}

// rowMaker completes rows that hold some columns of a table: defaults, generated columns, NULL for the rest.
type rowMaker struct {
	rel       *catalog.Relation
	xc        *exec.Context
	base      *exec.Program // over the given columns: all but generated ones
	generated *exec.Program // over the table's columns; nil where there are none
	genCols   []int
}

// newRowMaker makes a rowMaker for rows that hold the columns given.
func (s *Session) newRowMaker(ctx context.Context, rel *catalog.Relation, given []int) (*rowMaker, error) {
	m := &rowMaker{rel: rel, xc: &exec.Context{Alloc: s.e.alloc, Fn: s.fnCtx(ctx), Stats: &exec.Stats{}}}
	all := rel.Fields()
	in := &vec.Schema{}
	for _, i := range given {
		in.Fields = append(in.Fields, all.Fields[i])
	}
	var base, gen []planner.Expr
	for i, c := range rel.Columns {
		var e planner.Expr = &planner.Const{Typ: c.Type}
		if at := slices.Index(given, i); at >= 0 {
			e = &planner.Column{Index: at, Typ: c.Type, Name: c.Name}
		} else if c.Generated != "" {
			g, err := bindText(s, c.Generated, all.Fields, c.Type)
			if err != nil {
				return nil, err
			}
			gen, m.genCols = append(gen, g), append(m.genCols, i)
		} else if c.Default != "" {
			var err error
			if e, err = bindText(s, c.Default, nil, c.Type); err != nil {
				return nil, err
			}
		}
		base = append(base, e)
	}
	var err error
	if m.base, err = exec.CompileExprs(m.xc, base, in); err != nil {
		return nil, err
	}
	if gen != nil {
		m.generated, err = exec.CompileExprs(m.xc, gen, all)
	}
	return m, err
}

func bindText(s *Session, text string, fields []vec.Field, t types.T) (planner.Expr, error) {
	e, err := parser.ParseExpr(text)
	if err != nil {
		return nil, err
	}
	return planner.BindScalar(e, fields, t, s.planOptions(nil, text))
}

// make gives the full rows of a batch. The caller releases them.
func (m *rowMaker) make(in *vec.Batch) (*vec.Batch, error) {
	b := vec.NewBuilder(m.xc.Alloc, m.rel.Fields())
	defer b.Release()
	add := func(p *exec.Program, views []vec.Vec, n int, cols []int) error {
		res, err := p.Eval(views, n)
		if err != nil {
			return err
		}
		for k, v := range res {
			if len(v.Errs) > 0 {
				return v.Errs[0].Err
			}
			b.Cols[cols[k]].AppendRange(v, 0, n)
		}
		return nil
	}
	all := make([]int, len(m.rel.Columns))
	for i := range all {
		all[i] = i
	}
	if err := add(m.base, in.Views(nil), in.N, all); err != nil {
		return nil, err
	}
	if m.generated != nil {
		gen := make([]vec.Vec, len(b.Cols))
		copy(gen, b.Cols)
		for _, c := range m.genCols {
			b.Cols[c].Truncate(0)
		}
		if err := add(m.generated, gen, in.N, m.genCols); err != nil {
			return nil, err
		}
	}
	return b.Finish(), nil
}

func (m *rowMaker) close() {
	m.base.Close()
	if m.generated != nil {
		m.generated.Close()
	}
}
