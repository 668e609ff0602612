package fn

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"streamsql/internal/pgerr"
)

// maxRegexSteps limits the work of one search, about a second of it, where it grows faster than the text.
const maxRegexSteps = 20_000_000

// cancelSteps is after how many steps the matcher asks whether the statement is cancelled.
const cancelSteps = 1 << 16

// regexRun matches one expression with one text after the other. It is not for concurrent use.
type regexRun struct {
	re   *regex
	done <-chan struct{}
	err  error // the work became too much, or the statement was cancelled

	s      string
	steps  int
	check  int
	close  int        // the first end of any match that the last search saw
	looks  [][]uint64 // by lookaround: the positions where its inside fits, nil where not yet known
	groups []int
	a, b   threads
}

// threads is a set of states of a program, in the order in which they were added.
type threads struct {
	pcs    []int32
	starts []int32 // by thread: where its match began
	mark   []uint32
	gen    uint32
}

func (t *threads) clear(n int) {
	if len(t.mark) < n {
		t.mark, t.gen = make([]uint32, n), 0
	}
	if t.gen++; t.gen == 0 {
		clear(t.mark)
		t.gen = 1
	}
	t.pcs, t.starts = t.pcs[:0], t.starts[:0]
}

// spend counts work, and reports whether to go on.
func (m *regexRun) spend(n int) bool {
	m.steps += n
	if m.steps < m.check {
		return m.err == nil
	}
	m.check = m.steps + cancelSteps
	if m.steps > maxRegexSteps+100*len(m.s) && m.err == nil {
		m.err = pgerr.New(pgerr.InvalidRegularExpression, "regular expression failed: matching takes too long").
			WithHint("Back references and nested choices can ask for more steps than any machine has. Make the parts of the pattern more specific.")
	}
	return m.going()
}

// going reports whether to go on: nothing failed, and the statement is not cancelled.
func (m *regexRun) going() bool {
	select {
	case <-m.done:
		if m.err == nil {
			m.err = pgerr.New(pgerr.QueryCanceled, "canceling statement due to user request")
		}
	default:
	}
	return m.err == nil
}

// begin names the text of the searches that follow.
func (m *regexRun) begin(s string) {
	m.s = s
	clear(m.looks)
}

// add adds the state pc and all that are reached from it without a character.
func (m *regexRun) add(t *threads, p *regexProg, pc int32, pos int, start int32) {
	for {
		if t.mark[pc] == t.gen {
			return
		}
		t.mark[pc] = t.gen
		in := &p.code[pc]
		switch in.op {
		case progSplit:
			m.add(t, p, in.next, pos, start)
			pc = in.also
			continue
		case progJump:
			pc = in.next
			continue
		case progAssert:
			if !m.holds(in.assert, pos) {
				return
			}
			pc = in.next
			continue
		case progLook:
			if m.looking(int(in.also), pos) == in.negate {
				return
			}
			pc = in.next
			continue
		}
		t.pcs = append(t.pcs, pc)
		t.starts = append(t.starts, start)
		return
	}
}

func (m *regexRun) holds(a reAssertion, pos int) bool {
	switch a {
	case atTextStart:
		return pos == 0
	case atTextEnd:
		return pos == len(m.s)
	case atLineStart:
		return pos == 0 || m.s[pos-1] == '\n'
	case atLineEnd:
		return pos == len(m.s) || m.s[pos] == '\n'
	}
	before, _ := utf8.DecodeLastRuneInString(m.s[:pos])
	after, _ := utf8.DecodeRuneInString(m.s[pos:])
	l, r := pos > 0 && isWordRune(before), pos < len(m.s) && isWordRune(after)
	switch a {
	case atWordStart:
		return !l && r
	case atWordEnd:
		return l && !r
	case atWordEdge:
		return l != r
	}
	return l == r
}

// looking reports whether the inside of lookaround k fits at pos. The first question is answered for all positions at once.
func (m *regexRun) looking(k, pos int) bool {
	if m.looks[k] == nil {
		fits := make([]uint64, len(m.s)/64+1)
		m.looks[k] = fits // before the pass: a lookaround within has another number
		l := m.re.looks[k]
		var cur, next threads
		n := len(l.prog.code)
		cur.clear(n)
		p := 0
		if !l.behind {
			p = len(m.s)
		}
		for {
			m.add(&cur, l.prog, 0, p, 0)
			next.clear(n)
			var c rune
			w := 0
			if l.behind {
				c, w = utf8.DecodeRuneInString(m.s[p:])
			} else {
				c, w = utf8.DecodeLastRuneInString(m.s[:p])
			}
			to := p + w
			if !l.behind {
				to = p - w
			}
			if !m.spend(len(cur.pcs) + 1) {
				return false
			}
			for _, pc := range cur.pcs {
				in := &l.prog.code[pc]
				if in.op == progMatch {
					fits[p>>6] |= 1 << (p & 63)
				} else if w > 0 && in.set.has(c) {
					m.add(&next, l.prog, in.next, to, 0)
				}
			}
			if w == 0 {
				break
			}
			cur, next, p = next, cur, to
		}
	}
	return m.looks[k][pos>>6]>>(pos&63)&1 != 0
}

// search gives where the first match that starts at from or later begins, -1 for none.
func (m *regexRun) search(p *regexProg, from int) int {
	n := len(p.code)
	cur, next := &m.a, &m.b
	cur.clear(n)
	best := int32(-1)
	for pos := from; ; {
		if best < 0 {
			m.add(cur, p, 0, pos, int32(pos))
		}
		if len(cur.pcs) == 0 && best >= 0 {
			return int(best)
		}
		if !m.spend(len(cur.pcs) + 1) {
			return -1
		}
		c, w := utf8.DecodeRuneInString(m.s[pos:])
		next.clear(n)
		for i, pc := range cur.pcs {
			start := cur.starts[i]
			if best >= 0 && start >= best {
				break // those that began earlier come first
			}
			in := &p.code[pc]
			if in.op == progMatch {
				if best < 0 {
					m.close = pos
				}
				best = start
			} else if w > 0 && in.set.has(c) {
				m.add(next, p, in.next, pos+w, start)
			}
		}
		if w == 0 {
			return int(best)
		}
		if best >= 0 { // a later state of the same list may have been reached from a start that is no longer of interest
			k := 0
			for k < len(next.pcs) && next.starts[k] < best {
				k++
			}
			next.pcs, next.starts = next.pcs[:k], next.starts[:k]
		}
		cur, next = next, cur
		pos += w
	}
}

// run follows p from begin on, and tells found each end up to limit; found false stops it.
func (m *regexRun) run(p *regexProg, begin, limit int, found func(end int) bool) {
	n := len(p.code)
	cur, next := &m.a, &m.b
	cur.clear(n)
	m.add(cur, p, 0, begin, 0)
	for pos := begin; len(cur.pcs) > 0 && m.spend(len(cur.pcs)); {
		c, w := rune(0), 0
		if pos < limit {
			if c, w = utf8.DecodeRuneInString(m.s[pos:]); pos+w > limit {
				w = 0
			}
		}
		next.clear(n)
		for _, pc := range cur.pcs {
			in := &p.code[pc]
			if in.op == progMatch {
				if !found(pos) {
					return
				}
			} else if w > 0 && in.set.has(c) {
				m.add(next, p, in.next, pos+w, 0)
			}
		}
		if w == 0 {
			return
		}
		cur, next = next, cur
		pos += w
	}
}

// ends appends all ends of p from begin on, ascending.
func (m *regexRun) ends(dst []int, p *regexProg, begin, limit int) []int {
	m.run(p, begin, limit, func(e int) bool { dst = append(dst, e); return true })
	return dst
}

// longest gives the last end of p from begin that is not beyond limit, -1 for none.
func (m *regexRun) longest(p *regexProg, begin, limit int) int {
	end := -1
	m.run(p, begin, limit, func(e int) bool { end = e; return true })
	return end
}

// shortest gives the first end of p from begin that is at least least, -1 for none.
func (m *regexRun) shortest(p *regexProg, begin, least, limit int) int {
	end := -1
	m.run(p, begin, limit, func(e int) bool {
		if e >= least {
			end = e
		}
		return end < 0
	})
	return end
}

func (m *regexRun) exactly(p *regexProg, begin, end int) bool {
	return m.shortest(p, begin, end, end) == end
}

// find gives the bounds of the first match that starts at from or later, and of its groups; nil for none.
func (m *regexRun) find(from int) []int {
	r, s := m.re, m.s
	m.steps, m.check = 0, 0
	if m.looks == nil {
		m.looks = make([][]uint64, len(r.looks))
		m.groups = make([]int, 2*(r.groups+1))
	}
	top := r.top
	for from <= len(s) && m.err == nil {
		begin := m.search(top.prog, from)
		if begin < 0 {
			return nil
		}
		for ; begin <= m.close; begin += max(1, runeWidth(s, begin)) {
			if at := m.from(top, begin); at != nil || m.err != nil {
				return at
			}
		}
		// As in PostgreSQL an empty match at the end of the text is not looked for once a back reference has failed.
		if from = begin; from >= len(s) {
			return nil
		}
	}
	return nil
}

// from gives the bounds of the match that begins at begin; nil where back references allow none.
func (m *regexRun) from(top *regexPart, begin int) []int {
	var tries []int
	switch {
	case top.flags&partBack != 0:
		tries = m.ends(nil, top.prog, begin, len(m.s))
	case top.flags&preferShort != 0:
		tries = []int{m.shortest(top.prog, begin, begin, len(m.s))}
	default:
		tries = []int{m.longest(top.prog, begin, len(m.s))}
	}
	for i := range tries {
		end := tries[i]
		if top.flags&preferShort == 0 {
			end = tries[len(tries)-1-i]
		}
		for g := range m.groups {
			m.groups[g] = -1
		}
		if m.err == nil && m.dissect(top, begin, end) {
			m.groups[0], m.groups[1] = begin, end
			return append([]int(nil), m.groups...)
		}
	}
	return nil
}

func (m *regexRun) forget(p *regexPart) {
	for _, g := range p.refs {
		m.groups[2*g], m.groups[2*g+1] = -1, -1
	}
}

// dissect cuts the text from begin to end, which p's program is known to fit, into p's parts, and notes the groups.
func (m *regexRun) dissect(p *regexPart, begin, end int) bool {
	if !m.spend(1) {
		return false
	}
	ok := true
	switch p.op {
	case partRef:
		return m.repeats(p, begin, end)
	case partWrap:
		ok = m.dissect(p.kids[0], begin, end)
	case partCat:
		ok = m.dissectTwo(p.kids[0], p.kids[1], begin, end)
	case partAlt:
		ok = false
		for _, k := range p.kids {
			if m.exactly(k.prog, begin, end) && m.dissect(k, begin, end) {
				ok = true
				break
			}
		}
	case partLoop:
		if p.min == 0 && begin == end {
			// No round is enough. PostgreSQL takes one that fits, to be seen by its groups, unless it prefers short ones.
			if k := p.kids[0]; k.flags&preferShort != 0 || !m.exactly(k.prog, begin, end) || !m.dissect(k, begin, end) {
				m.forget(k)
			}
		} else if p.kids[0].flags&preferShort != 0 {
			ok = m.dissectLoopShort(p, begin, end)
		} else {
			ok = m.dissectLoop(p, begin, end)
		}
	}
	if ok && p.cap > 0 {
		m.groups[2*p.cap], m.groups[2*p.cap+1] = begin, end
	}
	return ok && m.err == nil
}

func (m *regexRun) dissectTwo(l, r *regexPart, begin, end int) bool {
	mids := m.ends(nil, l.prog, begin, end)
	for i := range mids {
		mid := mids[i]
		if l.flags&preferShort == 0 {
			mid = mids[len(mids)-1-i]
		}
		if m.exactly(r.prog, mid, end) {
			if m.dissect(l, begin, mid) && m.dissect(r, mid, end) {
				return true
			}
			m.forget(l)
			m.forget(r)
		}
		if m.err != nil {
			return false
		}
	}
	return false
}

// rounds gives how many rounds a loop over the text may take. Empty rounds only count where the least number demands them.
func rounds(p *regexPart, n int) (least, most int) {
	least = max(p.min, 1)
	most = n
	if p.max != unbounded {
		most = min(most, p.max)
	}
	return least, max(most, least)
}

// chars counts the characters between two positions.
func (m *regexRun) chars(from, to int) int { return utf8.RuneCountInString(m.s[from:to]) }

// verified cuts the rounds after the first good ones; it gives the number of those that could be cut.
func (m *regexRun) verified(p *regexPart, at []int, good, k int) int {
	for good < k {
		m.forget(p.kids[0])
		if !m.dissect(p.kids[0], at[good], at[good+1]) {
			break
		}
		good++
	}
	return good
}

// dissectLoop cuts the text into rounds that are as long as possible, the first ones before the later ones.
func (m *regexRun) dissectLoop(p *regexPart, begin, end int) bool {
	kid := p.kids[0]
	least, most := rounds(p, end-begin)
	at := append(make([]int, 0, 8), begin, 0)
	k, limit, good := 1, end, 0
	for k > 0 && m.err == nil {
		for len(at) <= k {
			at = append(at, 0)
		}
		at[k] = m.longest(kid.prog, at[k-1], limit)
		good = min(good, k-1)
		switch {
		case at[k] < 0:
			k--
		case at[k] != end && k >= most:
			// The last round there may be has to reach the end, and a shorter one does not either.
			k--
		case at[k] != end && (at[k] > at[k-1] || k < least && least-k >= m.chars(at[k], end)):
			k, limit = k+1, end
			continue
		case at[k] == end && k >= least:
			if good = m.verified(p, at, good, k); good == k {
				return true
			}
			k = good + 1
		}
		for ; k > 0; k-- {
			prev := at[k-1]
			if at[k] > prev {
				limit = at[k] - 1
				if limit > prev || k < least && least-k >= m.chars(prev, end) {
					break
				}
			}
		}
	}
	return false
}

// dissectLoopShort cuts the text into rounds that are as short as possible.
func (m *regexRun) dissectLoopShort(p *regexPart, begin, end int) bool {
	kid := p.kids[0]
	least, most := rounds(p, end-begin)
	at := append(make([]int, 0, 8), begin, 0)
	k, limit, good := 1, begin, 0
	for k > 0 && m.err == nil {
		for len(at) <= k {
			at = append(at, 0)
		}
		if limit == at[k-1] && limit != end && (k >= least || least-k < m.chars(limit, end)) {
			limit++
		}
		if k >= most {
			limit = end
		}
		at[k] = m.shortest(kid.prog, at[k-1], limit, end)
		good = min(good, k-1)
		switch {
		case at[k] < 0:
			k--
		case at[k] != end && k >= most:
			k--
		case at[k] != end:
			k++
			limit = at[k-1]
			continue
		case k >= least:
			if good = m.verified(p, at, good, k); good == k {
				return true
			}
			k = good + 1
		}
		for ; k > 0; k-- {
			if at[k] < end {
				limit = at[k] + 1
				break
			}
		}
	}
	return false
}

// repeats reports whether the text is what the group of a back reference matched, as often as its quantifier has it.
func (m *regexRun) repeats(p *regexPart, begin, end int) bool {
	if m.groups[2*p.cap] < 0 {
		return false
	}
	what, text := m.s[m.groups[2*p.cap]:m.groups[2*p.cap+1]], m.s[begin:end]
	if !m.spend(len(text)) {
		return false
	}
	if what == "" {
		return text == ""
	}
	if text == "" {
		return p.min == 0
	}
	n := 0
	for text != "" {
		rest, ok := strings.CutPrefix(text, what)
		if !ok && m.re.fold {
			rest, ok = cutPrefixFold(text, what)
		}
		if !ok {
			return false
		}
		text = rest
		n++
	}
	return n >= p.min && (p.max == unbounded || n <= p.max)
}

func cutPrefixFold(s, prefix string) (string, bool) {
	for _, c := range prefix {
		d, w := utf8.DecodeRuneInString(s)
		if w == 0 || c != d && unicode.ToLower(c) != unicode.ToLower(d) {
			return "", false
		}
		s = s[w:]
	}
	return s, true
}
