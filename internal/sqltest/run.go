package sqltest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"streamsql/engine"
	"streamsql/internal/pgerr"
	"streamsql/internal/types"
)

// statementTimeout bounds a record: what runs longer hangs.
const statementTimeout = 60 * time.Second

// quiet is how long a continuous query must have been silent for `expect` to believe that nothing more comes.
const quiet = 60 * time.Millisecond

// result is what a statement gave.
type result struct {
	columns []engine.Column
	rows    []string
	tag     string
}

// conn is a session that runs statements one by one, as a client with the simple protocol does.
type conn struct {
	s *engine.Session
}

// exec runs every statement of a text; the result is the last one's.
func (c *conn) exec(ctx context.Context, sql string, copyData []string) (r result, err error) {
	stmts, err := c.s.Parse(sql)
	if err != nil {
		return r, err
	}
	if len(stmts) > 1 {
		c.s.BeginImplicit()
	}
	for _, p := range stmts {
		if r, err = c.one(ctx, p, copyData); err != nil {
			c.s.EndImplicit(ctx, err)
			return r, err
		}
	}
	return r, c.s.EndImplicit(ctx, nil)
}

func (c *conn) one(ctx context.Context, p engine.Parsed, copyData []string) (r result, err error) {
	portal, err := c.s.Execute(ctx, p)
	if err != nil {
		return r, err
	}
	defer portal.Close()
	if in := portal.CopyIn(); in != nil {
		for _, line := range copyData {
			if err := in.Write([]byte(line + "\n")); err != nil {
				in.Fail(err.Error())
				return r, err
			}
		}
		r.tag, err = in.Finish(ctx)
		return r, err
	}
	r.columns = portal.Columns()
	for {
		rows, done, err := fetch(ctx, c.s, portal)
		if err != nil {
			return r, err
		}
		r.rows = append(r.rows, rows...)
		if done {
			r.tag = portal.Tag(int64(len(r.rows)))
			return r, nil
		}
	}
}

// fetch takes one batch from a portal as text. Columns named _ts are left out: they differ from run to run.
func fetch(ctx context.Context, s *engine.Session, p engine.Portal) (rows []string, done bool, err error) {
	b, done, err := p.Fetch(ctx, 0)
	if err != nil || b == nil {
		return nil, done, err
	}
	defer b.Release()
	views := b.Views(nil)
	fields := b.Schema.Fields
	var cells []string
	var buf []byte
	for i := range b.N {
		cells = cells[:0]
		for c := range views {
			if fields[c].Name == "_ts" {
				continue
			}
			d := views[c].Datum(i)
			buf = buf[:0]
			if d != nil {
				buf = types.AppendText(buf, s.Env(), fields[c].Type, d)
			}
			cells = append(cells, cell(string(buf), d == nil))
		}
		rows = append(rows, strings.Join(cells, "|"))
	}
	return rows, done, nil
}

// letters gives the type letters of columns.
func letters(cols []engine.Column) string {
	var b strings.Builder
	for _, c := range cols {
		if c.Name != "_ts" {
			b.WriteByte(letter(c.Type.OID))
		}
	}
	return b.String()
}

func letter(oid uint32) byte {
	switch oid {
	case types.OIDInt2, types.OIDInt4, types.OIDInt8:
		return 'I'
	case types.OIDFloat4, types.OIDFloat8, types.OIDNumeric:
		return 'R'
	case types.OIDBool:
		return 'B'
	case types.OIDDate, types.OIDTime, types.OIDTimestamp, types.OIDTimestamptz, types.OIDInterval, types.OIDTimetz:
		return 'D'
	}
	return 'T'
}

// describe words an error in one line: SQLSTATE aside, everything a client is shown.
func describe(err error) string {
	e := pgerr.From(err)
	s := e.Message
	for _, part := range []struct{ name, text string }{{"detail", e.Detail}, {"hint", e.Hint}, {"where", e.Where}} {
		if part.text != "" {
			s += "; " + part.name + ": " + part.text
		}
	}
	if e.Position > 0 {
		s += fmt.Sprintf("; at %d", e.Position)
	}
	return s
}

// runner runs a script on one engine.
type runner struct {
	e       *engine.Engine
	main    *conn
	streams map[string]*stream
	// onResult is told what each record gave, for rewriting; may be nil.
	onResult func(i int, types string, rows []string)
}

// stream is a continuous query that runs beside the statements.
type stream struct {
	s      *engine.Session
	p      engine.Portal
	rows   chan []string
	err    error // valid once rows is closed
	cancel context.CancelFunc
}

func newRunner(e *engine.Engine) (*runner, error) {
	s, err := e.NewSession(engine.SessionOptions{})
	if err != nil {
		return nil, err
	}
	return &runner{e: e, main: &conn{s}, streams: map[string]*stream{}}, nil
}

func (r *runner) close() {
	for name := range r.streams {
		r.unlisten(name)
	}
	r.main.s.Close()
}

// run runs a record and gives what is wrong, nil if nothing is.
func (r *runner) run(i int, rec *record) error {
	ctx, cancel := context.WithTimeout(context.Background(), statementTimeout)
	defer cancel()
	switch rec.kind {
	case statement, copyIn:
		res, err := r.main.exec(ctx, rec.sql, rec.rows)
		if err := checkError(rec, err); err != nil {
			return err
		}
		if rec.wantErr == "" && rec.tag != "" && res.tag != rec.tag {
			return fmt.Errorf("tag %q, expected %q", res.tag, rec.tag)
		}
		return nil
	case query:
		return r.query(ctx, i, rec)
	case changelog:
		return r.changelog(ctx, rec)
	case listen:
		return r.listen(rec)
	case expect, finish:
		return r.expect(i, rec)
	default:
		return r.unlisten(rec.tag)
	}
}

// checkError compares an error with the one that a record expects.
func checkError(rec *record, err error) error {
	if rec.wantErr == "" {
		if err != nil {
			return fmt.Errorf("error %s: %s", pgerr.Code(err), describe(err))
		}
		return nil
	}
	if err == nil {
		return fmt.Errorf("no error, expected %s", rec.wantErr)
	}
	if pgerr.Code(err) != rec.wantErr {
		return fmt.Errorf("error %s: %s; expected %s", pgerr.Code(err), describe(err), rec.wantErr)
	}
	if rec.errLike != "" {
		re, reErr := regexp.Compile(rec.errLike)
		if reErr != nil {
			return reErr
		}
		if !re.MatchString(describe(err)) {
			return fmt.Errorf("error %q does not match %q", describe(err), rec.errLike)
		}
	}
	return nil
}

func (r *runner) query(ctx context.Context, i int, rec *record) error {
	deadline := time.Now().Add(5 * time.Second)
	for {
		res, err := r.main.exec(ctx, rec.sql, nil)
		if err != nil {
			return fmt.Errorf("error %s: %s", pgerr.Code(err), describe(err))
		}
		got, want := res.rows, rec.rows
		if rec.has("rowsort") {
			got, want = sorted(got), sorted(want)
		}
		if r.onResult != nil {
			r.onResult(i, letters(res.columns), got)
			return nil
		}
		err = compare(got, want)
		if err == nil {
			err = checkTypes(rec.types, letters(res.columns))
		}
		// A view over an input that is still being read reaches its rows in a while.
		if err == nil || !rec.has("retry") || time.Now().After(deadline) {
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func checkTypes(want, got string) error {
	if len(want) != len(got) {
		return fmt.Errorf("columns %s, expected %s", got, want)
	}
	for i := range want {
		if want[i] != '?' && want[i] != got[i] {
			return fmt.Errorf("columns %s, expected %s", got, want)
		}
	}
	return nil
}

func sorted(rows []string) []string {
	out := slices.Clone(rows)
	slices.Sort(out)
	return out
}

// compare gives an error that shows where two lists of rows differ.
func compare(got, want []string) error {
	if slices.Equal(got, want) {
		return nil
	}
	at := 0
	for at < len(got) && at < len(want) && got[at] == want[at] {
		at++
	}
	clip := func(rows []string) string {
		if len(rows) > at+15 {
			return strings.Join(rows[at:at+15], "\n    ") + "\n    ..."
		}
		return strings.Join(rows[at:], "\n    ")
	}
	return fmt.Errorf("%d rows, expected %d; from row %d on\n  got\n    %s\n  expected\n    %s", len(got), len(want), at+1, clip(got), clip(want))
}

// changelog checks the laws fold(EMIT CHANGES) = the snapshot and, with the flag close, set(EMIT ON WINDOW CLOSE) = the snapshot.
func (r *runner) changelog(ctx context.Context, rec *record) error {
	snap, err := r.main.exec(ctx, rec.sql, nil)
	if err != nil {
		return fmt.Errorf("snapshot: error %s: %s", pgerr.Code(err), describe(err))
	}
	log, err := r.main.exec(ctx, rec.sql+"\nEMIT CHANGES", nil)
	if err != nil {
		return fmt.Errorf("EMIT CHANGES: error %s: %s", pgerr.Code(err), describe(err))
	}
	folded, err := fold(log.rows)
	if err != nil {
		return err
	}
	if err := compare(folded, sorted(snap.rows)); err != nil {
		return fmt.Errorf("fold of EMIT CHANGES: %w", err)
	}
	if !rec.has("close") {
		return nil
	}
	closed, err := r.main.exec(ctx, rec.sql+"\nEMIT ON WINDOW CLOSE", nil)
	if err != nil {
		return fmt.Errorf("EMIT ON WINDOW CLOSE: error %s: %s", pgerr.Code(err), describe(err))
	}
	if err := compare(sorted(closed.rows), sorted(snap.rows)); err != nil {
		return fmt.Errorf("EMIT ON WINDOW CLOSE: %w", err)
	}
	return nil
}

// fold applies a changelog whose rows begin with _op to an empty relation; every
// deletion must find its row. The rows come out sorted.
func fold(log []string) ([]string, error) {
	count := map[string]int{}
	for _, line := range log {
		op, row, _ := strings.Cut(line, "|")
		switch op {
		case "+I", "+U":
			count[row]++
		case "-D", "-U":
			if count[row] == 0 {
				return nil, fmt.Errorf("%s of a row that is not there: %s", op, row)
			}
			count[row]--
		default:
			return nil, fmt.Errorf("unknown _op %q", op)
		}
	}
	var rows []string
	for _, row := range slices.Sorted(maps.Keys(count)) {
		for range count[row] {
			rows = append(rows, row)
		}
	}
	return rows, nil
}

// listen starts a continuous query in a session of its own and waits until it has read what is there.
func (r *runner) listen(rec *record) error {
	if r.streams[rec.tag] != nil {
		return fmt.Errorf("a query %s runs already", rec.tag)
	}
	s, err := r.e.NewSession(engine.SessionOptions{})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	st := &stream{s: s, rows: make(chan []string, 1024), cancel: cancel}
	stmts, err := s.Parse(rec.sql)
	if err == nil && len(stmts) != 1 {
		err = errors.New("one statement is expected")
	}
	if err == nil {
		st.p, err = s.Execute(ctx, stmts[0])
	}
	if err != nil {
		cancel()
		s.Close()
		return fmt.Errorf("error %s: %s", pgerr.Code(err), describe(err))
	}
	r.streams[rec.tag] = st
	// The first Fetch subscribes; a context that ends soon makes sure that it has happened before the next statement.
	first, stop := context.WithTimeout(ctx, quiet)
	rows, done, err := fetch(first, s, st.p)
	stop()
	if err != nil && pgerr.Code(err) != pgerr.QueryCanceled {
		st.err = err
		done = true
	}
	if len(rows) > 0 {
		st.rows <- rows
	}
	if done {
		close(st.rows)
		return nil
	}
	go func() {
		defer close(st.rows)
		for {
			rows, done, err := fetch(ctx, s, st.p)
			if err != nil {
				st.err = err
				return
			}
			if len(rows) > 0 {
				st.rows <- rows
			}
			if done {
				return
			}
		}
	}()
	return nil
}

// expect takes the rows that a continuous query gives until the expected number is there and it is silent.
func (r *runner) expect(i int, rec *record) error {
	st := r.streams[rec.tag]
	if st == nil {
		return fmt.Errorf("no query %s runs", rec.tag)
	}
	var got []string
	ended := false
	deadline := time.Now().Add(5 * time.Second)
	for !ended {
		wait := quiet
		if r.onResult != nil {
			wait = 5 * quiet
		}
		if r.onResult == nil && len(got) < len(rec.rows) || rec.kind == finish {
			wait = time.Until(deadline)
		}
		timer := time.NewTimer(wait)
		silent := false
		select {
		case rows, ok := <-st.rows:
			got = append(got, rows...)
			ended = !ok
		case <-timer.C:
			silent = true
		}
		timer.Stop()
		if silent {
			break
		}
	}
	if rec.has("rowsort") {
		slices.Sort(got)
	}
	if ended && st.err != nil && !errors.Is(st.err, context.Canceled) {
		if rec.wantErr == "" {
			return fmt.Errorf("error %s: %s", pgerr.Code(st.err), describe(st.err))
		}
	}
	if r.onResult != nil {
		r.onResult(i, "", got)
		return nil
	}
	want := rec.rows
	if rec.has("rowsort") {
		want = sorted(want)
	}
	if err := compare(got, want); err != nil {
		return err
	}
	if rec.kind == finish && !ended {
		return errors.New("the query did not end")
	}
	return nil
}

// unlisten ends a continuous query. Its session is closed only when its goroutine has left it.
func (r *runner) unlisten(name string) error {
	st := r.streams[name]
	if st == nil {
		return fmt.Errorf("no query %s runs", name)
	}
	delete(r.streams, name)
	st.cancel()
	for range st.rows {
		// what it gave since is not wanted
	}
	st.p.Close()
	st.s.Close()
	return nil
}
