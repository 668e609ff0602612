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
	switch o := out.(type) {
	case *spilling:
		return outputSated(o.out)
	case *spillPart:
		return outputSated(o.s.out)
	}
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

// Sated reports whether nothing more that is pushed to an input of a snapshot changes the result: a LIMIT above has had enough.
func (g *Graph) Sated(in int) bool {
	i := g.inputs[in]
	return !g.ctx.Continuous && len(i.by) == 0 && outputSated(&i.out)
}

// resumer is an operator that has more to send than it should in one call: it stops and is resumed, until more is false. What follows
// it in the query's input waits.
type resumer interface {
	resume() (more bool, err error)
}

// Resume lets an operator that had more to send than it did go on, one step. more says that Resume is to be called again
// before anything else is. Only graphs with Context.Stepped need it.
func (g *Graph) Resume() (more bool, err error) {
	for _, s := range g.stages {
		r, ok := s.op.(resumer)
		if !ok {
			continue
		}
		err := s.run(func() (err error) {
			more, err = r.resume()
			return err
		})
		if more || err != nil {
			return more, err
		}
	}
	return false, nil
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
			if err := s.run(s.op.(starter).start); err != nil {
				return false, err
			}
			continue
		}
		left := false
		err := s.run(func() (err error) {
			left, err = p.produce()
			return err
		})
		if !left {
			g.leaves = g.leaves[1:]
		}
		if err == nil {
			err = g.weigh()
		}
		return true, err
	}
	return false, nil
}
