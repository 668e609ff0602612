package planner

import (
	"fmt"
	"slices"
	"strings"

	"streamsql/catalog"
	"streamsql/internal/vec"
	"streamsql/sql/parser/ast"
)

// LookupJoin joins each left row with the right rows of its keys that are there when it comes (FOR SYSTEM_TIME AS OF now()), and
// does not revise it when they change. In a snapshot it is a Join with the present content. Output: the left columns, then the right ones.
type LookupJoin struct {
	base
	Left, Right         Node
	LeftKeys, RightKeys []int
	// NullSafe marks keys compared with IS NOT DISTINCT FROM; nil: none.
	NullSafe []bool
	// Outer keeps left rows without a right one, padded with NULL.
	Outer bool
}

// Inputs implements Node.
func (n *LookupJoin) Inputs() []Node { return []Node{n.Left, n.Right} }

// lookupJoin binds a join with FOR SYSTEM_TIME AS OF now(). Conditions on the right side alone say which of its rows are looked for.
func (b *binder) lookupJoin(l, r lrel, rs *scope, outer bool, on []Expr, f *ast.JoinRef) (lrel, error) {
	t := f.R.(*ast.TableRef)
	if len(rs.tables) == 1 && rs.tables[0].rel != nil && rs.tables[0].rel.Kind == catalog.Source {
		return nil, notSupported("FOR SYSTEM_TIME AS OF now() with a source, which keeps no rows,", t.Pos).
			WithHint("Keep its rows in a view, or name a time of the left side for the version that was valid then.")
	}
	lset, rset := setOf(l.cols()...), setOf(r.cols()...)
	j := &lAsOf{l: l, outer: outer}
	var filter []Expr
	for _, c := range on {
		cs := refs(c)
		switch {
		case !hasSubquery(c) && b.joinEquality(j, c, lset, rset):
		case !hasSubquery(c) && !volatileExpr(c) && len(cs) > 0 && cs.subsetOf(rset):
			filter = append(filter, c)
		default:
			return nil, notSupported("this condition of a join with FOR SYSTEM_TIME", f.Pos).
				WithHint("Such a join takes equalities between its sides and conditions on the right one. Filter the result with WHERE.")
		}
	}
	if j.r = r; len(filter) > 0 {
		j.r = &lFilter{r, filter}
	}
	if b.o.Continuous {
		return j, nil
	}
	typ := InnerJoin
	if outer {
		typ = LeftJoin
	}
	return &lJoin{typ: typ, l: l, r: r, on: on}, nil
}

func (p *builder) lookup(j LookupJoin) Node {
	key := fmt.Sprintf("lookup %p %p %v %v %v %v", j.Left, j.Right, j.LeftKeys, j.RightKeys, j.NullSafe, j.Outer)
	return p.intern(key, func() Node {
		n := &j
		r := flowOf(n.Right)
		n.base = inherit(n.Left, &vec.Schema{Fields: append(slices.Clone(n.Left.Schema().Fields), n.Right.Schema().Fields...)})
		one := slices.ContainsFunc(r.props.Keys, func(k []int) bool {
			return !slices.ContainsFunc(k, func(c int) bool { return !slices.Contains(n.RightKeys, c) })
		})
		if !one {
			n.props.Keys = nil
		}
		return n
	})
}

func (e *explainer) lookup(n *LookupJoin) (string, []string) {
	ln, rn := names(n.Left.Schema()), names(n.Right.Schema())
	title := "Lookup Join"
	if n.Outer {
		title = "Lookup Left Join"
	}
	var conds []string
	for i := range n.LeftKeys {
		op := "="
		if n.NullSafe != nil && n.NullSafe[i] {
			op = "IS NOT DISTINCT FROM"
		}
		conds = append(conds, fmt.Sprintf("(%s %s %s)", ln[n.LeftKeys[i]], op, rn[n.RightKeys[i]]))
	}
	if len(conds) == 0 {
		return title, nil
	}
	return title, []string{"Hash Cond: " + strings.Join(conds, " AND ")}
}
