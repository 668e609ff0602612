package difftest

import "strings"

// The levels of precedence of PostgreSQL's grammar, from the loosest to the tightest.
const (
	levelOr = iota + 1
	levelAnd
	levelNot
	levelIs
	levelCompare
	levelIn // BETWEEN, IN, LIKE, SIMILAR TO
	levelOther
	levelAdd
	levelMul
	levelPower
	levelAt
	levelCollate
	levelSign
	levelCast
	levelPrimary
)

// node is a piece of a query: an expression with a type, or a clause without one. Its parts alternate text and
// children; a child that binds more loosely than its place asks for is printed in parentheses, every other one without.
type node struct {
	typ   string // of an expression, as format_type prints it
	level int
	parts []part
	small bool // there is nothing smaller to put in its place
}

type part struct {
	text  string
	child *node
	min   int
	// drop says that shrinking may leave the part out, with its text; sep is printed before the part unless it is
	// the first of a run of parts with sep that is left.
	drop bool
	sep  string
	gone bool
}

func leaf(typ, text string) *node {
	return &node{typ: typ, level: levelPrimary, parts: []part{{text: text}}, small: true}
}

// mk makes an expression of strings and nodes; the nodes need level min.
func mk(typ string, level int, parts ...any) *node {
	n := &node{typ: typ, level: level}
	return n.add(parts...)
}

// at gives a child's place that asks for a level.
func at(min int, c *node) part { return part{child: c, min: min} }

func (n *node) add(parts ...any) *node {
	for _, p := range parts {
		switch p := p.(type) {
		case string:
			n.parts = append(n.parts, part{text: p})
		case *node:
			n.parts = append(n.parts, part{child: p})
		case part:
			n.parts = append(n.parts, p)
		case []part:
			n.parts = append(n.parts, p...)
		}
	}
	return n
}

// list separates nodes by sep, which also asks for no level; in shrinking all but one may go.
func list(sep string, items ...*node) []part {
	out := make([]part, len(items))
	for i, it := range items {
		out[i] = part{child: it, sep: sep, drop: len(items) > 1}
	}
	return out
}

// fixed is a list whose items must all stay.
func fixed(sep string, items ...*node) []part {
	out := list(sep, items...)
	for i := range out {
		out[i].drop = false
	}
	return out
}

// optional is a clause that may be left out.
func optional(parts ...any) part {
	return part{child: (&node{level: levelPrimary}).add(parts...), drop: true}
}

func (n *node) String() string {
	var b strings.Builder
	n.print(&b)
	return b.String()
}

// any reports whether f holds for n or a node below it.
func (n *node) any(f func(*node) bool) bool {
	if f(n) {
		return true
	}
	for _, p := range n.parts {
		if p.child != nil && !p.gone && p.child.any(f) {
			return true
		}
	}
	return false
}

func (n *node) print(b *strings.Builder) {
	first := true
	for i := range n.parts {
		p := &n.parts[i]
		if p.sep == "" {
			first = true
		}
		if p.gone {
			continue
		}
		if p.sep != "" {
			if !first {
				b.WriteString(p.sep)
			}
			first = false
		}
		b.WriteString(p.text)
		if p.child == nil {
			continue
		}
		if p.child.level < p.min {
			b.WriteByte('(')
			p.child.print(b)
			b.WriteByte(')')
		} else {
			p.child.print(b)
		}
	}
}

// shrink gives a smaller tree for which bad still holds: clauses and list items go, expressions are replaced by
// expressions of their type within them, or by the least literal. It edits n.
func shrink(n *node, budget int, bad func() bool) {
	for progress := true; progress && budget > 0; {
		progress = false
		var walk func(n *node)
		try := func() bool {
			budget--
			if budget <= 0 || !bad() {
				return false
			}
			progress = true
			return true
		}
		walk = func(n *node) {
			for i := range n.parts {
				p := &n.parts[i]
				if p.gone || p.child == nil {
					continue
				}
				if p.drop {
					if p.sep != "" && alive(n, i) == 1 {
						// the last of a list stays
					} else {
						p.gone = true
						if try() {
							continue
						}
						p.gone = false
					}
				}
				c := p.child
				if c.typ != "" && !c.small {
					for _, r := range smaller(c) {
						p.child = r
						if try() {
							break
						}
						p.child = c
					}
				}
				walk(p.child)
			}
		}
		walk(n)
	}
}

// alive counts the items that are left of the list that part i belongs to.
func alive(n *node, i int) (k int) {
	a, b := i, i
	for a > 0 && n.parts[a-1].sep != "" {
		a--
	}
	for b+1 < len(n.parts) && n.parts[b+1].sep != "" {
		b++
	}
	for ; a <= b; a++ {
		if !n.parts[a].gone {
			k++
		}
	}
	return k
}

// smaller lists what may stand in the place of an expression, the least first.
func smaller(n *node) []*node {
	out := []*node{leaf(n.typ, "NULL::"+n.typ)}
	if v, ok := plain[n.typ]; ok {
		out = append(out, leaf(n.typ, v))
	}
	var within func(c *node)
	within = func(c *node) {
		for _, p := range c.parts {
			if p.child != nil && !p.gone && len(out) < 8 {
				if p.child.typ == n.typ {
					out = append(out, p.child)
				} else {
					within(p.child)
				}
			}
		}
	}
	within(n)
	return out
}
