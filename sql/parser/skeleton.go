package parser

import (
	"strconv"
	"sync"

	tidb "github.com/pingcap/tidb/pkg/parser"
	tast "github.com/pingcap/tidb/pkg/parser/ast"
	_ "github.com/pingcap/tidb/pkg/parser/test_driver" // the value nodes of TiDB's grammar

	"streamsql/internal/pgerr"
	"streamsql/sql/parser/ast"
)

// hole stands in a node of the side table where the conversion puts a part.
var hole ast.Expr = &ast.Default{}

// emitter collects a skeleton and its side table. Operators are found after
// their left operand, so a piece can get prefixes later; the newest is outermost.
type emitter struct {
	pieces   []piece
	prefixes []prefix
	side     []any
	depths   []int32     // of the complete trees in the side table
	roots    []*ast.Expr // where the fields of the outermost SELECT go; nil for a query, whose nodes are in the side table
}

type piece struct {
	text   string
	n      int32 // follows text; none if negative
	prefix int32 // 1-based index of the outermost prefix
}

// complete says that a piece is the number of a finished expression.
func (p *piece) complete() bool { return p.text == "" && p.prefix == 0 }

type prefix struct {
	text  string
	n     int32
	inner int32
}

func (e *emitter) reset() {
	clear(e.side)
	e.pieces, e.prefixes, e.side, e.depths, e.roots = e.pieces[:0], e.prefixes[:0], e.side[:0], e.depths[:0], e.roots[:0]
}

// ref puts x into the side table.
func (e *emitter) ref(x any) int32 {
	e.side = append(e.side, x)
	e.depths = append(e.depths, 0)
	return int32(len(e.side) - 1)
}

func (e *emitter) put(text string)           { e.pieces = append(e.pieces, piece{text: text, n: -1}) }
func (e *emitter) putN(text string, n int32) { e.pieces = append(e.pieces, piece{text: text, n: n}) }

// leaf writes a complete expression.
func (e *emitter) leaf(x ast.Expr) { e.putN("", e.ref(x)) }

// open begins a carrier: name( n. Operands follow, each after a comma, then close.
// It gives the mark that close needs.
func (e *emitter) open(name string, x any) int {
	e.putN(name, e.ref(x))
	return len(e.pieces) - 1
}

func (e *emitter) comma() { e.put(",") }

func (e *emitter) mark() int { return len(e.pieces) }

// wrap makes what was written since mark the first operand of a carrier.
func (e *emitter) wrap(mark int, name string, x any) { e.wrapN(mark, name, e.ref(x)) }

func (e *emitter) wrapN(mark int, text string, n int32) {
	e.prefixes = append(e.prefixes, prefix{text: text, n: n, inner: e.pieces[mark].prefix})
	e.pieces[mark].prefix = int32(len(e.prefixes))
}

// close ends the carrier that was opened at mark.
func (e *emitter) close(mark int) {
	if !e.finish(mark) {
		e.put(")")
	}
}

// keepCarriers is set by a test: nothing is finished before the grammar has seen it.
var keepCarriers = false

// finish completes the carrier at mark if its operands are: where no subquery
// is inside, the grammar has nothing to add, and its tables are slow.
func (e *emitter) finish(mark int) bool {
	first := &e.pieces[mark]
	var id int32
	var name string
	operands := mark
	switch {
	case keepCarriers:
		return false
	case first.prefix > 0 && first.text == "" && e.prefixes[first.prefix-1].inner == 0:
		id, name = e.prefixes[first.prefix-1].n, e.prefixes[first.prefix-1].text
	case first.prefix == 0 && first.text != "" && first.n >= 0:
		id, name = first.n, first.text
		operands += 2 // name( n , operand
	default:
		return false
	}
	if id < 0 {
		return false
	}
	var list []ast.Expr
	if n := len(e.pieces) - operands; n > 0 {
		list = make([]ast.Expr, 0, (n+1)/2)
	}
	depth := int32(0)
	for i := operands; i < len(e.pieces); i++ {
		p := &e.pieces[i]
		if (i-operands)%2 == 1 {
			if p.text != "," || p.prefix != 0 {
				return false
			}
			continue
		}
		if i != mark && !p.complete() {
			return false
		}
		x, ok := e.side[p.n].(ast.Expr)
		if !ok {
			return false
		}
		list = append(list, x)
		depth = max(depth, e.depths[p.n]+1)
	}
	if depth > maxDepth {
		panic(abort{tooDeep()})
	}
	f := &filler{side: e.side}
	x := f.carrier(e.side[id], name[:len(name)-1], &kids{f: f, done: list})
	if f.err != nil {
		panic(abort{f.err})
	}
	e.side[id], e.depths[id] = x, depth
	e.pieces = append(e.pieces[:mark], piece{n: id})
	return true
}

// skeleton gives the text; its parentheses tell how deep the trees will be.
func (e *emitter) skeleton() (string, *pgerr.Error) {
	b := make([]byte, 0, len(e.pieces)*8+16)
	b = append(b, "SELECT "...)
	depth, deepest := 0, 0
	count := func(s string) {
		for i := 0; i < len(s); i++ {
			switch s[i] {
			case '(':
				depth++
				deepest = max(deepest, depth)
			case ')':
				depth--
			}
		}
	}
	for i := range e.pieces {
		p := &e.pieces[i]
		for k := p.prefix; k > 0; k = e.prefixes[k-1].inner {
			f := &e.prefixes[k-1]
			count(f.text)
			b = append(b, f.text...)
			if f.n >= 0 {
				b = strconv.AppendInt(b, int64(f.n), 10)
				b = append(b, ',')
			}
		}
		count(p.text)
		b = append(b, p.text...)
		if p.n >= 0 {
			b = strconv.AppendInt(b, int64(p.n), 10)
			deepest = max(deepest, depth+int(e.depths[p.n]))
		}
	}
	if deepest > maxDepth {
		return "", tooDeep()
	}
	return string(b), nil
}

var grammars = sync.Pool{New: func() any { return tidb.New() }}

// parseSkeleton is the whole use of TiDB's grammar: it gives the tree of a
// skeleton. The dialect stage has checked everything before, so an error here
// is a fault of ours and not the user's.
func parseSkeleton(text string) (*tast.SelectStmt, *pgerr.Error) {
	g := grammars.Get().(*tidb.Parser)
	defer grammars.Put(g)
	node, err := g.ParseOneStmt(text, "", "")
	if err != nil {
		return nil, pgerr.New(pgerr.InternalError, "the query's skeleton was not understood").WithDetail("%s", text).WithCause(err)
	}
	s, ok := node.(*tast.SelectStmt)
	if !ok {
		return nil, pgerr.New(pgerr.InternalError, "the query's skeleton was read as %T", node)
	}
	return s, nil
}
