package exec

// producer is a starter that may have very many rows: it sends them step by step, so that the query can be
// cancelled, and ends early where a LIMIT above has had enough.
type producer interface {
	starter
	// produce sends some rows and, at the end, MaxTime; more says that it is to be called again.
	produce() (more bool, err error)
}

// sated is an operator that can tell that nothing more that comes in on an input changes its result.
type sated interface{ sated(port int) bool }

// outputSated reports whether whoever gets the rows of out needs no more of them.
func outputSated(out Output) bool {
	f, ok := out.(*fan)
	if !ok || f.sink != nil || len(f.edges) == 0 {
		return false
	}
	for _, e := range f.edges {
		s, ok := e.op.(sated)
		if !ok || !s.sated(e.port) {
			return false
		}
	}
	return true
}

func (t *topNOp) sated(int) bool { return t.done && t.plain() }

func (c *calc) sated(int) bool { return outputSated(c.out) }

func (l *lateral) sated(int) bool { return outputSated(l.out) }

func (u *union) sated(int) bool { return outputSated(u.out) }

// sated holds of the left rows of a snapshot only: right ones decide which left rows there are.
func (j *joinOp) sated(port int) bool {
	return port == 0 && !j.ctx.Continuous && outputSated(j.out)
}

// Produce lets the operators without input that come before input order send rows, one step at a time. more says
// that it is to be called again before that input is read.
func (g *Graph) Produce(order int) (more bool, err error) {
	if !g.begun {
		if err := g.begin(); err != nil {
			return false, err
		}
	}
	for len(g.leaves) > 0 && g.leaves[0].order <= order {
		s := g.leaves[0]
		p, ok := s.op.(producer)
		if !ok {
			g.leaves = g.leaves[1:]
			if err := s.op.(starter).start(); err != nil {
				return false, err
			}
			continue
		}
		left, err := p.produce()
		if !left {
			g.leaves = g.leaves[1:]
		}
		return true, err
	}
	return false, nil
}
