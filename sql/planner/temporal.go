package planner

import (
	"fmt"
	"slices"

	"streamsql/internal/fn"
	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/internal/vec"
)

// Temporal passes the rows whose column Key compares with Bound as Op says, where Bound moves with processing time: it is
// made of now() and constants. Rows come and go when their moment has come, not only when they change: a row of
// ts > now() - interval '1 hour' is taken back an hour after its ts, one of ts <= now() appears at its ts.
type Temporal struct {
	base
	Input Node
	Key   int    // of type date, timestamp or timestamptz
	Op    string // <, <=, > or >=
	Bound Expr   // of Key's type
}

// Inputs implements Node.
func (n *Temporal) Inputs() []Node { return []Node{n.Input} }

// Leaves says that rows are taken back in time; otherwise they appear in time.
func (n *Temporal) Leaves() bool { return n.Op[0] == '>' }

// nowFunctions give the time of the statement: in a query that goes on they would stand still.
var nowFunctions = []string{"now", "current_timestamp", "transaction_timestamp", "statement_timestamp", "localtimestamp",
	"current_date", "current_time", "localtime"}

// nowCall gives the first call in e that asks for the time of the statement.
func nowCall(e Expr) (call *Call) {
	walkExpr(e, func(x Expr) bool {
		if c, ok := x.(*Call); ok && call == nil && c.Fn.Volatility == fn.Stable && !c.Fn.IsOp && slices.Contains(nowFunctions, c.Fn.Name) {
			call = c
		}
		return call == nil
	})
	return call
}

// temporalCond takes a condition between a column's expression and a moving time apart. The sides are of one type.
func (p *builder) temporalCond(e Expr) (key, bound Expr, op string, ok bool) {
	c, ok := e.(*Call)
	if !ok || !c.Fn.IsOp || len(c.Args) != 2 || !slices.Contains([]string{"<", "<=", ">", ">="}, c.Fn.Name) {
		return nil, nil, "", false
	}
	key, bound, op = c.Args[0], c.Args[1], c.Fn.Name
	if nowCall(key) != nil {
		key, bound = bound, key
		op = map[string]string{"<": ">", "<=": ">=", ">": "<", ">=": "<="}[op]
	}
	if nowCall(key) != nil || nowCall(bound) == nil || hasColumn(bound) || volatileExpr(e) {
		return nil, nil, "", false
	}
	if to := key.Type(); to.OID != bound.Type().OID {
		// Of two types the one without a zone and with a time of day.
		to = types.Timestamp
		var err error
		if key, err = p.b.mustCoerce(key, to, fn.Explicit, c.Pos); err != nil {
			return nil, nil, "", false
		}
		if bound, err = p.b.mustCoerce(bound, to, fn.Explicit, c.Pos); err != nil {
			return nil, nil, "", false
		}
	}
	switch key.Type().OID {
	case types.OIDDate, types.OIDTimestamp, types.OIDTimestamptz:
		return key, bound, op, true
	}
	return nil, nil, "", false
}

func hasColumn(e Expr) bool {
	found := false
	walkExpr(e, func(x Expr) bool {
		switch x.(type) {
		case *Column, *Param:
			found = true
		}
		return !found
	})
	return found
}

// temporal makes the operators of those conditions of a filter that move with time, and gives the input and the filter that are left.
func (p *builder) temporal(in Node, filter []Expr) (Node, []Expr) {
	var moving, stay []Expr
	for _, e := range conjunctsOf(filter) {
		if _, _, _, ok := p.temporalCond(e); ok {
			moving = append(moving, e)
		} else {
			stay = append(stay, e)
		}
	}
	if moving == nil {
		return in, filter
	}
	// What can be decided for good goes first.
	fields := in.Schema().Fields
	all := make([]Expr, len(fields))
	for i, f := range fields {
		all[i] = &Column{Index: i, Typ: f.Type, Name: f.Name}
	}
	n := in
	if len(stay) > 0 {
		n = p.calc(in, stay, all, fields)
	}
	for _, e := range moving {
		key, bound, op, _ := p.temporalCond(e)
		at := -1
		if c, ok := key.(*Column); ok {
			at = c.Index
		} else {
			at = n.Schema().Len()
			with := append(slices.Clone(n.Schema().Fields), vec.Field{Name: "?column?", Type: key.Type()})
			exprs := make([]Expr, 0, len(with))
			for i, f := range with[:at] {
				exprs = append(exprs, &Column{Index: i, Typ: f.Type, Name: f.Name})
			}
			n = p.calc(n, nil, append(exprs, key), with)
		}
		n = p.temporalNode(n, at, op, bound)
	}
	return n, nil
}

func conjunctsOf(filter []Expr) (out []Expr) {
	for _, e := range filter {
		out = conjuncts(e, out)
	}
	return out
}

func (p *builder) temporalNode(in Node, key int, op string, bound Expr) Node {
	return p.intern(fmt.Sprintf("temporal %p %d %s %s", in, key, op, exprsKey([]Expr{bound})), func() Node {
		n := &Temporal{Input: in, Key: key, Op: op, Bound: bound}
		n.base = inherit(in, in.Schema())
		n.props.Retracts = n.props.Retracts || n.Leaves()
		// Rows come late and leave after the watermark: it says nothing of what this sends.
		n.props.Watermarks, n.ends, n.freeLate = nil, nil, false
		return n
	})
}

// checkNow refuses the time of the statement where it would stand still: in what a view keeps.
func checkNow(n Node) error {
	for _, in := range n.Inputs() {
		if err := checkNow(in); err != nil {
			return err
		}
	}
	for _, e := range nodeExprs(n) {
		if c := nowCall(e); c != nil {
			return pgerr.New(pgerr.FeatureNotSupported, "%s() cannot be used here in a continuous query", c.Fn.Name).
				WithHint("It moves on while the rows stay. In WHERE compare a column with it: ts > now() - interval '1 hour' keeps the last hour.").At(c.Pos)
		}
	}
	return nil
}

// nodeExprs gives the expressions that a node computes of its rows.
func nodeExprs(n Node) (out []Expr) {
	switch n := n.(type) {
	case *Calc:
		out = append(append(out, n.Filter...), n.Exprs...)
	case *Join:
		out = n.Residual
	case *TableFunc:
		out = n.Args
	case *ProjectSet:
		for _, a := range n.Args {
			out = append(out, a...)
		}
	case *Values:
		for _, r := range n.Rows {
			out = append(out, r...)
		}
	}
	return out
}
