package exec

import (
	"streamsql/internal/pgerr"
	"streamsql/sql/planner"
)

// Build makes the operators of a plan and opens them; the root's rows go to out. A node
// that occurs twice in the plan is one operator whose output goes to each place.
// Close the graph also when nothing was pushed.
func Build(ctx *Context, root planner.Node, out Output) (*Graph, error) {
	b := builder{g: &Graph{ctx: ctx}, made: map[planner.Node]*fan{}, scans: map[*planner.Scan]int{}}
	top, err := b.build(root)
	if err == nil {
		if b.g.quiet.timeout = timedOut(root); b.g.quiet.timeout > 0 {
			b.g.timers = append(b.g.timers, &b.g.quiet)
		}
		top.sink = out
		err = b.open()
	}
	if err != nil {
		b.g.Close()
		return nil, err
	}
	return b.g, nil
}

type builder struct {
	g     *Graph
	made  map[planner.Node]*fan
	scans map[*planner.Scan]int
}

// inputsOf gives the inputs of a node with their ports, in the order in which a
// snapshot should read them: the side that a join or set operation keeps comes first.
func inputsOf(n planner.Node) (in []planner.Node, ports []int) {
	in = n.Inputs()
	ports = make([]int, len(in))
	for i := range ports {
		ports[i] = i
	}
	switch n.(type) {
	case *planner.Join, *planner.AsOfJoin, *planner.SetOp:
		return []planner.Node{in[1], in[0]}, []int{1, 0}
	}
	return in, ports
}

// build makes the operator of n after those of its inputs and gives its output.
func (b *builder) build(n planner.Node) (*fan, error) {
	if f := b.made[n]; f != nil {
		return f, nil
	}
	if s, ok := n.(*planner.Scan); ok {
		in := &input{info: &Input{Scan: s}, ended: make([]bool, 1)}
		b.scans[s] = len(b.g.inputs)
		b.g.inputs = append(b.g.inputs, in)
		b.g.infos = append(b.g.infos, in.info)
		b.made[n] = &in.out
		return &in.out, nil
	}
	ins, ports := inputsOf(n)
	outs := make([]*fan, len(ins))
	for i, in := range ins {
		f, err := b.build(in)
		if err != nil {
			return nil, err
		}
		outs[i] = f
	}
	op, err := newParallel(n, b.g.ctx.Parallel, b.g.ctx.Continuous)
	if err != nil {
		return nil, err
	}
	s := &stage{node: n, op: op}
	for i, f := range outs {
		if p, ok := op.(partitioned); ok {
			if scan, ok := ins[i].(*planner.Scan); ok {
				in := b.g.inputs[b.scans[scan]]
				in.by = append(in.by, p)
				in.info.Watermarked = true
				continue
			}
		}
		f.edges = append(f.edges, edge{op, ports[i], operatorName(n)})
	}
	b.g.stages = append(b.g.stages, s)
	if _, ok := op.(starter); ok {
		s.order = len(b.g.inputs)
		b.g.leaves = append(b.g.leaves, s)
	}
	if t, ok := op.(timer); ok {
		b.g.timers = append(b.g.timers, t)
	}
	switch n.(type) {
	case *planner.Union, *planner.Join: // their watermark may be ahead of that of the rows
		b.needOrigins(n, map[planner.Node]bool{})
	}
	b.made[n] = &s.out
	return &s.out, nil
}

// needOrigins makes the Watermark operators below n pass on where rows came from.
func (b *builder) needOrigins(n planner.Node, seen map[planner.Node]bool) {
	if seen[n] {
		return
	}
	seen[n] = true
	if _, ok := n.(*planner.Watermark); ok {
		for _, s := range b.g.stages {
			if w, ok := s.op.(*watermark); ok && s.node == n {
				w.origins = true
			}
		}
	}
	for _, in := range n.Inputs() {
		b.needOrigins(in, seen)
	}
}

func (b *builder) open() error {
	for _, s := range b.g.stages {
		s.out.acct = b.g.ctx.Memory.Operator(operatorName(s.node))
		if err := s.run(func() error { return s.op.Open(b.g.ctx, &s.out) }); err != nil {
			return err
		}
		switch op := s.op.(type) {
		case *spilling, *sortOp: // report themselves
		case sizer:
			s.size, s.acct = op, b.g.ctx.Memory.Operator(operatorName(s.node))
		}
	}
	return nil
}

// newOperator chooses the operator of a node.
func newOperator(n planner.Node) (Operator, error) {
	switch n := n.(type) {
	case *planner.Watermark:
		return newWatermark(n)
	case *planner.Given:
		return &given{n: n}, nil
	case *planner.Values:
		return newValues(n)
	case *planner.TableFunc:
		if n.Input == nil {
			return newTableFunc(n)
		}
		return newLateral(n)
	case *planner.ProjectSet:
		return newProjectSet(n)
	case *planner.Calc:
		return newCalc(n)
	case *planner.Temporal:
		return newTemporal(n)
	case *planner.WindowTVF:
		return newWindowTVF(n)
	case *planner.Aggregate:
		return newAggregate(n)
	case *planner.Join:
		if n.Single {
			return &singleJoin{n: n}, nil
		}
		return newJoin(n)
	case *planner.AsOfJoin:
		return newAsofJoin(n)
	case *planner.LookupJoin:
		return newLookupJoin(n)
	case *planner.Recursive:
		return newRecursive(n)
	case *planner.Union:
		return newUnion(n)
	case *planner.SetOp:
		return newSetOp(n)
	case *planner.Sort:
		return newSort(n)
	case *planner.TopN:
		return newTopN(n)
	case *planner.Emit:
		return newEmit(n)
	case *planner.Over:
		return newOver(n)
	}
	return nil, pgerr.New(pgerr.InternalError, "no operator for plan node %T", n)
}
