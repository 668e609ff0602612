package main

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"streamsql/engine"
	"streamsql/internal/types"
	"streamsql/internal/vec"
)

// renderer prints a result. begin comes first, then rows for each batch, then end.
type renderer interface {
	begin(cols []engine.Column, env *types.Env)
	rows(b *vec.Batch)
	// end is told the number of rows and the command tag.
	end(n int64, tag string)
	// flush writes out what was printed so far; a live result is flushed batch by batch.
	flush() error
}

// newRenderer makes a renderer of a format, nil where there is no such format. live says
// that the result has no end to wait for.
func newRenderer(format string, w io.Writer, live, expanded bool) renderer {
	out := bufio.NewWriter(w)
	switch format {
	case "table":
		if expanded {
			return &expandedTable{out: out}
		}
		return &table{out: out, live: live}
	case "csv":
		return &csvLines{out: out}
	case "json":
		return &jsonLines{out: out}
	}
	return nil
}

// table prints aligned columns as psql does. A finite result is aligned as a whole; of a live
// one the rows are printed as they come, and columns only ever become wider.
type table struct {
	out    *bufio.Writer
	live   bool
	env    *types.Env
	cols   []engine.Column
	right  []bool
	width  []int
	stored [][]string
	headed bool
}

func (t *table) begin(cols []engine.Column, env *types.Env) {
	t.cols, t.env = cols, env
	t.right, t.width = make([]bool, len(cols)), make([]int, len(cols))
	for i, c := range cols {
		t.right[i] = rightAligned(c.Type)
		t.width[i] = textWidth(c.Name)
		if t.live {
			t.width[i] = max(t.width[i], usualWidth(c.Type))
		}
	}
}

// rightAligned reports whether psql aligns values of t to the right.
func rightAligned(t types.T) bool {
	switch t.OID {
	case types.OIDInt2, types.OIDInt4, types.OIDInt8, types.OIDFloat4, types.OIDFloat8, types.OIDNumeric, types.OIDOid, types.OIDXid:
		return true
	}
	return false
}

// usualWidth gives room for most values of t, before any has come.
func usualWidth(t types.T) int {
	switch t.OID {
	case types.OIDTimestamp:
		return 23
	case types.OIDTimestamptz:
		return 29
	case types.OIDDate:
		return 10
	case types.OIDInt2, types.OIDInt4, types.OIDInt8, types.OIDNumeric, types.OIDFloat8:
		return 8
	}
	return 3
}

// add makes the columns wide enough for rows.
func (t *table) add(rows [][]string) {
	for _, r := range rows {
		for i, s := range r {
			for line := range strings.SplitSeq(s, "\n") {
				t.width[i] = max(t.width[i], textWidth(line))
			}
		}
	}
}

func (t *table) rows(b *vec.Batch) {
	rows := textCells(b, t.cols, t.env)
	t.add(rows)
	if !t.live {
		t.stored = append(t.stored, rows...)
		return
	}
	t.head()
	for _, r := range rows {
		t.row(r)
	}
}

// textCells gives a batch's values as text; NULL is empty, as in psql.
func textCells(b *vec.Batch, cols []engine.Column, env *types.Env) [][]string {
	rows := make([][]string, b.N)
	cells := make([]string, b.N*len(cols))
	views := b.Views(nil)
	var buf []byte
	for i := range rows {
		rows[i], cells = cells[:len(cols):len(cols)], cells[len(cols):]
	}
	for c := range cols {
		v := &views[c]
		for i := range rows {
			if d := v.Datum(i); d != nil {
				buf = types.AppendText(buf[:0], env, cols[c].Type, d)
				rows[i][c] = string(buf)
			}
		}
	}
	return rows
}

func (t *table) head() {
	if t.headed {
		return
	}
	t.headed = true
	for i, c := range t.cols {
		if i > 0 {
			t.out.WriteByte('|')
		}
		gap := t.width[i] - textWidth(c.Name)
		fmt.Fprintf(t.out, " %s%s%s ", strings.Repeat(" ", gap/2), c.Name, strings.Repeat(" ", gap-gap/2))
	}
	t.out.WriteByte('\n')
	for i := range t.cols {
		if i > 0 {
			t.out.WriteByte('+')
		}
		t.out.WriteString(strings.Repeat("-", t.width[i]+2))
	}
	if len(t.cols) == 0 {
		t.out.WriteString("--")
	}
	t.out.WriteByte('\n')
}

// row prints a row; a value of several lines goes on below itself, marked by +.
func (t *table) row(r []string) {
	if len(r) == 0 {
		return
	}
	lines := make([][]string, len(r))
	height := 1
	for i, s := range r {
		lines[i] = strings.Split(s, "\n")
		height = max(height, len(lines[i]))
	}
	for h := range height {
		for i := range r {
			if i > 0 {
				t.out.WriteByte('|')
			}
			s, mark := "", byte(' ')
			if h < len(lines[i]) {
				s = lines[i][h]
				if h+1 < len(lines[i]) {
					mark = '+'
				}
			}
			gap := strings.Repeat(" ", max(t.width[i]-textWidth(s), 0))
			switch {
			case t.right[i]:
				t.out.WriteString(" " + gap + s)
			case i == len(r)-1 && mark == ' ': // psql leaves no space at the end of a line
				t.out.WriteString(" " + s)
				continue
			default:
				t.out.WriteString(" " + s + gap)
			}
			if i < len(r)-1 || mark != ' ' {
				t.out.WriteByte(mark)
			}
		}
		t.out.WriteByte('\n')
	}
}

func (t *table) end(n int64, tag string) {
	if t.cols == nil {
		if tag != "" {
			fmt.Fprintln(t.out, tag)
		}
		return
	}
	t.head()
	for _, r := range t.stored {
		t.row(r)
	}
	plural := "s"
	if n == 1 {
		plural = ""
	}
	fmt.Fprintf(t.out, "(%d row%s)\n\n", n, plural)
}

func (t *table) flush() error { return t.out.Flush() }

// expandedTable prints one line a value, as psql's \x does.
type expandedTable struct {
	out  *bufio.Writer
	env  *types.Env
	cols []engine.Column
	n    int
	name int // width of the names
}

func (t *expandedTable) begin(cols []engine.Column, env *types.Env) {
	t.cols, t.env = cols, env
	for _, c := range cols {
		t.name = max(t.name, textWidth(c.Name))
	}
}

func (t *expandedTable) rows(b *vec.Batch) {
	for _, r := range textCells(b, t.cols, t.env) {
		t.n++
		head := fmt.Sprintf("-[ RECORD %d ]", t.n)
		fmt.Fprintf(t.out, "%s%s\n", head, strings.Repeat("-", max(t.name+2-len(head), 0)))
		for i, s := range r {
			name := t.cols[i].Name + strings.Repeat(" ", t.name-textWidth(t.cols[i].Name))
			fmt.Fprintf(t.out, "%s | %s\n", name, strings.ReplaceAll(s, "\n", "\n"+strings.Repeat(" ", t.name)+" | "))
		}
	}
}

func (t *expandedTable) end(n int64, tag string) {
	switch {
	case t.cols == nil && tag != "":
		fmt.Fprintln(t.out, tag)
	case t.cols != nil && n == 0:
		fmt.Fprintln(t.out, "(0 rows)")
		fallthrough
	case t.cols != nil:
		fmt.Fprintln(t.out)
	}
}

func (t *expandedTable) flush() error { return t.out.Flush() }
