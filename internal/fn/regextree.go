package fn

// The matcher of PostgreSQL's advanced regular expressions beyond what package regexp has: a match is the leftmost,
// of those the longest or the shortest as the whole expression prefers; then its parts, from left to right, are as long
// or as short as each of them prefers. Finding the bounds is a simulation of all paths at once, linear in the text; only
// where the parts are wanted, or a back reference tells texts apart, are ways to cut the text tried one after the other.

// The attributes of a part. A part that prefers both lengths inside is mixed; it has to be cut to be understood.
const (
	partMixed = 4
	partCap   = 8
	partBack  = 16

	partPrefers = preferLong | preferShort
	partMessy   = partMixed | partCap | partBack
)

// partUp gives the attributes that a part hands up to what contains it.
func partUp(f int) int {
	up := f &^ partPrefers
	if f&partPrefers == partPrefers {
		up |= partMixed
	}
	return up
}

// partCombine joins the attributes of two parts in a row: the first one that has a preference gives it.
func partCombine(a, b int) int {
	p := a & partPrefers
	if p == 0 {
		p = b & partPrefers
	}
	return partUp(a|b) | p
}

// partOp says how a part's text is cut.
type partOp uint8

const (
	partPlain partOp = iota // not at all: nobody asks
	partCat                 // into two
	partAlt                 // it is that of the first of kids that fits
	partLoop                // into min to max texts of the one kid
	partRef                 // it repeats group cap min to max times
	partWrap                // it is that of the one kid: a group in a group
)

// regexPart is a part of an expression that has to be told apart from its neighbours.
type regexPart struct {
	op       partOp
	flags    int
	cap      int // the group it captures, or for partRef the one that it repeats
	min, max int
	kids     []*regexPart
	prog     *regexProg
	node     *reNode
	refs     []int // the groups within
}

// partBuilder cuts a parsed expression into parts.
type partBuilder struct{ groups []*reNode }

func catOf(subs []*reNode) *reNode {
	if len(subs) == 1 {
		return subs[0]
	}
	return &reNode{op: reCat, subs: subs}
}

func (b *partBuilder) alternatives(n *reNode) *regexPart {
	if n.op != reAlt {
		if n.op == reCat {
			return b.branch(n.subs)
		}
		return b.branch([]*reNode{n})
	}
	p := &regexPart{op: partAlt, flags: preferLong, node: n}
	for _, s := range n.subs {
		k := b.alternatives(s)
		p.flags |= partUp(p.flags | k.flags)
		p.kids = append(p.kids, k)
	}
	if p.flags&partMessy == 0 {
		p.op, p.kids = partPlain, nil
	}
	return p
}

// branch cuts a sequence: what is plain stays in one piece, up to the first that is not.
func (b *partBuilder) branch(items []*reNode) *regexPart {
	flags, start := 0, 0
	for i, it := range items {
		if it.op == reAssert || it.op == reLook {
			continue
		}
		atom, lo, hi, prefer := it, 1, 1, 0
		if it.op == reRepeat {
			atom, lo, hi, prefer = it.subs[0], it.min, it.max, it.prefer
		}
		var sub *regexPart
		switch atom.op {
		case reGroup:
			sub = b.alternatives(atom.subs[0])
			if atom.cap > 0 {
				if sub.cap > 0 {
					sub = &regexPart{op: partWrap, flags: sub.flags, kids: []*regexPart{sub}, node: atom}
				}
				sub.flags |= partCap
				sub.cap = atom.cap
				b.groups[atom.cap] = atom
			}
		case reBack:
			sub = &regexPart{op: partRef, flags: partBack, cap: atom.cap, node: it, min: lo, max: hi}
		default:
			sub = &regexPart{node: atom}
		}
		if lo == 0 && hi == 0 {
			continue // it matches nothing, whatever is in it
		}
		if f := flags | prefer | sub.flags; partUp(f)&partMessy == 0 {
			flags = f
			continue
		}
		prefix := &regexPart{flags: flags, node: catOf(items[start:i])}
		x := quantifiedPart(sub, it, atom, lo, hi, prefer)
		if rest := items[i+1:]; len(rest) > 0 {
			r := b.branch(rest)
			f := partCombine(prefer, sub.flags)
			x = &regexPart{op: partCat, flags: f | partCombine(f, r.flags), kids: []*regexPart{x, r}, node: catOf(items[i:])}
		}
		if i == 0 {
			return x
		}
		return &regexPart{op: partCat, flags: flags | partCombine(flags, x.flags), kids: []*regexPart{prefix, x}, node: catOf(items)}
	}
	return &regexPart{flags: flags, node: catOf(items)}
}

// quantifiedPart is the part for an atom with its quantifier.
func quantifiedPart(sub *regexPart, it, atom *reNode, lo, hi, prefer int) *regexPart {
	f := partCombine(prefer, sub.flags)
	own := sub.flags & (partPrefers | partMixed)
	switch {
	case atom.op == reBack:
		sub.flags |= f
		return sub
	case lo == 1 && hi == 1 && (prefer == 0 || own == 0 || prefer == own):
		return sub
	case sub.flags&(partCap|partBack) == 0:
		return &regexPart{flags: f, node: it}
	case lo > 0 && sub.flags&partBack == 0:
		// Only the last round's groups are seen: the rounds before it need no cutting.
		before := &reNode{op: reRepeat, subs: []*reNode{atom}, min: lo - 1, max: hi}
		if hi != unbounded {
			before.max--
		}
		return &regexPart{op: partCat, flags: f, node: it, kids: []*regexPart{{flags: f & partPrefers, node: before}, sub}}
	}
	return &regexPart{op: partLoop, flags: f, node: it, min: lo, max: hi, kids: []*regexPart{sub}}
}

// buildParts cuts the whole expression and compiles every part.
func buildParts(root *reNode, groups int) (*regexPart, []*lookProg, error) {
	b := partBuilder{groups: make([]*reNode, groups+1)}
	top := b.alternatives(root)
	c := progCompiler{groups: b.groups, looks: map[*reNode]int{}}
	if err := c.part(top); err != nil {
		return nil, nil, err
	}
	return top, c.list, nil
}

func (c *progCompiler) part(p *regexPart) error {
	var err error
	if p.prog, err = c.compile(p.node, false); err != nil {
		return err
	}
	if p.cap > 0 && p.op != partRef {
		p.refs = append(p.refs, p.cap)
	}
	for _, k := range p.kids {
		if err := c.part(k); err != nil {
			return err
		}
		p.refs = append(p.refs, k.refs...)
	}
	return nil
}

// progOp is an instruction of a program.
type progOp uint8

const (
	progChar   progOp = iota // a character of set, then next
	progSplit                // next and also
	progJump                 // next
	progAssert               // next where the condition holds
	progLook                 // next where lookaround number also holds
	progMatch
)

type progInst struct {
	op     progOp
	assert reAssertion
	negate bool
	set    *charSet
	next   int32
	also   int32
}

// regexProg is a part of an expression as a nondeterministic automaton, which starts at instruction 0.
type regexProg struct{ code []progInst }

// lookProg is the inside of a lookaround; one that looks ahead is reversed, so that one pass over the text settles all positions.
type lookProg struct {
	prog   *regexProg
	behind bool
}

// maxRegexProgram limits the instructions of all parts of an expression.
const maxRegexProgram = 100_000

type progCompiler struct {
	groups []*reNode
	looks  map[*reNode]int
	list   []*lookProg
	size   int
	code   []progInst
	// plain leaves conditions away: a back reference repeats a text, not what was demanded around it
	plain    bool
	backward bool
}

func (c *progCompiler) compile(n *reNode, backward bool) (*regexProg, error) {
	saved, savedDir := c.code, c.backward
	c.code, c.backward = nil, backward
	err := c.node(n)
	if err == nil {
		err = c.add(progInst{op: progMatch})
	}
	p := &regexProg{code: c.code}
	c.code, c.backward = saved, savedDir
	return p, err
}

func (c *progCompiler) add(i progInst) error {
	if c.size++; c.size > maxRegexProgram {
		return errRegex("regular expression is too complex")
	}
	i.next += int32(len(c.code)) + 1 // relative to what follows until here
	c.code = append(c.code, i)
	return nil
}

func (c *progCompiler) node(n *reNode) error {
	switch n.op {
	case reSet:
		return c.add(progInst{op: progChar, set: n.set})
	case reCat:
		for i := range n.subs {
			s := n.subs[i]
			if c.backward {
				s = n.subs[len(n.subs)-1-i]
			}
			if err := c.node(s); err != nil {
				return err
			}
		}
	case reAlt:
		var ends []int
		for i, s := range n.subs {
			split := len(c.code)
			last := i == len(n.subs)-1
			if !last {
				if err := c.add(progInst{op: progSplit}); err != nil {
					return err
				}
			}
			if err := c.node(s); err != nil {
				return err
			}
			if !last {
				ends = append(ends, len(c.code))
				if err := c.add(progInst{op: progJump}); err != nil {
					return err
				}
				c.code[split].also = int32(len(c.code))
			}
		}
		for _, e := range ends {
			c.code[e].next = int32(len(c.code))
		}
	case reRepeat:
		return c.repeat(n)
	case reGroup:
		return c.node(n.subs[0])
	case reBack:
		saved := c.plain
		c.plain = true
		err := c.node(c.groups[n.cap].subs[0])
		c.plain = saved
		return err
	case reAssert:
		if !c.plain {
			return c.add(progInst{op: progAssert, assert: n.assert})
		}
	case reLook:
		if c.plain {
			return nil
		}
		k, ok := c.looks[n]
		if !ok {
			p, err := c.compile(n.subs[0], !n.behind)
			if err != nil {
				return err
			}
			k = len(c.list)
			c.looks[n] = k
			c.list = append(c.list, &lookProg{prog: p, behind: n.behind})
		}
		return c.add(progInst{op: progLook, also: int32(k), negate: n.negate})
	}
	return nil
}

func (c *progCompiler) repeat(n *reNode) error {
	sub := n.subs[0]
	for range n.min {
		if err := c.node(sub); err != nil {
			return err
		}
	}
	if n.max == unbounded {
		split := len(c.code)
		if err := c.add(progInst{op: progSplit}); err != nil {
			return err
		}
		if err := c.node(sub); err != nil {
			return err
		}
		back := len(c.code)
		if err := c.add(progInst{op: progJump}); err != nil {
			return err
		}
		c.code[back].next = int32(split)
		c.code[split].also = int32(len(c.code))
		return nil
	}
	var splits []int
	for range n.max - n.min {
		splits = append(splits, len(c.code))
		if err := c.add(progInst{op: progSplit}); err != nil {
			return err
		}
		if err := c.node(sub); err != nil {
			return err
		}
	}
	for _, s := range splits {
		c.code[s].also = int32(len(c.code))
	}
	return nil
}
