package difftest

import (
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

var views = flag.Int("difftest.views", 300, "how many random queries are kept as materialized views under random changes")

// perChange is how many views are kept at a time.
const perChange = 6

// TestViews keeps random queries as materialized views over tables that change: after every statement each view must hold
// what its query gives. Queries whose rows do not all evaluate are not compared: a view leaves out the rows that fail.
func TestViews(t *testing.T) {
	sigs := ownSignatures(t)
	first := *seed
	if first == 0 {
		first = uint64(time.Now().UnixNano() / 1e6 % 1e9)
	}
	compared, changed, made, refused := 0, 0, 0, map[string]int{}
	for s := first; made < *views && !t.Failed(); s++ {
		w, err := newOwnWorld(s, sigs)
		if err != nil {
			t.Fatal(err)
		}
		var kept []view
		for tries := 0; len(kept) < perChange && tries < 60; tries++ {
			var due *signature
			if tries%2 == 0 {
				due = sigs.all[(int(s)*30+tries/2)%len(sigs.all)]
			}
			v := view{name: fmt.Sprintf("v%d", len(kept)), query: w.g.statement(due).root}
			if a := ours(w.s, v.query.String()); a.code != "" {
				continue // also where only rows to come would fail
			}
			a := ours(w.s, "CREATE MATERIALIZED VIEW "+v.name+" ("+names(v.query, w)+") AS "+v.query.String())
			if a.code != "" {
				if a.code != "0A000" {
					t.Errorf("-difftest.seed %d: view: %s %s\n  %s", s, a.code, a.message, v.query)
				}
				refused[a.message]++
				continue
			}
			kept = append(kept, v)
			made++
		}
		for range 12 {
			sql := w.change()
			if a := ours(w.s, sql); a.code != "" && !strings.HasPrefix(a.code, "23") && !a.atRun() {
				t.Errorf("-difftest.seed %d: %s %s\n  %s", s, a.code, a.message, sql)
			}
			w.script = append(w.script, sql)
			for i, v := range kept {
				want := ours(w.s, v.query.String())
				if want.code != "" {
					continue
				}
				compared++
				got := ours(w.s, "SELECT * FROM "+v.name)
				slices.Sort(got.rows)
				slices.Sort(want.rows)
				if now := strings.Join(want.rows, "\n"); now != v.last {
					kept[i].last = now
					changed++
				}
				if got.code != "" || !slices.Equal(got.rows, want.rows) && !allNearly(got.rows, want.rows, v.query.String()) {
					t.Errorf("-difftest.seed %d -difftest.views %d: after\n    %s\n  %s %s\n  %s\n  the view has\n    %q\n  instead of\n    %q", s, perChange, strings.Join(w.script, ";\n    "),
						got.code, got.message, v.query, got.rows, want.rows)
					break
				}
			}
			if t.Failed() {
				break
			}
		}
		w.close()
	}
	t.Logf("%d views, compared %d times, of which %d after a change; refused: %v", made, compared, changed, refused)
	if changed < made {
		t.Errorf("only %d changes of %d views", changed, made)
	}
}

type view struct {
	name  string
	query *node
	last  string // what it held
}

// names gives column names for a view: those of expressions may repeat.
func names(q *node, w *world) string {
	a := ours(w.s, q.String())
	var out []string
	for i := range a.columns {
		out = append(out, fmt.Sprintf("x%d", i))
	}
	return strings.Join(out, ", ")
}

func allNearly(a, b []string, sql string) bool {
	if len(a) != len(b) || !inexact.MatchString(sql) {
		return false
	}
	for i := range a {
		if !nearly(a[i], b[i]) {
			return false
		}
	}
	return true
}

// change gives a random INSERT, UPDATE or DELETE.
func (w *world) change() string {
	t := pick(w.r, w.g.tables...)
	where := pick(w.r, fmt.Sprintf("id %% 3 = %d", w.r.IntN(3)), fmt.Sprintf("id = %d", w.r.IntN(12)), fmt.Sprintf("id > %d", w.r.IntN(12)))
	switch x := w.r.IntN(10); {
	case x < 4:
		w.next += 3
		return t.insert(w.r, 100+w.next, 1+w.r.IntN(3), w.g.calm)
	case x < 5:
		return fmt.Sprintf("INSERT INTO %s SELECT * FROM %s WHERE false", t.name, t.name)
	case x < 8 && len(t.cols) > 1:
		c := pick(w.r, t.cols[1:]...)
		return fmt.Sprintf("UPDATE %s SET %s = %s WHERE %s", t.name, c.name, cell(w.r, c.typ, w.g.calm), where)
	}
	return fmt.Sprintf("DELETE FROM %s WHERE %s", t.name, where)
}
