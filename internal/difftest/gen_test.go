package difftest

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
)

func itoa(i int) string { return strconv.Itoa(i) }

// column is what an expression may refer to.
type column struct {
	name, typ string
}

// scope is what is visible where an expression stands.
type scope struct {
	cols []column
	// unique names columns that together tell rows apart; nil where nothing does.
	unique []string
	// keys stand for columns in a query with GROUP BY, whose aggregates take from inner.
	keys   []*node
	inner  *scope
	window bool // window functions may stand here
	outer  *scope
}

// table is a relation of the world.
type table struct {
	name string
	cols []column
}

// gen makes one query.
type gen struct {
	r      *rand.Rand
	sigs   *signatures
	tables []table
	sc     *scope
	names  int
	calm   bool // no values at the edges
	views  bool // what materialized views refuse is left out
	noAgg  int
	budget int
}

func pick[T any](r *rand.Rand, xs ...T) T { return xs[r.IntN(len(xs))] }

func (g *gen) chance(n, of int) bool { return g.r.IntN(of) < n }

func (g *gen) fresh(prefix string) string { g.names++; return prefix + itoa(g.names) }

// anyType draws a type for an expression.
func (g *gen) anyType() string {
	switch x := g.r.IntN(20); {
	case x == 0:
		return pick(g.r, rare...)
	case x < 4:
		return pick(g.r, arrays...) + "[]"
	}
	return pick(g.r, scalars...)
}

// sortable says that values of the type that are equal look alike, so that an order by it is an order of texts.
func sortable(typ string) bool {
	switch typ {
	case "boolean", "smallint", "integer", "bigint", "text", "character varying", "bytea", "date", "timestamp without time zone", "timestamp with time zone",
		"uuid", "time without time zone", "integer[]", "text[]", "bigint[]", "boolean[]", "date[]":
		return true
	}
	return false
}

// comparable says that the type has a default order.
func comparable(typ string) bool {
	if e, ok := elemOf(typ); ok {
		typ = e
	}
	return typ != "json" && typ != "jsonpath"
}

// literal gives a constant of a type; free ones leave the type to be found out.
func (g *gen) literal(typ string, free bool) *node {
	r := g.r
	if g.chance(1, 14) {
		if free {
			return leaf(typ, "NULL")
		}
		return mk(typ, levelCast, "NULL::"+typ)
	}
	v := value(r, typ, g.calm || g.chance(3, 4))
	if free && g.chance(1, 2) {
		return leaf(typ, quote(v))
	}
	switch typ {
	case "boolean":
		return leaf(typ, pick(r, "true", "false"))
	case "integer":
		if strings.HasPrefix(v, "-") {
			if v == "-2147483648" {
				v = "-2147483647"
			}
			return &node{typ: typ, level: levelSign, parts: []part{{text: v}}, small: true}
		}
		return leaf(typ, v)
	case "numeric":
		if !strings.ContainsAny(v, "Nafe-") && strings.Contains(v, ".") {
			return leaf(typ, v)
		}
	case "text":
		switch {
		case g.chance(1, 20):
			return leaf(typ, `E'`+strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(v)+`\n'`)
		case free:
			return leaf(typ, quote(v))
		}
	case "date", "interval", "uuid", "jsonb", "json":
		if g.chance(1, 4) {
			return leaf(typ, typ+" "+quote(v))
		}
	case "timestamp without time zone":
		if g.chance(1, 4) {
			return leaf(typ, "timestamp "+quote(v))
		}
	case "timestamp with time zone":
		if g.chance(1, 4) {
			return leaf(typ, "timestamptz "+quote(v))
		}
	}
	if g.chance(1, 4) {
		return leaf(typ, "CAST("+quote(v)+" AS "+typ+")")
	}
	return &node{typ: typ, level: levelCast, parts: []part{{text: quote(v) + "::" + typ}}, small: true}
}

// columnOf gives a column in scope of a type, nil if there is none.
func (g *gen) columnOf(typ string) *node {
	var found []string
	for s := g.sc; s != nil; s = s.outer {
		if s.keys != nil || s.inner != nil {
			var keys []*node
			for _, k := range s.keys {
				if k.typ == typ {
					keys = append(keys, k)
				}
			}
			if len(keys) > 0 {
				k := *pick(g.r, keys...)
				return &k
			}
		} else {
			for _, c := range s.cols {
				if c.typ == typ {
					found = append(found, c.name)
				}
			}
		}
		if len(found) > 0 && g.chance(3, 4) {
			break
		}
	}
	if len(found) == 0 {
		return nil
	}
	return leaf(typ, pick(g.r, found...))
}

func (g *gen) atom(typ string, free bool) *node {
	if g.chance(3, 4) {
		if c := g.columnOf(typ); c != nil {
			return c
		}
	}
	return g.literal(typ, free)
}

// expr gives an expression of (about) a type.
func (g *gen) expr(typ string, depth int) *node {
	g.budget--
	if depth <= 0 || g.budget < 0 || g.chance(1, 6) {
		return g.atom(typ, false)
	}
	switch x := g.r.IntN(100); {
	case x < 28:
		if n := g.call('p', typ, depth); n != nil {
			return n
		}
	case x < 52:
		if n := g.call('f', typ, depth); n != nil {
			return n
		}
	case x < 60:
		return g.cast(typ, depth)
	case x < 68:
		return g.conditional(typ, depth)
	case x < 72:
		if g.noAgg == 0 {
			return g.scalarSubquery(typ, depth)
		}
	case x < 77:
		return g.element(typ, depth)
	}
	if g.sc != nil && g.sc.inner != nil && g.noAgg == 0 && g.chance(1, 2) {
		if n := g.aggregate(typ, depth); n != nil {
			return n
		}
	}
	if g.sc != nil && g.sc.window && g.noAgg == 0 && g.chance(1, 3) {
		if n := g.windowCall(typ, depth); n != nil {
			return n
		}
	}
	if n := g.special(typ, depth); n != nil {
		return n
	}
	if n := g.call(pick(g.r, byte('f'), 'p'), typ, depth); n != nil {
		return n
	}
	return g.atom(typ, false)
}

// call gives a call of a function or operator that returns the type.
func (g *gen) call(kind byte, typ string, depth int) *node {
	groups := g.sigs.byRet[kind][typ]
	if g.chance(1, 8) || len(groups) == 0 {
		poly := []string{"anyelement", "anycompatible"}
		if _, ok := elemOf(typ); ok {
			poly = []string{"anyarray", "anycompatiblearray", "anyelement"}
		}
		if more := g.sigs.byRet[kind][pick(g.r, poly...)]; len(more) > 0 {
			groups = more
		}
	}
	if len(groups) == 0 {
		return nil
	}
	return g.invoke(pick(g.r, pick(g.r, groups...)...), typ, depth)
}

// element gives what stands for anyelement and its kin where the result has a type.
func (g *gen) polyElem(s *signature, typ string) string {
	switch s.ret {
	case "anyelement", "anycompatible", "anynonarray":
		return typ
	case "anyarray", "anycompatiblearray":
		if e, ok := elemOf(typ); ok {
			return e
		}
	}
	for _, a := range s.args {
		if strings.HasSuffix(a, "array") {
			return pick(g.r, arrays...)
		}
	}
	return g.anyType()
}

func concrete(arg, elem string) string {
	switch arg {
	case "anyelement", "anynonarray", "anycompatible", "anycompatiblenonarray":
		return elem
	case "anyarray", "anycompatiblearray":
		if _, ok := elemOf(elem); ok {
			return elem
		}
		return elem + "[]"
	}
	return arg
}

// argument gives an argument of a declared type for position i of a function.
func (g *gen) argument(fn string, i int, typ string, depth, min int) part {
	if h := hints[fn+" "+itoa(i)]; h != nil && g.chance(5, 6) {
		text := pick(g.r, h...)
		level := levelPrimary
		if strings.HasPrefix(text, "-") {
			level = levelSign
		}
		return at(min, &node{typ: typ, level: level, parts: []part{{text: text}}, small: true})
	}
	if typ == `"any"` {
		typ = g.anyType()
	}
	// What converts implicitly may stand here too, and literals may be of unknown type.
	switch x := g.r.IntN(12); {
	case x == 0:
		switch typ {
		case "double precision":
			typ = pick(g.r, "integer", "numeric", "real", "bigint")
		case "numeric", "real":
			typ = pick(g.r, "integer", "bigint", "smallint")
		case "bigint":
			typ = pick(g.r, "integer", "smallint")
		case "integer":
			typ = "smallint"
		case "text":
			typ = pick(g.r, "character varying", "character", "name", `"char"`)
		case "timestamp with time zone":
			typ = pick(g.r, "timestamp without time zone", "date")
		case "timestamp without time zone":
			typ = "date"
		case "interval":
			typ = "time without time zone"
		}
	case x < 3:
		return at(min, g.literal(typ, true))
	}
	return at(min, g.expr(typ, depth-1))
}

// invoke gives a call of a signature.
func (g *gen) invoke(s *signature, typ string, depth int) *node {
	elem := g.polyElem(s, typ)
	ret := concrete(s.ret, elem)
	arg := func(i, min int) part { return g.argument(s.name, i, concrete(s.args[i], elem), depth, min) }
	switch s.kind {
	case 'c':
		return mk(ret, levelCast, at(levelCast, g.argument("", 0, s.args[0], depth, 0).child), "::"+s.ret)
	case 'p':
		level := levelOther
		switch s.name {
		case "+", "-":
			level = levelAdd
		case "*", "/", "%":
			level = levelMul
		case "^":
			level = levelPower
		case "=", "<>", "<", ">", "<=", ">=":
			level = levelCompare
		}
		if len(s.args) == 1 {
			if s.name == "-" || s.name == "+" {
				return mk(ret, levelSign, s.name+" ", arg(0, levelSign))
			}
			return mk(ret, levelOther, s.name+" ", arg(0, levelOther))
		}
		left := level
		if level == levelCompare {
			left++
		}
		name := " " + s.name + " "
		if level == levelOther && g.chance(1, 30) {
			name = " OPERATOR(pg_catalog." + s.name + ") "
		}
		return mk(ret, level, arg(0, left), name, arg(1, level+1))
	case 'a', 'o':
		return g.aggregateOf(s, typ, depth)
	}
	return g.invokeFunction(s, ret, elem, depth)
}

// keywords are functions whose names the grammar keeps for special forms, so that a plain call needs quotes.
var keywords = map[string]bool{"overlay": true, "position": true, "normalize": true, "extract": true, "trim": true, "like": true, "notlike": false, "interval": true, "timestamp": true, "time": true,
	"bit": true, "is_normalized": false, "overlaps": true, "similar_to_escape": false, "char": true, "varchar": true, "numeric": true, "float4": false, "substring": false, "left": false, "right": false, "user": true}

func (g *gen) invokeFunction(s *signature, ret, elem string, depth int) *node {
	n := len(s.args)
	if s.defaults > 0 {
		n -= g.r.IntN(s.defaults + 1)
	}
	var args []*node
	for i := range n {
		args = append(args, g.argument(s.name, i, concrete(s.args[i], elem), depth, 0).child)
	}
	if s.variadic {
		last := concrete(s.args[len(s.args)-1], elem)
		if e, ok := elemOf(last); ok {
			last = e
			args = args[:len(args)-1]
		}
		if strings.Contains(s.name, "build_object") && g.chance(9, 10) { // keys are texts, in pairs
			args = nil
			for range g.r.IntN(3) {
				args = append(args, g.expr("text", 0), g.expr(g.anyType(), depth-1))
			}
		} else {
			for range g.r.IntN(3) {
				args = append(args, g.argument(s.name, len(args), last, depth, 0).child)
			}
		}
		if e, ok := elemOf(s.args[len(s.args)-1]); ok && g.chance(1, 6) {
			call := mk(ret, levelPrimary, s.name+"(")
			for i := range len(s.args) - 1 {
				call.add(at(0, g.argument(s.name, i, concrete(s.args[i], elem), depth, 0).child), ", ")
			}
			return call.add("VARIADIC ", at(0, g.expr(concrete(e, elem)+"[]", 0)), ")")
		}
	}
	name := s.name
	if keywords[name] {
		name = `"` + name + `"`
	} else if g.chance(1, 40) {
		name = "pg_catalog." + name
	}
	return mk(ret, levelPrimary, name+"(", fixed(", ", args...), ")")
}

// cast gives a conversion to the type.
func (g *gen) cast(typ string, depth int) *node {
	from := ""
	if cs := g.sigs.casts[typ]; len(cs) > 0 && g.chance(3, 4) {
		from = pick(g.r, cs...).args[0]
	} else {
		from = pick(g.r, "text", typ, g.anyType())
	}
	var arg *node
	if from == "text" && g.chance(3, 4) {
		arg = leaf("text", quote(value(g.r, typ, g.calm))+"::text")
		arg.level = levelCast
	} else {
		arg = g.expr(from, depth-1)
	}
	to := typ
	switch {
	case typ == "numeric" && g.chance(1, 3):
		to = pick(g.r, "numeric(10,2)", "numeric(5)", "numeric(20,5)", "decimal(4,1)", "numeric(3,-1)")
	case typ == "character varying" && g.chance(1, 2):
		to = pick(g.r, "varchar(3)", "character varying(5)")
	case typ == "character" && g.chance(1, 2):
		to = pick(g.r, "char(3)", "character(1)", "char")
	case typ == "timestamp without time zone" && g.chance(1, 3):
		to = pick(g.r, "timestamp(0)", "timestamp(3) without time zone", "timestamp")
	case typ == "timestamp with time zone" && g.chance(1, 3):
		to = pick(g.r, "timestamp(3) with time zone", "timestamptz(0)", "timestamptz")
	case typ == "time without time zone" && g.chance(1, 3):
		to = pick(g.r, "time(0)", "time(2)", "time")
	case typ == "interval" && g.chance(1, 3):
		to = pick(g.r, "interval day to second", "interval(3)", "interval year to month", "interval hour")
	case g.chance(1, 4):
		for _, short := range [][2]string{{"integer", "int4"}, {"bigint", "int8"}, {"double precision", "float8"}, {"real", "float4"}, {"boolean", "bool"}, {"smallint", "int2"}} {
			if typ == short[0] {
				to = short[1]
			}
		}
	}
	if g.chance(1, 3) {
		return mk(typ, levelPrimary, "CAST(", arg, " AS "+to+")")
	}
	return mk(typ, levelCast, at(levelCast, arg), "::"+to)
}

// conditional gives CASE, COALESCE and their kin.
func (g *gen) conditional(typ string, depth int) *node {
	sub := func(t string) *node {
		if g.chance(1, 6) {
			return g.literal(t, true)
		}
		return g.expr(t, depth-1)
	}
	switch g.r.IntN(6) {
	case 0:
		n := mk(typ, levelPrimary, "CASE")
		for range 1 + g.r.IntN(2) {
			n.add(part{child: mk("", levelPrimary, " WHEN ", g.expr("boolean", depth-1), " THEN ", sub(typ)), sep: "\x00", drop: true})
		}
		for i := range n.parts {
			if n.parts[i].sep == "\x00" {
				n.parts[i].sep = " "
			}
		}
		if g.chance(2, 3) {
			n.add(optional(" ELSE ", sub(typ)))
		}
		return n.add(" END")
	case 1:
		t := pick(g.r, scalars...)
		if !comparable(t) {
			t = "integer"
		}
		return mk(typ, levelPrimary, "CASE ", g.expr(t, depth-1), " WHEN ", sub(t), " THEN ", sub(typ), optional(" ELSE ", sub(typ)), " END")
	case 2:
		if comparable(typ) {
			return mk(typ, levelPrimary, "nullif(", sub(typ), ", ", sub(typ), ")")
		}
		fallthrough
	case 3, 4:
		return mk(typ, levelPrimary, "coalesce(", list(", ", sub(typ), sub(typ), sub(typ)), ")")
	}
	if !comparable(typ) {
		return mk(typ, levelPrimary, "coalesce(", list(", ", sub(typ), sub(typ)), ")")
	}
	return mk(typ, levelPrimary, pick(g.r, "greatest(", "least("), list(", ", sub(typ), sub(typ), sub(typ)), ")")
}

// element gives an element of an array, or an array.
func (g *gen) element(typ string, depth int) *node {
	if e, ok := elemOf(typ); ok {
		switch g.r.IntN(3) {
		case 0:
			if c := g.columnOf(typ); c != nil {
				return mk(typ, levelPrimary, at(levelPrimary, c), fmt.Sprintf("[%s:%s]", pick(g.r, "1", "2", "0", ""), pick(g.r, "1", "2", "3", "")))
			}
		case 1:
			if g.noAgg == 0 && g.sc != nil && g.chance(1, 2) {
				return g.arraySubquery(e, depth)
			}
		}
		if g.chance(1, 12) {
			return leaf(typ, "ARRAY[]::"+typ)
		}
		return mk(typ, levelPrimary, "ARRAY[", list(", ", g.expr(e, depth-1), g.expr(e, depth-1)), "]")
	}
	index := g.argument("-> ", 0, "integer", depth-1, 0).child
	if g.chance(3, 4) {
		index = leaf("integer", pick(g.r, posInts...))
	}
	if c := g.columnOf(typ + "[]"); c != nil && g.chance(2, 3) {
		return mk(typ, levelPrimary, at(levelPrimary, c), "[", index, "]")
	}
	if !known(typ + "[]") {
		return g.atom(typ, false)
	}
	return mk(typ, levelPrimary, "(", g.expr(typ+"[]", depth-1), ")[", index, "]")
}
