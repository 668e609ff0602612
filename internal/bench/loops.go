package bench

import (
	"context"
	"math/bits"
	"slices"
	"strconv"
	"time"

	"streamsql/connector"
	"streamsql/connector/nexmark"
	"streamsql/internal/vec"
)

// loops are the queries as one would write them in Go without an engine: over the
// same generator and the columns that the query needs, no more general than the
// query is. Bids come in the order of their time.
var loops = map[string]func(events int64) (Sum, time.Duration, error){
	"q0": loopQ0, "q1": loopQ1, "q2": loopQ2, "q5": loopQ5, "q7": loopQ7,
}

// reader gives bids, a batch at a time.
type reader struct {
	src   connector.Source
	rows  *vec.Builder
	done  bool
	spent time.Duration // in the generator
}

func newReader(events int64, columns ...string) (*reader, error) {
	c := nexmark.Connector{}
	options := map[string]string{"table": "bid", "events": strconv.FormatInt(events, 10)}
	fields, err := c.Infer(context.Background(), options)
	if err != nil {
		return nil, err
	}
	cfg := &connector.Config{Columns: fields, Options: options}
	schema := &vec.Schema{}
	for _, name := range columns {
		i := vec.NewSchema(fields...).Index(name)
		cfg.Project = append(cfg.Project, i)
		schema.Fields = append(schema.Fields, fields[i])
	}
	src, err := c.Open(context.Background(), cfg, nil)
	return &reader{src: src, rows: vec.NewBuilder(vec.NewPool(), schema)}, err
}

// next gives the columns of the next bids, nil at the end. They are valid until the next call.
func (r *reader) next() ([]vec.Vec, error) {
	if r.done {
		r.rows.Release()
		return nil, r.src.Close()
	}
	start := clock()
	for c := range r.rows.Cols {
		r.rows.Cols[c].Reset(r.rows.Schema.Fields[c].Type.Kind(), 0)
	}
	p, err := r.src.Poll(context.Background(), r.rows, vec.MaxRows)
	r.done = p.Status == connector.End
	r.spent += clock() - start
	return r.rows.Cols, err
}

func loopQ0(events int64) (Sum, time.Duration, error) {
	s := Sum{Columns: make([]uint64, 5)}
	r, err := newReader(events, "auction", "bidder", "price", "date_time", "extra")
	if err != nil {
		return s, 0, err
	}
	for {
		cols, err := r.next()
		if err != nil || cols == nil {
			return s, r.spent, err
		}
		s.Rows += int64(cols[0].N)
		for c := range cols {
			s.Columns[c] += column(&cols[c], false)
		}
	}
}

func loopQ1(events int64) (Sum, time.Duration, error) {
	s := Sum{Columns: make([]uint64, 5)}
	r, err := newReader(events, "auction", "bidder", "price", "date_time", "extra")
	if err != nil {
		return s, 0, err
	}
	for {
		cols, err := r.next()
		if err != nil || cols == nil {
			return s, r.spent, err
		}
		s.Rows += int64(cols[0].N)
		price := cols[2].I64[:cols[2].N]
		for i, p := range price {
			price[i] = p * 908 // thousandths
		}
		for c := range cols {
			s.Columns[c] += column(&cols[c], false)
		}
	}
}

func loopQ2(events int64) (Sum, time.Duration, error) {
	s := Sum{Columns: make([]uint64, 2)}
	r, err := newReader(events, "auction", "price")
	if err != nil {
		return s, 0, err
	}
	for {
		cols, err := r.next()
		if err != nil || cols == nil {
			return s, r.spent, err
		}
		price := cols[1].I64
		for i, a := range cols[0].I64[:cols[0].N] {
			if a%123 == 0 {
				s.Rows++
				s.Columns[0] += uint64(a)
				s.Columns[1] += uint64(price[i])
			}
		}
	}
}

// counts counts by auction: open addressing, 0 for a free slot.
type counts struct {
	keys, n []int64
	used    int
}

func (c *counts) add(key, n int64) {
	if 2*c.used >= len(c.keys) {
		old := *c
		*c = counts{keys: make([]int64, max(2*len(old.keys), 4096)), n: make([]int64, max(2*len(old.keys), 4096))}
		for i, k := range old.keys {
			if k != 0 {
				c.add(k, old.n[i])
			}
		}
	}
	mask := uint64(len(c.keys) - 1)
	i := uint64(key) * 0x9E3779B97F4A7C15 >> (64 - bits.Len64(mask))
	for c.keys[i] != key {
		if c.keys[i] == 0 {
			c.keys[i] = key
			c.used++
			break
		}
		i = (i + 1) & mask
	}
	c.n[i] += n
}

func (c *counts) clear() {
	clear(c.keys)
	clear(c.n)
	c.used = 0
}

func loopQ5(events int64) (Sum, time.Duration, error) {
	const slide, panesOfWindow = int64(2e6), 5
	s := Sum{Columns: make([]uint64, 3)}
	r, err := newReader(events, "auction", "date_time")
	if err != nil {
		return s, 0, err
	}
	var panes [panesOfWindow]counts // the last five slides
	var window counts
	current := int64(-1) // the slide that is being counted
	closeSlide := func() {
		window.clear()
		for p := range panes {
			for i, k := range panes[p].keys {
				if k != 0 {
					window.add(k, panes[p].n[i])
				}
			}
		}
		most := int64(0)
		for _, n := range window.n {
			most = max(most, n)
		}
		for i, n := range window.n {
			if n == most && n > 0 {
				s.Rows++
				s.Columns[0] += uint64(window.keys[i])
				s.Columns[1] += uint64(n)
				s.Columns[2] += uint64((current - panesOfWindow + 1) * slide)
			}
		}
		current++
		panes[current%panesOfWindow].clear()
	}
	for {
		cols, err := r.next()
		if err != nil {
			return s, r.spent, err
		}
		if cols == nil {
			break
		}
		times := cols[1].I64
		for i, auction := range cols[0].I64[:cols[0].N] {
			slideOf := times[i] / slide
			if current < 0 {
				current = slideOf
			}
			for current < slideOf {
				closeSlide()
			}
			panes[current%panesOfWindow].add(auction, 1)
		}
	}
	for range panesOfWindow { // the windows that the last slide is in
		closeSlide()
	}
	return s, r.spent, nil
}

func loopQ7(events int64) (Sum, time.Duration, error) {
	const size = int64(10e6)
	s := Sum{Columns: make([]uint64, 5)}
	r, err := newReader(events, "auction", "price", "bidder", "date_time", "extra")
	if err != nil {
		return s, 0, err
	}
	type bid struct {
		auction, price, bidder, time int64
		extra                        []byte
	}
	out := func(b bid) {
		s.Rows++
		for c, x := range []int64{b.auction, b.price, b.bidder, b.time} {
			s.Columns[c] += uint64(x)
		}
		if len(b.extra) > 0 {
			s.Columns[4] += uint64(len(b.extra))<<8 + uint64(b.extra[0])
		}
	}
	var best, edge []bid                      // the highest of the window so far; the bids at its very beginning
	end, most := int64(-1), int64(0)          // of the window
	lastEnd, lastMost := int64(-1), int64(-1) // of the window before
	closeWindow := func() {
		for _, b := range best {
			out(b)
		}
		// BETWEEN takes its end in: bids of the next window's first instant count as well.
		lastEnd, lastMost = end, most
		best, most = best[:0], 0
		end += size
	}
	for {
		cols, err := r.next()
		if err != nil {
			return s, r.spent, err
		}
		if cols == nil {
			break
		}
		auctions, bidders, times := cols[0].I64, cols[2].I64, cols[3].I64
		for i, p := range cols[1].I64[:cols[1].N] {
			t := times[i]
			if t >= end {
				if end < 0 {
					end = t - t%size + size
				}
				for t >= end {
					closeWindow()
				}
			}
			if p < most && t != lastEnd {
				continue
			}
			b := bid{auctions[i], p, bidders[i], t, slices.Clone(cols[4].Bytes(i))}
			if t == lastEnd && p == lastMost {
				edge = append(edge, b)
			}
			switch {
			case p > most:
				best, most = append(best[:0], b), p
			case p == most:
				best = append(best, b)
			}
		}
	}
	closeWindow()
	for _, b := range edge {
		out(b)
	}
	return s, r.spent, nil
}
