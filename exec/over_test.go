package exec

import (
	"fmt"
	"math/rand"
	"slices"
	"strings"
	"testing"

	"streamsql/internal/fn"
	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/internal/vec"
	"streamsql/sql/parser/ast"
	"streamsql/sql/planner"
)

var overTypes = []types.T{types.Int8, types.Int4, types.Int8, types.Bool, types.Int4, types.Float8}

// overNode makes an Over node; its calls have no types yet.
func overNode(t testing.TB, in planner.Node, n planner.Over) *planner.Over {
	n.Input = in
	fields := slices.Clone(in.Schema().Fields)
	for i := range n.Calls {
		c := &n.Calls[i]
		var ret types.T
		switch c.Name {
		case "row_number", "rank", "dense_rank":
			ret = types.Int8
		case "percent_rank", "cume_dist":
			ret = types.Float8
		case "ntile":
			ret = types.Int4
		case "lag", "lead", "first_value", "last_value", "nth_value":
			ret = fields[c.Args[0]].Type
		default:
			var ts []types.T
			for _, a := range c.Args {
				ts = append(ts, fields[a].Type)
			}
			r, err := fn.ResolveAgg(c.Name, ts)
			if err != nil {
				t.Fatal(err)
			}
			c.Agg = &planner.AggCall{Agg: r.Agg, Options: fn.AggOptions{Args: r.Args, Ret: r.Ret}, Args: c.Args, Filter: -1, Name: c.Name}
			if len(c.Args) == 0 {
				c.Agg.Filter = 3
			}
			c.Args = nil
			ret = r.Ret
		}
		c.Type = vec.Field{Name: c.Name, Type: ret}
	}
	for _, c := range n.Calls {
		fields = append(fields, c.Type)
	}
	n.Describe(&vec.Schema{Fields: fields}, planner.Props{Retracts: true})
	return &n
}

func overOffsetConst(k int64) planner.Expr { return &planner.Const{Val: k, Typ: types.Int8} }

func randomFrame(rng *rand.Rand, keys int) (f *ast.Frame, lo, hi planner.Expr) {
	units := []string{"rows"}
	if keys > 0 {
		units = append(units, "groups")
	}
	if keys < 2 {
		units = append(units, "range")
	}
	kinds := []string{"unbounded preceding", "preceding", "current row", "following", "unbounded following"}
	f = &ast.Frame{Unit: units[rng.Intn(len(units))], Exclude: []string{"", "", "current row", "group", "ties"}[rng.Intn(5)]}
	a := rng.Intn(4)
	b := max(1, a) + rng.Intn(5-max(1, a))
	if f.Unit == "range" && keys == 0 {
		a, b = a/2*2, (b+1)/2*2
	}
	f.Start.Kind, f.End.Kind = kinds[a], kinds[b]
	if f.Start.Kind == "preceding" || f.Start.Kind == "following" {
		lo = overOffsetConst(int64(rng.Intn(4)))
	}
	if f.End.Kind == "preceding" || f.End.Kind == "following" {
		hi = overOffsetConst(int64(rng.Intn(4)))
	}
	return f, lo, hi
}

// overModel computes window functions by their definition.
func overModel(n *planner.Over, rows [][]types.Datum) (out []string) {
	rows = slices.Clone(rows)
	byKey := modelOrder(overTypes, n.Keys, false)
	slices.SortStableFunc(rows, modelOrder(overTypes, n.Keys, true))
	parts := map[string][][]types.Datum{}
	for _, r := range rows {
		var p []types.Datum
		for _, c := range n.Partition {
			p = append(p, r[c])
		}
		parts[datumText(p...)] = append(parts[datumText(p...)], r)
	}
	for _, part := range parts {
		for i, r := range part {
			s := datumText(r...)
			for c := range n.Calls {
				s += "," + modelCall(n, &n.Calls[c], byKey, part, i)
			}
			out = append(out, s)
		}
	}
	return out
}

func modelFrame(n *planner.Over, c *planner.OverCall, cmp func(a, b []types.Datum) int, part [][]types.Datum, i int) (in []int) {
	f := c.Frame
	if f == nil {
		f = &ast.Frame{Unit: "range", Start: ast.Bound{Kind: "unbounded preceding"}, End: ast.Bound{Kind: "current row"}}
	}
	group := func(j int) (g int64) {
		for k := 1; k <= j; k++ {
			if cmp(part[k-1], part[k]) != 0 {
				g++
			}
		}
		return g
	}
	// distance of row j behind row i, in the unit of the frame; NULLs are far away
	distance := func(j int) int64 {
		switch f.Unit {
		case "rows":
			return int64(j - i)
		case "groups":
			return group(j) - group(i)
		}
		if len(n.Keys) != 1 {
			return int64(cmp(part[j], part[i]))
		}
		k := n.Keys[0]
		x, y := part[i][k.Col], part[j][k.Col]
		switch {
		case x == nil && y == nil:
			return 0
		case x == nil || y == nil:
			return int64(cmp(part[j], part[i])) * 1e9
		}
		d := y.(int64) - x.(int64)
		if k.Desc {
			d = -d
		}
		return d
	}
	// In RANGE mode the frame of a NULL that has an offset is that of its peers.
	null := f.Unit == "range" && len(n.Keys) == 1 && part[i][n.Keys[0].Col] == nil
	value := func(e planner.Expr) int64 {
		if e == nil || null {
			return 0
		}
		return e.(*planner.Const).Val.(int64)
	}
	for j := range part {
		d := distance(j)
		ok := true
		switch f.Start.Kind {
		case "preceding":
			ok = d >= -value(c.Lo)
		case "current row":
			ok = d >= 0
		case "following":
			ok = d >= value(c.Lo)
		}
		switch f.End.Kind {
		case "preceding":
			ok = ok && d <= -value(c.Hi)
		case "current row":
			ok = ok && d <= 0
		case "following":
			ok = ok && d <= value(c.Hi)
		}
		peer := cmp(part[i], part[j]) == 0
		switch f.Exclude {
		case "current row":
			ok = ok && i != j
		case "group":
			ok = ok && !peer
		case "ties":
			ok = ok && (i == j || !peer)
		}
		if ok {
			in = append(in, j)
		}
	}
	return in
}

func modelCall(n *planner.Over, c *planner.OverCall, cmp func(a, b []types.Datum) int, part [][]types.Datum, i int) string {
	less, most, groups := 0, 0, 1
	for j := range part {
		if cmp(part[j], part[i]) < 0 {
			less++
			if cmp(part[j], part[j+1]) != 0 {
				groups++
			}
		}
		if cmp(part[j], part[i]) <= 0 {
			most++
		}
	}
	pick := func(col int, rows []int, at int) string {
		if c.IgnoreNulls {
			rows = slices.DeleteFunc(slices.Clone(rows), func(j int) bool { return part[j][col] == nil })
		}
		if at == -2 {
			at = len(rows) - 1
		}
		if at < 0 || at >= len(rows) {
			return "-"
		}
		return datumText(part[rows[at]][col])
	}
	switch c.Name {
	case "row_number":
		return fmt.Sprint(i + 1)
	case "rank":
		return fmt.Sprint(less + 1)
	case "dense_rank":
		return fmt.Sprint(groups)
	case "percent_rank":
		if len(part) == 1 {
			return "0"
		}
		return fmt.Sprint(float64(less) / float64(len(part)-1))
	case "cume_dist":
		return fmt.Sprint(float64(most) / float64(len(part)))
	case "lag", "lead":
		if part[i][c.Args[1]] == nil {
			return "-"
		}
		by := int(part[i][c.Args[1]].(int32))
		if c.Name == "lag" {
			by = -by
		}
		j := i + by
		if c.IgnoreNulls && by != 0 {
			step := by / max(by, -by)
			for j = i; by != 0; {
				if j += step; j < 0 || j >= len(part) {
					break
				}
				if part[j][c.Args[0]] != nil {
					by -= step
				}
			}
		}
		if j < 0 || j >= len(part) {
			return datumText(part[i][c.Args[2]])
		}
		return datumText(part[j][c.Args[0]])
	}
	frame := modelFrame(n, c, cmp, part, i)
	switch c.Name {
	case "first_value":
		return pick(c.Args[0], frame, 0)
	case "last_value":
		return pick(c.Args[0], frame, -2)
	case "nth_value":
		if part[i][c.Args[1]] == nil {
			return "-"
		}
		return pick(c.Args[0], frame, int(part[i][c.Args[1]].(int32))-1)
	}
	// aggregates
	count, sum, fsum := int64(0), int64(0), 0.0
	var low, list types.Datum
	for _, j := range frame {
		if c.Agg.Filter >= 0 && part[j][c.Agg.Filter] != true {
			continue
		}
		if len(c.Agg.Args) == 0 {
			count++
			continue
		}
		x := part[j][c.Agg.Args[0]]
		if c.Name == "array_agg" {
			if list == nil {
				list = ""
			}
			list = list.(string) + datumText(x) + ";"
			continue
		}
		if x == nil {
			continue
		}
		count++
		switch v := x.(type) {
		case int32:
			sum += int64(v)
			if low == nil || v < low.(int32) {
				low = v
			}
		case float64:
			fsum += v
		}
	}
	switch {
	case c.Name == "count":
		return fmt.Sprint(count)
	case count == 0:
		return "-"
	case c.Name == "min":
		return fmt.Sprint(low)
	case overTypes[c.Agg.Args[0]].Is(types.Float8):
		return fmt.Sprint(fsum)
	}
	return fmt.Sprint(sum)
}

func randomOver(t testing.TB, rng *rand.Rand, leaf planner.Node) *planner.Over {
	var n planner.Over
	if rng.Intn(4) > 0 {
		n.Partition = []int{0}
	}
	for k := range rng.Intn(3) {
		n.Keys = append(n.Keys, planner.SortKey{Col: 2 - k, Desc: rng.Intn(2) == 0, NullsFirst: rng.Intn(2) == 0})
	}
	for range 1 + rng.Intn(4) {
		c := []planner.OverCall{
			{Name: "row_number"}, {Name: "rank"}, {Name: "dense_rank"}, {Name: "percent_rank"}, {Name: "cume_dist"},
			{Name: "lag", Args: []int{1, 4, 1}}, {Name: "lead", Args: []int{1, 4, 4}},
			{Name: "first_value", Args: []int{1}}, {Name: "last_value", Args: []int{1}}, {Name: "nth_value", Args: []int{1, 4}},
			{Name: "count"}, {Name: "count", Args: []int{1}}, {Name: "sum", Args: []int{1}}, {Name: "min", Args: []int{1}}, {Name: "sum", Args: []int{5}},
		}[rng.Intn(15)]
		if rng.Intn(5) > 0 {
			c.Frame, c.Lo, c.Hi = randomFrame(rng, len(n.Keys))
		}
		c.IgnoreNulls = strings.Contains(c.Name, "_value") && rng.Intn(3) == 0 || strings.HasPrefix(c.Name, "l") && rng.Intn(3) == 0
		n.Calls = append(n.Calls, c)
	}
	return overNode(t, leaf, n)
}

func overRow(rng *rand.Rand) []types.Datum {
	r := []types.Datum{int64(rng.Intn(3)), int32(rng.Intn(9)), int64(rng.Intn(7)), rng.Intn(2) == 0, int32(1 + rng.Intn(3)), float64(rng.Intn(8))}
	if rng.Intn(4) == 0 {
		r[rng.Intn(len(r))] = nil
	}
	return r
}

func TestOver(t *testing.T) { testOver(t, 100, 10, 12) }

// TestOverChunks has partitions of many chunks, of which ticks change little.
func TestOverChunks(t *testing.T) {
	defer func(n int) { overChunkRows = n }(overChunkRows)
	overChunkRows = 4
	testOver(t, 80, 120, 15)
}

func testOver(t *testing.T, seeds int64, first, steps int) {
	for seed := range int64(rounds(int(seeds))) {
		rng := rand.New(rand.NewSource(seed))
		leaf := newRowLeaf(true, overTypes...)
		n := randomOver(t, rng, leaf)
		run := newRowRun(t, true, []int{1, 7, 8192}[rng.Intn(3)], func() (Operator, error) { return newOver(n) }, leaf)
		var bag rowBag
		for step := range steps {
			changes := rng.Intn(10)
			switch {
			case step == 0:
				changes = rng.Intn(first)
			case first > 10:
				changes = 1 + rng.Intn(4)*rng.Intn(2)
			}
			for range changes {
				ch := randomChange(rng, 0, &bag, true, func() []types.Datum { return overRow(rng) })
				bag.apply(ch)
				run.add(ch)
			}
			before := len(run.out.log)
			run.step()
			if got, want := bagText(run.out.rows), bagText(bagOf(overModel(n, bag.rows))); got != want {
				t.Fatalf("seed %d, %s, step %d:\n%s\nwant\n%s", seed, overText(n), step, got, want)
			}
			for _, l := range run.out.log[before:] {
				if seenOther(run.out.log[before:], l) {
					t.Fatalf("seed %d: %s is sent and taken back in one tick", seed, l)
				}
			}
			if rng.Intn(4) == 0 {
				run.restart()
			}
		}
		run.close()
	}
}

func TestOverSnapshot(t *testing.T) {
	for seed := range int64(40) {
		rng := rand.New(rand.NewSource(seed))
		leaf := newRowLeaf(false, overTypes...)
		n := randomOver(t, rng, leaf)
		run := newRowRun(t, false, []int{1, 7, 8192}[rng.Intn(3)], func() (Operator, error) { return newOver(n) }, leaf)
		run.out.noTake = true
		var bag rowBag
		for i := range 60 {
			ch := change{0, overRow(rng), vec.Insert}
			bag.apply(ch)
			run.add(ch)
			if i == 30 {
				run.flush()
				run.restart()
			}
		}
		run.advance(0, vec.MaxTime)
		if got, want := bagText(run.out.rows), bagText(bagOf(overModel(n, bag.rows))); got != want {
			t.Fatalf("seed %d, %s:\n%s\nwant\n%s", seed, overText(n), got, want)
		}
		run.close()
	}
}

// TestOverErrors has the errors that PostgreSQL gives once there are rows.
func TestOverErrors(t *testing.T) {
	rows := &ast.Frame{Unit: "rows", Start: ast.Bound{Kind: "preceding"}, End: ast.Bound{Kind: "current row"}}
	rng := &ast.Frame{Unit: "range", Start: ast.Bound{Kind: "current row"}, End: ast.Bound{Kind: "following"}}
	for _, c := range []struct {
		call planner.OverCall
		code string
		text string
	}{
		{planner.OverCall{Name: "ntile", Args: []int{1}}, "22014", "argument of ntile must be greater than zero"},
		{planner.OverCall{Name: "nth_value", Args: []int{0, 1}}, "22016", "argument of nth_value must be greater than zero"},
		{planner.OverCall{Name: "count", Args: []int{1}, Frame: rows, Lo: overOffsetConst(-1)}, "22013", "frame starting offset must not be negative"},
		{planner.OverCall{Name: "count", Args: []int{1}, Frame: rows, Lo: tnull(types.Int8)}, "22004", "frame starting offset must not be null"},
		{planner.OverCall{Name: "count", Args: []int{1}, Frame: rng, Hi: overOffsetConst(-1)}, "22013", "invalid preceding or following size in window function"},
	} {
		leaf := newRowLeaf(false, types.Int8, types.Int4)
		n := overNode(t, leaf, planner.Over{Keys: []planner.SortKey{{Col: 0}}, Calls: []planner.OverCall{c.call}})
		run := newRowRun(t, false, 10, func() (Operator, error) { return newOver(n) }, leaf)
		run.must(run.op.Advance(0, Mark{W: 5}))
		run.add(change{0, []types.Datum{int64(1), int32(0)}, vec.Insert})
		run.flush()
		err := run.op.Advance(0, Mark{W: vec.MaxTime})
		if err == nil || pgerr.Code(err) != c.code || err.Error() != c.text {
			t.Errorf("%s: %v", c.call.Name, err)
		}
		run.close()
	}
}

// TestOverRowErrors: rows that fail are reported when they come to fail, and are in the result again once they do not.
func TestOverRowErrors(t *testing.T) {
	leaf := newRowLeaf(true, types.Int8, types.Int4)
	n := overNode(t, leaf, planner.Over{Keys: []planner.SortKey{{Col: 0}}, Calls: []planner.OverCall{{Name: "ntile", Args: []int{1}}}})
	run := newRowRun(t, true, 10, func() (Operator, error) { return newOver(n) }, leaf)
	errs := 0
	run.ctx.RowError = func(err error, b *vec.Batch, row int) error { errs++; return nil }
	bad, good := []types.Datum{int64(5), int32(0)}, []types.Datum{int64(1), int32(1)}
	for i, c := range []struct {
		ch   change
		want string
		errs int
	}{
		{change{0, bad, vec.Insert}, "", 1},
		{change{0, []types.Datum{int64(9), int32(3)}, vec.Insert}, "9,3,1 x1", 1},
		{change{0, good, vec.Insert}, "1,1,1 x1\n5,0,1 x1\n9,3,1 x1", 1},
		{change{0, good, vec.Delete}, "9,3,1 x1", 2},
		{change{0, bad, vec.Delete}, "9,3,1 x1", 2},
	} {
		run.add(c.ch)
		run.step()
		if got := bagText(run.out.rows); got != c.want || errs != c.errs {
			t.Fatalf("step %d: %q and %d errors, want %q and %d", i, got, errs, c.want, c.errs)
		}
	}
	run.close()
}

func overText(n *planner.Over) string {
	s := fmt.Sprintf("partition %v order %v", n.Partition, n.Keys)
	for _, c := range n.Calls {
		s += fmt.Sprintf("; %s%v", c.Name, c.Args)
		if c.Agg != nil {
			s += fmt.Sprintf(" of %v filter %d", c.Agg.Args, c.Agg.Filter)
		}
		if c.Frame != nil {
			s += fmt.Sprintf(" %+v", *c.Frame)
		}
		for _, x := range []planner.Expr{c.Lo, c.Hi} {
			if x != nil {
				s += fmt.Sprintf(" offset %v", x.(*planner.Const).Val)
			}
		}
		if c.IgnoreNulls {
			s += " ignore nulls"
		}
	}
	return s
}
