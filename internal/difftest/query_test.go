package difftest

import (
	"fmt"
	"strings"
)

// query is a whole statement and how its answer may be compared.
type query struct {
	root    *node
	ordered bool // the order of the rows is determined
}

// in runs f with another scope.
func (g *gen) in(sc *scope, f func()) {
	old := g.sc
	g.sc = sc
	f()
	g.sc = old
}

// source gives an item of FROM with its columns.
func (g *gen) source(depth int, outer *scope) (*node, []column, []string) {
	a := g.fresh("a")
	qualify := func(cols []column) []column {
		out := make([]column, len(cols))
		for i, c := range cols {
			out[i] = column{a + "." + c.name, c.typ}
		}
		return out
	}
	x := g.r.IntN(20)
	if depth <= 0 {
		x = 0
	}
	switch {
	case x < 13:
		t := pick(g.r, g.tables...)
		return mk("", levelPrimary, t.name+pick(g.r, " AS ", " ")+a), qualify(t.cols), []string{a + ".id"}
	case x < 16:
		var ts []string
		var cols []column
		for i := range 1 + g.r.IntN(3) {
			ts = append(ts, g.anyType())
			cols = append(cols, column{"c" + itoa(i+1), ts[i]})
		}
		var sub *node
		lateral := ""
		var sc *scope
		if outer != nil && g.chance(1, 2) {
			sc, lateral = outer, "LATERAL "
		}
		g.in(sc, func() { sub = g.selectOf(ts, depth-1) })
		names := ""
		for i, c := range cols {
			if i > 0 {
				names += ", "
			}
			names += c.name
		}
		return mk("", levelPrimary, lateral+"(", sub, ") AS "+a+"("+names+")"), qualify(cols), nil
	case x < 17:
		t1, t2 := g.anyType(), g.anyType()
		row := func() *node {
			var n *node
			g.in(nil, func() { n = mk("", levelPrimary, "(", g.expr(t1, 1), ", ", g.expr(t2, 1), ")") })
			return n
		}
		return mk("", levelPrimary, "(VALUES ", list(", ", row(), row(), row()), ") AS "+a+"(c1, c2)"), qualify([]column{{"c1", t1}, {"c2", t2}}), nil
	default:
		return g.function(a, outer, depth)
	}
}

// function gives a set-returning function in FROM.
func (g *gen) function(a string, outer *scope, depth int) (n *node, cols []column, unique []string) {
	one := func(typ string, parts ...any) {
		if g.chance(1, 3) {
			n = mk("", levelPrimary).add(parts...).add(" WITH ORDINALITY AS " + a + "(x, n)")
			cols, unique = []column{{a + ".x", typ}, {a + ".n", "bigint"}}, []string{a + ".n"}
			return
		}
		n = mk("", levelPrimary).add(parts...).add(" AS " + a + "(x)")
		cols = []column{{a + ".x", typ}}
	}
	g.in(outer, func() {
		g.noAgg++
		defer func() { g.noAgg-- }()
		switch g.r.IntN(9) {
		case 0:
			one("integer", fmt.Sprintf("generate_series(%d, %d)", g.r.IntN(5)-2, g.r.IntN(6)))
		case 1:
			one("timestamp without time zone", "generate_series(timestamp '2024-01-30', '2024-03-05', "+pick(g.r, "'1 week'", "'1 mon'", "interval '10 days'")+")")
		case 2:
			one("numeric", "generate_series(1.5, "+pick(g.r, "4", "2.25", "0")+pick(g.r, "", ", 0.5", ", -1")+")")
		case 3:
			e := pick(g.r, arrays...)
			one(e, "unnest(", g.expr(e+"[]", depth-1), ")")
		case 4:
			one("text", "string_to_table(", g.expr("text", depth-1), ", ", leaf("text", pick(g.r, "','", "NULL", "'b'")), ")")
		case 5:
			one("jsonb", "jsonb_array_elements(", leaf("jsonb", pick(g.r, `'[1, "a", null]'`, `'[]'`, `'[{"a": 1}]'::jsonb`)), ")")
		case 6:
			j := pick(g.r, "json", "jsonb")
			f := pick(g.r, "_each", "_each_text")
			v := j
			if f == "_each_text" {
				v = "text"
			}
			n = mk("", levelPrimary, j+f+"(", leaf(j, pick(g.r, `'{"a": 1, "b": [1, null]}'`, `'{}'`, `'{"x": "y", "z": null}'`)), ") AS "+a)
			cols = []column{{a + ".key", "text"}, {a + ".value", v}}
		case 7:
			n = mk("", levelPrimary, "ROWS FROM (generate_series(1, "+itoa(g.r.IntN(4))+"), unnest(", g.expr("text[]", 1), ")) AS "+a+"(x, y)")
			cols = []column{{a + ".x", "integer"}, {a + ".y", "text"}}
		case 8:
			one("text", "regexp_split_to_table(", g.expr("text", depth-1), ", ", leaf("text", pick(g.r, regexes...)), ")")
		}
	})
	return n, cols, unique
}

// from gives a FROM clause and the scope that it makes.
func (g *gen) from(depth int, outer *scope) (*node, *scope) {
	n := mk("", levelPrimary, " FROM ")
	first, cols, unique := g.source(depth, outer)
	sc := &scope{cols: cols, unique: unique, outer: outer}
	joined := 0
	if depth > 0 {
		joined = pick(g.r, 0, 0, 0, 0, 1, 1, 2)
	}
	n.add(first)
	for range joined {
		kind := pick(g.r, ", ", " CROSS JOIN ", " JOIN ", " JOIN ", " LEFT JOIN ", " LEFT JOIN ", " RIGHT JOIN ", " FULL JOIN ")
		out := sc
		if strings.Contains(kind, "RIGHT") || strings.Contains(kind, "FULL") {
			out = outer
		}
		item, cols, unique := g.source(depth-1, out)
		both := &scope{cols: append(append([]column(nil), sc.cols...), cols...), outer: outer}
		if sc.unique != nil && unique != nil {
			both.unique = append(append([]string(nil), sc.unique...), unique...)
		}
		j := mk("", levelPrimary, kind, item)
		if kind != ", " && kind != " CROSS JOIN " {
			on := "" // an equality where there is one; FULL JOIN takes nothing else
			for _, l := range sc.cols {
				for _, r := range cols {
					if l.typ == r.typ && comparable(l.typ) && (on == "" || g.chance(1, 3)) {
						on = l.name + " = " + r.name
					}
				}
			}
			switch {
			case on != "" && (kind == " FULL JOIN " || g.chance(2, 3)):
				j.add(" ON " + on)
				if kind != " FULL JOIN " && g.chance(1, 4) {
					g.in(both, func() { g.noAgg++; j.add(optional(" AND ", at(levelAnd+1, g.expr("boolean", 1)))); g.noAgg-- })
				}
			case kind == " FULL JOIN ":
				j.add(" ON true")
			default:
				g.in(both, func() { g.noAgg++; j.add(" ON ", g.expr("boolean", 2)); g.noAgg-- })
			}
		}
		n.add(part{child: j, drop: true})
		sc = both
	}
	return n, sc
}

func (g *gen) where(sc *scope, depth int) part {
	var p part
	g.in(sc, func() { p = optional(" WHERE ", g.expr("boolean", depth)) })
	return p
}

// selectOf gives a SELECT with columns of the types, with everything that a query may have but WITH and ORDER BY.
func (g *gen) selectOf(types []string, depth int) *node {
	outer := g.sc
	if depth <= 0 || g.chance(1, 12) {
		var items []*node
		for _, t := range types {
			items = append(items, g.expr(t, max(depth, 1)))
		}
		return mk("", levelPrimary, "SELECT ", fixed(", ", items...))
	}
	if g.chance(1, 8) {
		return g.setOperation(types, depth)
	}
	from, sc := g.from(depth, outer)
	var items []*node
	n := mk("", levelPrimary, "SELECT ")
	switch x := g.r.IntN(10); {
	case x < 4:
		g.in(sc, func() {
			for _, t := range types {
				items = append(items, g.expr(t, depth))
			}
		})
		if g.chance(1, 8) && allComparable(types) {
			n.add(optional("DISTINCT "))
		}
		n.add(fixed(", ", items...), from, g.where(sc, depth))
	case x < 7:
		sc.window = true
		g.in(sc, func() {
			for _, t := range types {
				items = append(items, g.expr(t, depth))
			}
		})
		sc.window = false
		n.add(fixed(", ", items...), from, g.where(sc, depth))
	default:
		grouped := g.grouping(sc, depth)
		g.in(grouped.sc, func() {
			for _, t := range types {
				items = append(items, g.expr(t, depth))
			}
			n.add(fixed(", ", items...), from, g.where(sc, depth-1), grouped.clause)
			if g.chance(1, 3) {
				n.add(optional(" HAVING ", g.expr("boolean", depth-1)))
			}
		})
	}
	return n
}

func allComparable(types []string) bool {
	for _, t := range types {
		if !comparable(t) {
			return false
		}
	}
	return true
}

type grouping struct {
	sc     *scope
	clause part
}

// grouping gives a GROUP BY and the scope after it.
func (g *gen) grouping(sc *scope, depth int) grouping {
	var keys []*node
	g.in(sc, func() {
		g.noAgg++
		for range pick(g.r, 0, 1, 1, 2, 2, 3) {
			c := pick(g.r, sc.cols...)
			if !comparable(c.typ) {
				continue
			}
			k := leaf(c.typ, c.name)
			if g.chance(1, 6) {
				if t := pick(g.r, scalars...); comparable(t) {
					k = g.expr(t, 1)
					if !alias.MatchString(k.String()) {
						k = leaf(c.typ, c.name) // PostgreSQL 15 does not make constant keys NULL in grouping sets
					}
				}
			}
			keys = append(keys, k)
		}
		g.noAgg--
	})
	out := grouping{sc: &scope{keys: keys, inner: sc, outer: sc.outer, cols: nil}}
	if len(keys) == 0 {
		out.clause = part{child: mk("", levelPrimary, pick(g.r, "", "", " GROUP BY ()"))}
		return out
	}
	n := mk("", levelPrimary, " GROUP BY ")
	switch x := g.r.IntN(8); {
	case x < 5:
		n.add(fixed(", ", keys...))
	case x == 5:
		n.add("ROLLUP (", fixed(", ", keys...), ")")
	case x == 6:
		n.add("CUBE (", fixed(", ", keys...), ")")
	default:
		n.add("GROUPING SETS (")
		sets := []*node{mk("", levelPrimary, "(", fixed(", ", keys...), ")"), mk("", levelPrimary, "()")}
		for _, k := range keys {
			sets = append(sets, mk("", levelPrimary, "(", k, ")"))
		}
		n.add(list(", ", sets...), ")")
	}
	out.clause = part{child: n}
	return out
}

// floatSum says that an aggregate's result over floats depends on the order of the rows.
func floatSum(s *signature) bool {
	for _, a := range s.args {
		if a == "double precision" || a == "real" {
			return s.name != "min" && s.name != "max" && s.name != "count" && s.kind != 'o'
		}
	}
	return false
}

// orderMatters says that an aggregate's result depends on the order of its input.
func orderMatters(name string) bool {
	return strings.HasSuffix(name, "_agg") || strings.Contains(name, "object_agg")
}

// aggregate gives a call of an aggregate with the type, over the rows of the group.
func (g *gen) aggregate(typ string, depth int) *node {
	if typ == "bigint" && g.chance(1, 3) {
		return mk(typ, levelPrimary, "count(*)", g.filter(depth))
	}
	if typ == "integer" && len(g.sc.keys) > 0 && g.chance(1, 4) {
		return mk(typ, levelPrimary, "grouping(", fixed(", ", g.sc.keys...), ")")
	}
	kind := byte('a')
	if g.chance(1, 6) {
		kind = 'o'
	}
	return g.call(kind, typ, depth)
}

func (g *gen) filter(depth int) part {
	if !g.chance(1, 4) {
		return part{}
	}
	var p part
	inner := g.sc.inner
	if inner == nil {
		inner = g.sc
	}
	g.in(inner, func() {
		g.noAgg++
		p = optional(" FILTER (WHERE ", g.expr("boolean", depth-1), ")")
		g.noAgg--
	})
	return p
}

// aggregateOf gives a call of an aggregate; in a scope without groups it is a window function's.
func (g *gen) aggregateOf(s *signature, typ string, depth int) *node {
	if g.sc == nil || floatSum(s) && !g.calm {
		return nil
	}
	inner := g.sc.inner
	if inner == nil {
		inner = g.sc
	}
	elem := g.polyElem(s, typ)
	if (s.name == "min" || s.name == "max" || s.kind == 'o') && !comparable(elem) {
		elem = "integer"
	}
	ret := concrete(s.ret, elem)
	n := mk(ret, levelPrimary, s.name+"(")
	filter := g.filter(depth)
	g.in(inner, func() {
		g.noAgg++
		defer func() { g.noAgg-- }()
		if s.kind == 'o' {
			g.orderedSet(n, s, elem, depth)
			return
		}
		var args []*node
		for i, a := range s.args {
			args = append(args, g.argument(s.name, i, concrete(a, elem), depth-1, 0).child)
		}
		order := ""
		distinct := len(args) > 0 && !strings.HasPrefix(args[0].String(), "'") && g.chance(1, 5)
		for _, a := range args {
			distinct = distinct && sortable(a.typ)
		}
		if distinct {
			n.add(part{text: "DISTINCT ", drop: true, child: leaf("", "")})
		}
		n.add(fixed(", ", args...))
		if s.name == "count" && len(args) == 0 {
			n.add("*")
		}
		switch {
		case !orderMatters(s.name):
		case distinct:
			n.add(" ORDER BY ", args[0])
		case inner.unique != nil:
			if g.chance(1, 2) {
				if c := pick(g.r, inner.cols...); comparable(c.typ) {
					order = c.name + pick(g.r, " DESC", "", " NULLS FIRST") + ", "
				}
			}
			n.add(" ORDER BY " + order + strings.Join(inner.unique, ", "))
		default:
			// Rows cannot be told apart: all of the arguments, as texts, put them into an order.
			var by []*node
			for _, a := range args {
				by = append(by, mk("text", levelCast, at(levelCast, a), "::text"))
			}
			n.add(" ORDER BY ", fixed(", ", by...))
		}
		n.add(")")
	})
	return n.add(filter)
}

func (g *gen) orderedSet(n *node, s *signature, elem string, depth int) {
	var direct, sorted []string
	switch s.name {
	case "mode":
		sorted = []string{elem}
	case "percentile_disc", "percentile_cont":
		direct = s.args[:1]
		sorted = []string{concrete(s.args[1], elem)}
	default: // hypothetical
		direct = []string{"integer"}
		sorted = []string{"integer"}
	}
	var args []*node
	for i, a := range direct {
		if a == "double precision[]" {
			args = append(args, leaf(a, pick(g.r, "'{0,0.5,1}'", "ARRAY[0.25,0.75]", "'{NULL,0.5}'", "'{{0,1},{0.5,0.2}}'")))
			continue
		}
		args = append(args, g.argument(s.name, i, concrete(a, elem), 0, 0).child)
	}
	n.add(fixed(", ", args...), ") WITHIN GROUP (ORDER BY ")
	for i, a := range sorted {
		if i > 0 {
			n.add(", ")
		}
		n.add(g.expr(a, depth-1), pick(g.r, "", "", " DESC"))
	}
	n.add(")")
}

// ranked are the window functions without arguments, and whether rows that are peers have one result.
var ranked = []struct {
	call, typ string
	peers     bool
}{
	{"row_number()", "bigint", false}, {"rank()", "bigint", true}, {"dense_rank()", "bigint", true}, {"percent_rank()", "double precision", true},
	{"cume_dist()", "double precision", true}, {"ntile(3)", "integer", false}, {"ntile(1)", "integer", false},
}

// windowCall gives a window function with the type.
func (g *gen) windowCall(typ string, depth int) *node {
	sc := g.sc
	var call *node
	peers := true
	switch {
	case g.chance(1, 3):
		for _, w := range ranked {
			if w.typ == typ && (w.peers || sc.unique != nil) && (call == nil || g.chance(1, 2)) {
				call, peers = mk(typ, levelPrimary, w.call), w.peers
			}
		}
	case g.chance(1, 2) && sc.unique != nil:
		peers = false
		f := pick(g.r, "lag", "lead", "first_value", "last_value", "nth_value")
		g.noAgg++
		call = mk(typ, levelPrimary, f+"(", g.expr(typ, depth-1))
		g.noAgg--
		switch f {
		case "lag", "lead":
			if g.chance(1, 2) {
				call.add(", ", leaf("integer", pick(g.r, posInts...)))
				if g.chance(1, 2) {
					g.noAgg++
					call.add(", ", g.literal(typ, true))
					g.noAgg--
				}
			}
		case "nth_value":
			call.add(", ", leaf("integer", pick(g.r, "1", "2", "3")))
		}
		call.add(")")
	}
	if call == nil {
		groups := g.sigs.byRet['a'][typ]
		if len(groups) == 0 {
			return nil
		}
		s := pick(g.r, pick(g.r, groups...)...)
		if floatSum(s) && !g.calm || orderMatters(s.name) && sc.unique == nil {
			return nil
		}
		elem := g.polyElem(s, typ)
		call = mk(concrete(s.ret, elem), levelPrimary, s.name+"(")
		g.noAgg++
		for i, a := range s.args {
			if i > 0 {
				call.add(", ")
			}
			call.add(g.argument(s.name, i, concrete(a, elem), depth-1, 0))
		}
		if s.name == "count" && len(s.args) == 0 {
			call.add("*")
		}
		call.add(")")
		g.noAgg--
		call.add(g.filter(depth))
		peers = !orderMatters(s.name)
	}
	g.noAgg++
	over := g.over(peers)
	g.noAgg--
	if over == nil {
		return nil
	}
	return call.add(" OVER (", over, ")")
}

// over gives a window; peers says that the call treats rows that are equal in the order alike.
func (g *gen) over(peers bool) *node {
	sc := g.sc
	n := mk("", levelPrimary)
	var by []column
	for _, c := range sc.cols {
		if comparable(c.typ) {
			by = append(by, c)
		}
	}
	if len(by) == 0 {
		return n
	}
	if g.chance(1, 2) {
		n.add(part{child: leaf("", "PARTITION BY "+pick(g.r, by...).name+" "), drop: true})
	}
	frame := func() string {
		lo := pick(g.r, "UNBOUNDED PRECEDING", "2 PRECEDING", "1 PRECEDING", "CURRENT ROW", "1 FOLLOWING")
		hi := pick(g.r, "UNBOUNDED FOLLOWING", "CURRENT ROW", "1 FOLLOWING", "2 FOLLOWING", "1 PRECEDING")
		if g.chance(1, 4) && lo != "1 FOLLOWING" {
			return lo
		}
		return "BETWEEN " + lo + " AND " + hi
	}
	exclude := pick(g.r, "", "", "", " EXCLUDE CURRENT ROW", " EXCLUDE GROUP", " EXCLUDE TIES", " EXCLUDE NO OTHERS")
	dir := pick(g.r, "", "", " DESC", " ASC", " NULLS FIRST", " DESC NULLS LAST")
	switch x := g.r.IntN(5); {
	case x == 0 && peers:
		if g.chance(1, 2) {
			return n
		}
		return n.add("ORDER BY "+pick(g.r, by...).name+dir, part{child: leaf("", pick(g.r, "", " GROUPS "+frame()+exclude, " RANGE UNBOUNDED PRECEDING"+exclude)), drop: true})
	case x == 1 && peers:
		offsets := map[string][]string{"integer": {"1", "3"}, "bigint": {"2", "10"}, "smallint": {"1"}, "numeric": {"1.5", "100"}, "double precision": {"0.5", "10"}, "date": {"'1 day'", "'1 mon'"},
			"timestamp without time zone": {"'1 day'", "interval '1 hour'"}, "timestamp with time zone": {"'1 year'"}, "interval": {"'1 hour'"}, "time without time zone": {"'1 hour'"}, "real": {"0.5"}}
		for range 4 {
			c := pick(g.r, by...)
			if o := offsets[c.typ]; o != nil {
				return n.add("ORDER BY " + c.name + dir + " RANGE BETWEEN " + pick(g.r, "UNBOUNDED PRECEDING", pick(g.r, o...)+" PRECEDING", "CURRENT ROW") + " AND " +
					pick(g.r, "UNBOUNDED FOLLOWING", pick(g.r, o...)+" FOLLOWING", "CURRENT ROW") + exclude)
			}
		}
	}
	if sc.unique == nil {
		if !peers {
			return nil
		}
		return n
	}
	n.add("ORDER BY ")
	if g.chance(1, 2) {
		n.add(part{child: leaf("", pick(g.r, by...).name+dir+", "), drop: true})
	}
	n.add(strings.Join(sc.unique, ", "))
	return n.add(part{child: leaf("", pick(g.r, "", " ROWS "+frame()+exclude, " GROUPS "+frame()+exclude)), drop: true})
}

// scalarSubquery gives a subquery with one row at most.
func (g *gen) scalarSubquery(typ string, depth int) *node {
	outer := g.sc
	if outer != nil && outer.window {
		outer = &scope{cols: outer.cols, outer: outer.outer}
	}
	from, sc := g.from(min(depth-2, 1), outer)
	var n *node
	if g.chance(1, 2) || sc.unique == nil {
		g.in(&scope{inner: sc, outer: outer}, func() {
			if a := g.aggregate(typ, depth-1); a != nil {
				n = mk(typ, levelPrimary, "(SELECT ", a, from, g.where(sc, depth-1), ")")
			}
		})
		if n == nil {
			return g.atom(typ, false)
		}
		return n
	}
	g.in(sc, func() {
		n = mk(typ, levelPrimary, "(SELECT ", g.expr(typ, depth-1), from, g.where(sc, depth-1), " ORDER BY "+strings.Join(sc.unique, ", ")+" LIMIT 1)")
	})
	return n
}

func (g *gen) arraySubquery(elem string, depth int) *node {
	from, sc := g.from(0, g.sc)
	var n *node
	g.in(sc, func() {
		n = mk(elem+"[]", levelPrimary, "ARRAY(SELECT ", g.expr(elem, depth-1), from, g.where(sc, depth-1), " ORDER BY "+strings.Join(sc.unique, ", ")+")")
	})
	return n
}

// predicateSubquery gives EXISTS, IN, ANY and ALL.
func (g *gen) predicateSubquery(depth int) *node {
	outer := g.sc
	if outer.window {
		outer = &scope{cols: outer.cols, outer: outer.outer}
	}
	from, sc := g.from(min(depth-2, 1), outer)
	t := pick(g.r, scalars...)
	for !comparable(t) {
		t = pick(g.r, scalars...)
	}
	left := g.expr(t, depth-1)
	var n *node
	g.in(sc, func() {
		item := g.expr(t, depth-1)
		where := g.where(sc, depth-1)
		switch g.r.IntN(5) {
		case 0:
			n = mk("boolean", levelPrimary, "EXISTS (SELECT 1", from, where, ")")
		case 1, 2:
			n = mk("boolean", levelIn, at(levelIn+1, left), pick(g.r, " IN (SELECT ", " NOT IN (SELECT "), item, from, where, ")")
		default:
			n = mk("boolean", levelOther, at(levelOther, left), " "+pick(g.r, "=", "<>", "<", ">=", ">")+" "+pick(g.r, "ANY", "ALL")+" (SELECT ", item, from, where, ")")
		}
	})
	return n
}

// setOperation gives UNION, INTERSECT or EXCEPT.
func (g *gen) setOperation(types []string, depth int) *node {
	ops := []string{" UNION ALL "}
	if allComparable(types) {
		ops = []string{" UNION ", " UNION ALL ", " INTERSECT ", " EXCEPT ", " INTERSECT ALL ", " EXCEPT ALL "}
	}
	n := mk("", levelPrimary, g.selectOf(types, depth-1))
	for range 1 + g.r.IntN(2) {
		n.add(optional(pick(g.r, ops...), g.selectOf(types, depth-1)))
	}
	return n
}

// statement gives a whole query; first, if not nil, is what it must call.
func (g *gen) statement(first *signature) *query {
	g.budget = 60
	g.sc = nil
	var types []string
	for range 1 + g.r.IntN(3) {
		types = append(types, g.anyType())
	}
	q := &query{root: mk("", levelPrimary)}
	if first != nil {
		q.root = g.calling(first)
		return q
	}
	switch x := g.r.IntN(20); {
	case x == 0:
		q.root.add("WITH w AS "+pick(g.r, "", "", "MATERIALIZED ", "NOT MATERIALIZED ")+"(", g.selectOf(types, 2), ") SELECT *"+" FROM w", optional(" WHERE ", g.expr("boolean", 1)))
	case x == 1:
		q.root.add("SELECT * FROM (", g.selectOf(types, 3), ") AS s")
	case x == 2:
		q.root.add("WITH RECURSIVE r(n, t) AS (SELECT 1, ", g.expr("text", 1), " UNION ALL SELECT n + 1, ", at(levelPrimary, mk("text", levelPrimary, "left(t || n, 20)")), " FROM r WHERE n < "+itoa(1+g.r.IntN(5))+") SELECT * FROM r")
	case x == 3 && !g.views:
		// Set-returning functions in the select list.
		from, sc := g.from(1, nil)
		g.in(sc, func() {
			srf := mk("", levelPrimary, pick(g.r, "generate_series(1, 3)", "unnest(ARRAY[1, 2])", "unnest('{a,b}'::text[])", "generate_series(2, 1)", "jsonb_object_keys('{\"a\": 1, \"b\": 2}')", "generate_series(0, 4, 2) + 1",
				"regexp_matches('abcab', 'a(b)', 'g')", "json_array_elements_text('[1, null]')"))
			types = []string{"jsonb"} // no order
			q.root.add("SELECT ", g.expr(g.anyType(), 2), ", ", srf, from, g.where(sc, 1))
		})
	default:
		q.root.add(g.selectOf(types, 3))
	}
	if g.chance(1, 3) {
		ok := true
		for _, t := range types {
			ok = ok && sortable(t)
		}
		if ok && !strings.HasPrefix(q.root.String(), "WITH RECURSIVE") {
			n := mk("", levelPrimary, " ORDER BY ")
			for i := range types {
				if i > 0 {
					n.add(", ")
				}
				n.add(itoa(i+1) + pick(g.r, "", "", " DESC", " ASC NULLS FIRST", " DESC NULLS LAST"))
			}
			q.root.add(n)
			if g.chance(1, 2) {
				q.root.add(optional(pick(g.r, " LIMIT 3", " LIMIT 1", " LIMIT 10", " LIMIT 0", " FETCH FIRST 2 ROWS ONLY", " OFFSET 1", " LIMIT 2 OFFSET 1", " LIMIT ALL")))
			}
			q.ordered = true
		}
	}
	return q
}

// calling gives a query whose first column calls a signature.
func (g *gen) calling(s *signature) *node {
	typ := s.ret
	if isPoly(typ) {
		typ = concrete(typ, g.anyType())
	}
	if s.kind == 's' {
		from, sc := g.from(0, nil)
		var n *node
		g.in(sc, func() { n = mk("", levelPrimary, "SELECT ", g.invoke(s, typ, 1), from) })
		return n
	}
	from, sc := g.from(1, nil)
	n := mk("", levelPrimary, "SELECT ")
	if s.kind == 'a' || s.kind == 'o' {
		group := g.grouping(sc, 1)
		g.in(group.sc, func() {
			if c := g.aggregateOf(s, typ, 2); c != nil {
				n.add(c)
			} else {
				n.add("count(*)")
			}
		})
		return n.add(from, g.where(sc, 1), group.clause)
	}
	g.in(sc, func() { n.add(list(", ", g.invoke(s, typ, 2), g.invoke(s, typ, 1))) })
	n.add(from)
	if g.chance(1, 4) {
		n.add(g.where(sc, 1))
	}
	return n
}
