package laws

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"streamsql/catalog"
	"streamsql/internal/types"
	"streamsql/internal/vec"
)

// null is a NULL in a row of texts, as in COPY.
const null = `\N`

// relation is a relation that the queries read, and what its input looks like.
type relation struct {
	rel     *catalog.Relation
	timeCol int   // -1: none
	delay   int64 // of the watermark, in microseconds
	row     func(g *generator, id int) []string
	// retracts says that rows are also deleted and updated; stored that some are there from the start.
	retracts, stored bool
	scattered        bool // times come in any order
}

// event is a change of an input: an insert of row, or the delete of the row that event number of inserted.
type event struct {
	id  int // unique within the input
	of  int // delete: the id of the insert; -1
	row []string
}

func (e event) op() vec.Op {
	if e.of >= 0 {
		return vec.Delete
	}
	return vec.Insert
}

// input is what comes in on each relation. The first stored[name] events are there when a query starts.
type input struct {
	events map[string][]event
	stored map[string]int
	split  bool // streams have two partitions
}

// partition gives the partition that an event comes from: rows of one come in runs.
func (in *input) partition(name string, e event) int {
	if in.split && relations[name].rel.Kind == catalog.Source {
		return e.id / 3 % 2
	}
	return 0
}

func (in *input) clone() *input {
	out := &input{events: map[string][]event{}, stored: map[string]int{}, split: in.split}
	for k, v := range in.events {
		out.events[k] = slices.Clone(v)
		out.stored[k] = in.stored[k]
	}
	return out
}

// size counts the events on the relations in names.
func (in *input) size(names []string) (n int) {
	for _, k := range names {
		n += len(in.events[k])
	}
	return n
}

// content gives the rows that are there after the first n events of a relation.
func (in *input) content(name string, n int) []event {
	gone := map[int]bool{}
	for _, e := range in.events[name][:n] {
		if e.of >= 0 {
			gone[e.of] = true
		}
	}
	var out []event
	for _, e := range in.events[name][:n] {
		if e.of < 0 && !gone[e.id] {
			out = append(out, e)
		}
	}
	return out
}

func (in *input) String() string {
	var b strings.Builder
	for _, k := range relationNames {
		evs := in.events[k]
		if len(evs) == 0 {
			continue
		}
		fmt.Fprintf(&b, "  %s (%d stored, two partitions: %v)\n", k, in.stored[k], in.split)
		for _, e := range evs {
			sign := "+"
			if e.of >= 0 {
				sign = "-"
			}
			fmt.Fprintf(&b, "    %s %s (partition %d)\n", sign, strings.Join(e.row, ", "), in.partition(k, e))
		}
	}
	return b.String()
}

// generator makes random values.
type generator struct {
	*rand.Rand
	base int64 // of times
	at   int64 // the last time
	top  int64 // the largest finite time so far
}

func (g *generator) choose(s ...string) string { return s[g.IntN(len(s))] }

func (g *generator) key() string { return g.choose("a", "a", "b", "b", "c", "d e", null) }

func (g *generator) int() string {
	if g.IntN(9) == 0 {
		return null
	}
	return fmt.Sprint(g.IntN(12) - 3)
}

func (g *generator) float() string {
	return g.choose("0", "-0", "0.5", "1.25", "-2.5", "3", "3", "100", "NaN", "Infinity", null)
}

func (g *generator) numeric() string {
	return g.choose("0", "0.00", "1", "1.0", "1.00", "-2.5", "12345678901234567890.123", "3.14", "NaN", null)
}

// timestamps are printed in PostgreSQL's ISO form; negative ones are before 1970.
func timeText(us int64) string {
	t := time.UnixMicro(us).UTC()
	s := t.Format("2006-01-02 15:04:05.999999")
	return s
}

// time gives a time within delay of the largest one so far, or any if scattered.
func (g *generator) time(r *relation) string {
	switch n := g.IntN(40); {
	case n < 2:
		return null
	case n == 2:
		return "infinity"
	}
	if r.scattered {
		return timeText(g.base + int64(g.IntN(60))*1e6)
	}
	if g.IntN(3) > 0 {
		g.at = g.top
	}
	switch g.IntN(4) {
	case 0: // equal times
	case 1:
		g.at += int64(g.IntN(7)) * 1e6
	case 2:
		g.at += int64(g.IntN(4000)) * 1e3
	case 3:
		if r.delay > 0 {
			g.at = g.top - g.Int64N(r.delay/1e6+1)*1e6
		}
	}
	g.at = max(g.at, g.top-r.delay)
	g.top = max(g.top, g.at)
	return timeText(g.at)
}

var relations = map[string]*relation{}
var relationNames []string

func columns(spec string) []catalog.Column {
	var out []catalog.Column
	for _, f := range strings.Split(spec, ",") {
		w := strings.Fields(f)
		t, ok := types.Lookup(w[1])
		if !ok {
			panic(w[1])
		}
		out = append(out, catalog.Column{Name: w[0], Type: t, NotNull: len(w) > 2})
	}
	return out
}

// snapshot is the catalog of the test's relations.
var snapshot = makeCatalog()

func makeCatalog() *catalog.Snapshot {
	s := catalog.NewSnapshot(nil)
	oid := catalog.FirstUserOID
	add := func(r *relation, name, cols string, wm *catalog.Watermark) {
		r.rel.Schema, r.rel.Name, r.rel.OID = "public", name, oid
		r.rel.Columns, r.rel.Watermark = columns(cols), wm
		r.timeCol = r.rel.ColumnIndex("ts")
		oid++
		relations[name] = r
		relationNames = append(relationNames, name)
		s = s.With(r.rel)
	}
	// Two streams that are out of order within their watermarks' delay.
	event := func(r *relation) func(g *generator, id int) []string {
		return func(g *generator, _ int) []string {
			return []string{g.time(r), g.key(), g.int(), g.float(), g.numeric()}
		}
	}
	e := &relation{rel: &catalog.Relation{Kind: catalog.Source, Bounded: true}, delay: 10e6}
	e.row = event(e)
	add(e, "e", "ts timestamp,k text,v int4,x float8,n numeric", &catalog.Watermark{Column: 0, Expr: "ts - interval '10 seconds'"})
	f := &relation{rel: &catalog.Relation{Kind: catalog.Source, Bounded: true}, delay: 4e6}
	f.row = event(f)
	add(f, "f", "ts timestamp,k text,v int4,x float8,n numeric", &catalog.Watermark{Column: 0, Expr: "ts - interval '4 seconds'"})
	// A stream without event time.
	q := &relation{rel: &catalog.Relation{Kind: catalog.Source, Bounded: true}}
	q.row = func(g *generator, _ int) []string { return []string{g.key(), g.int()} }
	add(q, "q", "k text,v int4", nil)
	// Tables: one with a key, one that is a bag, one with event time in any order.
	t := &relation{rel: &catalog.Relation{Kind: catalog.Table, PrimaryKey: []int{0}, PrimaryKeyName: "t_pkey"}, retracts: true, stored: true}
	t.row = func(g *generator, id int) []string {
		return []string{fmt.Sprint(id), g.key(), g.int(), g.float(), g.numeric()}
	}
	add(t, "t", "id int4 notnull,k text,v int4,x float8,n numeric", nil)
	u := &relation{rel: &catalog.Relation{Kind: catalog.Table}, retracts: true, stored: true}
	u.row = func(g *generator, _ int) []string { return []string{g.key(), g.int()} }
	add(u, "u", "k text,w int4", nil)
	te := &relation{rel: &catalog.Relation{Kind: catalog.Table}, retracts: true, stored: true, scattered: true}
	te.row = func(g *generator, _ int) []string { return []string{g.time(te), g.key(), g.int()} }
	add(te, "te", "ts timestamp,k text,v int4", &catalog.Watermark{Column: 0})
	// A table that only grows, in the order of its watermark: windows close over it.
	tw := &relation{rel: &catalog.Relation{Kind: catalog.Table, AppendOnly: true}, stored: true, delay: 3e6}
	tw.row = func(g *generator, _ int) []string { return []string{g.time(tw), g.key(), g.int()} }
	add(tw, "tw", "ts timestamp,k text,v int4", &catalog.Watermark{Column: 0, Expr: "ts - interval '3 seconds'"})
	return s
}

// makeInput gives random input; with late, rows of streams also come after their watermark.
func makeInput(rnd *rand.Rand, late bool) *input {
	in := &input{events: map[string][]event{}, stored: map[string]int{}, split: rnd.IntN(4) == 0}
	base := []int64{0, -20e6, 1767225600e6}[rnd.IntN(3)]
	size := []int{6, 20, 40, 40, 120}[rnd.IntN(5)]
	for _, name := range relationNames {
		r := relations[name]
		g := &generator{Rand: rnd, base: base + int64(rnd.IntN(9))*1e6}
		g.at, g.top = g.base, g.base
		var evs []event
		var live []event
		next := 0
		insert := func(id int) {
			row := r.row(g, id)
			if late && r.timeCol >= 0 && !r.scattered && row[r.timeCol] != null && row[r.timeCol] != "infinity" && rnd.IntN(4) == 0 {
				row[r.timeCol] = timeText(g.top - int64(rnd.IntN(45))*1e6)
			}
			ev := event{id: len(evs), of: -1, row: row}
			evs = append(evs, ev)
			live = append(live, ev)
		}
		for range rnd.IntN(size + 1) {
			k := rnd.IntN(10)
			if !r.retracts || len(live) == 0 || k < 6 {
				insert(next)
				next++
				continue
			}
			i := rnd.IntN(len(live))
			old := live[i]
			live = slices.Delete(live, i, i+1)
			evs = append(evs, event{id: len(evs), of: old.id, row: old.row})
			if k < 8 { // an update keeps the key
				id := 0
				fmt.Sscan(old.row[0], &id)
				insert(id)
			}
		}
		in.events[name] = evs
		if r.stored && len(evs) > 0 && rnd.IntN(2) == 0 {
			n := rnd.IntN(len(evs) + 1)
			for _, e := range evs[:n] { // what is stored has no deletes
				if e.of >= 0 {
					n = min(n, e.id)
				}
			}
			in.stored[name] = n
		}
	}
	return in
}
