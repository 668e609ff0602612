package parser

import (
	"strings"

	"streamsql/internal/pgerr"
	"streamsql/sql/parser/ast"
)

// sqlTypes are the types that are keywords of the grammar with their catalogue names.
var sqlTypes = map[string]string{
	"int": "int4", "integer": "int4", "smallint": "int2", "bigint": "int8", "real": "float4", "float": "float8",
	"decimal": "numeric", "dec": "numeric", "numeric": "numeric", "boolean": "bool", "bit": "bit", "character": "bpchar",
	"char": "bpchar", "nchar": "bpchar", "national": "bpchar", "varchar": "varchar", "timestamp": "timestamp",
	"time": "time", "interval": "interval",
}

// typeName reads a type with its modifiers and array brackets.
func (p *parser) typeName() ast.TypeName {
	setof := p.accept("setof")
	t := p.simpleType(false)
	t.SetOf = setof
	for p.isOp("[") {
		p.next()
		if p.tok().kind == tInt {
			p.next()
		}
		p.expectOp("]")
		t.Array++
	}
	if t.Array == 0 && p.accept("array") {
		t.Array = 1
		if p.acceptOp("[") {
			if p.tok().kind != tInt {
				p.unexpected()
			}
			p.next()
			p.expectOp("]")
		}
	}
	return t
}

func intLit(n string, pos ast.Pos) ast.Expr {
	return &ast.Literal{At: ast.At{Pos: pos}, Kind: ast.LitInt, Text: n}
}

// simpleType reads a type without brackets. In a literal (char 'abc') a missing
// length means any length, elsewhere 1.
func (p *parser) simpleType(literal bool) ast.TypeName {
	t := ast.TypeName{Pos: p.pos()}
	tok := p.tok()
	base, sql := "", false
	if tok.kind == tIdent && !tok.quoted && tok.cat == colName {
		base, sql = sqlTypes[tok.text]
	}
	switch {
	case sql:
		p.next()
	case tok.isWord("double") && p.peek(1).isWord("precision"):
		p.accept("double", "precision")
		t.Name = ast.Name{Parts: []string{"float8"}, Pos: t.Pos}
		return t
	default:
		t.Name = p.typeNameParts()
		if p.isOp("(") {
			t.Mods = p.typeMods()
		}
		if p.isOp("%") && p.peek(1).isWord("type") {
			p.unsupported(p.pos(), "%TYPE", "Name the type itself.")
		}
		return t
	}
	switch tok.text {
	case "float":
		if p.isOp("(") {
			base = p.floatOf(p.typeMods())
		}
	case "numeric", "decimal", "dec":
		if p.isOp("(") {
			t.Mods = p.typeMods()
		}
	case "bit", "char", "character", "nchar", "varchar", "national":
		if tok.text == "national" && !p.accept("character") && !p.accept("char") {
			p.unexpected()
		}
		if tok.text != "varchar" && p.accept("varying") {
			base = map[string]string{"bit": "varbit", "bpchar": "varchar"}[base]
		}
		if p.isOp("(") {
			t.Mods = p.typeMods()
		} else if !literal && (base == "bit" || base == "bpchar") {
			t.Mods = []ast.Expr{intLit("1", t.Pos)}
		}
	case "timestamp", "time":
		if p.isOp("(") {
			t.Mods = p.typeMods()
		}
		if p.isWords("with", "time") {
			base += "tz"
			p.i += 2
			p.expect("zone")
		} else if p.accept("without") {
			p.expect("time", "zone")
		}
	case "interval":
		if p.isOp("(") {
			t.Mods = p.typeMods()
		} else if !literal {
			p.intervalFields(&t)
		}
	}
	t.Name = ast.Name{Parts: []string{base}, Pos: t.Pos}
	return t
}

func (p *parser) floatOf(mods []ast.Expr) string {
	l, ok := mods[0].(*ast.Literal)
	if !ok || len(mods) != 1 || l.Kind != ast.LitInt || len(l.Text) > 4 {
		p.unexpected()
	}
	n := 0
	for _, c := range l.Text {
		n = n*10 + int(c-'0')
	}
	switch {
	case n < 1:
		p.fail(pgerr.New(pgerr.InvalidParameterValue, "precision for type float must be at least 1 bit").At(l.Pos))
	case n > 53:
		p.fail(pgerr.New(pgerr.InvalidParameterValue, "precision for type float must be less than 54 bits").At(l.Pos))
	case n <= 24:
		return "float4"
	}
	return "float8"
}

func (p *parser) typeNameParts() ast.Name {
	n := ast.Name{Pos: p.pos()}
	t := p.tok()
	if !t.isFuncName() && !(t.isColID() && p.peek(1).isOp(".")) {
		p.unexpected()
	}
	n.Parts = append(n.Parts, p.next().text)
	for p.acceptOp(".") {
		n.Parts = append(n.Parts, p.label())
	}
	return n
}

// typeMods reads (10, 2). Modifiers are constants and names.
func (p *parser) typeMods() []ast.Expr {
	p.expectOp("(")
	var out []ast.Expr
	for {
		t, minus := p.tok(), false
		if p.acceptOp("-") {
			minus, t = true, p.tok()
		}
		at := ast.At{Pos: int(t.char)}
		var e ast.Expr
		switch {
		case t.kind == tInt:
			e = &ast.Literal{At: at, Kind: ast.LitInt, Text: t.text}
		case t.kind == tNumeric:
			e = &ast.Literal{At: at, Kind: ast.LitNumeric, Text: t.text}
		case t.kind == tString && !minus:
			e = &ast.Literal{At: at, Kind: ast.LitString, Text: t.text}
		case t.isColID() && !minus:
			e = &ast.ColumnRef{At: at, Parts: []string{t.text}}
		default:
			p.unexpected()
		}
		if minus {
			e = &ast.Unary{At: at, Op: "-", X: e}
		}
		out = append(out, e)
		p.next()
		if !p.acceptOp(",") {
			break
		}
	}
	p.expectOp(")")
	return out
}

var intervalUnits = []string{"year", "month", "day", "hour", "minute", "second"}

// intervalFields reads DAY TO SECOND(3) and its kin, which limit an interval.
func (p *parser) intervalFields(t *ast.TypeName) {
	from := -1
	for i, u := range intervalUnits {
		if p.is(u) {
			from = i
		}
	}
	if from < 0 {
		return
	}
	p.next()
	t.Fields = intervalUnits[from]
	last := from
	if p.is("to") {
		// year to month; day, hour and minute to a smaller one of their own.
		for i, u := range intervalUnits {
			if i > from && (from == 0) == (i == 1) && from != 1 && p.peek(1).isWord(u) {
				p.next()
				p.next()
				t.Fields += " to " + u
				last = i
				break
			}
		}
		if last == from {
			p.next()
			p.unexpected()
		}
	}
	if last == 5 && p.isOp("(") {
		t.Mods = p.typeMods()
	}
}

// typeLiteralAhead says whether a typed literal begins here: a type with a keyword name, then a string.
func (p *parser) typeLiteralAhead() bool {
	t := p.tok()
	if t.quoted || t.kind != tIdent {
		return false
	}
	i := p.i + 1
	skip := func(words ...string) bool {
		for k, w := range words {
			if i+k >= len(p.toks) || !p.toks[i+k].isWord(w) {
				return false
			}
		}
		i += len(words)
		return true
	}
	switch {
	case t.text == "double":
		if !skip("precision") {
			return false
		}
	case t.cat == colName && sqlTypes[t.text] != "":
		if t.text == "national" && !skip("character") && !skip("char") {
			return false
		}
		if strings.HasSuffix(sqlTypes[t.text], "char") || t.text == "bit" {
			skip("varying")
		}
		if i < len(p.toks) && p.toks[i].isOp("(") {
			if p.toks[i].match == 0 {
				return false
			}
			i = int(p.toks[i].match) + 1
		}
		if t.text == "timestamp" || t.text == "time" {
			if skip("with", "time") || skip("without") {
				return true // nothing but a literal goes on like this
			}
		}
	default:
		return false
	}
	return i < len(p.toks) && p.toks[i].kind == tString
}
