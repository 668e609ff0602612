// Package nexmark is the source of the Nexmark benchmark: a stream of people,
// auctions and bids of an auction site, generated column by column.
package nexmark

import (
	"context"
	"encoding/binary"
	"strconv"
	"strings"
	"time"

	"streamsql/connector"
	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/internal/vec"
)

func itoa(i int64) string { return strconv.FormatInt(i, 10) }

// Connector is the nexmark connector.
type Connector struct{}

// Name implements connector.Connector.
func (Connector) Name() string { return "nexmark" }

// Reach says that the connector touches nothing: the events are made up.
func (Connector) Reach() connector.Reach { return connector.ReachNothing }

// Options implements connector.Connector.
func (Connector) Options() []connector.OptionSpec {
	return []connector.OptionSpec{
		{Name: "table", Doc: "person, auction or bid", Required: true},
		{Name: "rate", Doc: "events of all three kinds a second of wall time; 0 is as fast as possible", Default: "0"},
		{Name: "events", Doc: "how many events of all three kinds there are; 0 is without end", Default: "0"},
		{Name: "event_rate", Doc: "events a second of event time", Default: "rate, or 10000 where that is 0"},
		{Name: "seed", Doc: "another seed gives another stream", Default: "0"},
	}
}

// base is the event time of the first event, 2015-07-15 00:00:00 UTC.
const base = 1436918400 * int64(1_000_000)

var tables = map[string][]vec.Field{
	"person": {{Name: "id", Type: types.Int8}, {Name: "name", Type: types.Varchar}, {Name: "email_address", Type: types.Varchar},
		{Name: "credit_card", Type: types.Varchar}, {Name: "city", Type: types.Varchar}, {Name: "state", Type: types.Varchar},
		{Name: "date_time", Type: types.Timestamp}, {Name: "extra", Type: types.Varchar}},
	"auction": {{Name: "id", Type: types.Int8}, {Name: "item_name", Type: types.Varchar}, {Name: "description", Type: types.Varchar},
		{Name: "initial_bid", Type: types.Int8}, {Name: "reserve", Type: types.Int8}, {Name: "date_time", Type: types.Timestamp},
		{Name: "expires", Type: types.Timestamp}, {Name: "seller", Type: types.Int8}, {Name: "category", Type: types.Int8},
		{Name: "extra", Type: types.Varchar}},
	"bid": {{Name: "auction", Type: types.Int8}, {Name: "bidder", Type: types.Int8}, {Name: "price", Type: types.Int8},
		{Name: "channel", Type: types.Varchar}, {Name: "url", Type: types.Varchar}, {Name: "date_time", Type: types.Timestamp},
		{Name: "extra", Type: types.Varchar}},
}

type settings struct {
	table           string
	rate, eventRate float64
	events, seed    int64
}

func parse(options map[string]string) (settings, error) {
	s := settings{table: strings.ToLower(options["table"])}
	if tables[s.table] == nil {
		if s.table == "" {
			return s, pgerr.New(pgerr.InvalidParameterValue, "option \"table\" is missing").WithHint("It is person, auction or bid.")
		}
		return s, pgerr.New(pgerr.InvalidParameterValue, "invalid value for option \"table\": \"%s\"", options["table"]).WithHint("It is person, auction or bid.")
	}
	number := func(name string) (float64, error) {
		v, ok := options[name]
		if !ok {
			return 0, nil
		}
		x, err := strconv.ParseFloat(v, 64)
		if err != nil || !(x >= 0) || x > 1e15 {
			return 0, pgerr.New(pgerr.InvalidParameterValue, "invalid value for option \"%s\": \"%s\"", name, v).WithHint("It is a number, 0 or more.")
		}
		return x, nil
	}
	var err error
	var events, seed float64
	if s.rate, err = number("rate"); err != nil {
		return s, err
	}
	if events, err = number("events"); err != nil {
		return s, err
	}
	if seed, err = number("seed"); err != nil {
		return s, err
	}
	if s.eventRate, err = number("event_rate"); err != nil {
		return s, err
	}
	s.events, s.seed = int64(events), int64(seed)
	if s.eventRate == 0 {
		if s.eventRate = s.rate; s.eventRate == 0 {
			s.eventRate = 10000
		}
	}
	return s, nil
}

// Check implements connector.Connector.
func (Connector) Check(cfg *connector.Config) error {
	s, err := parse(cfg.Options)
	if err != nil {
		return err
	}
	for _, c := range cfg.Columns {
		i := vec.NewSchema(tables[s.table]...).Index(c.Name)
		if i < 0 {
			return pgerr.New(pgerr.UndefinedColumn, "column \"%s\" does not exist in the nexmark table %s", c.Name, s.table).
				WithHint("Leave the columns out to get them all.")
		}
		if want := tables[s.table][i].Type; want.Kind() != c.Type.Kind() {
			return pgerr.New(pgerr.DatatypeMismatch, "column \"%s\" is of type %s but the nexmark table %s has type %s", c.Name, c.Type, s.table, want)
		}
	}
	return nil
}

// Infer implements connector.Connector.
func (Connector) Infer(_ context.Context, options map[string]string) ([]vec.Field, error) {
	s, err := parse(options)
	return tables[s.table], err
}

// Bounded implements connector.Connector.
func (Connector) Bounded(options map[string]string) bool {
	s, err := parse(options)
	return err == nil && s.events > 0
}

// Open implements connector.Connector.
func (Connector) Open(_ context.Context, cfg *connector.Config, at connector.Offset) (connector.Source, error) {
	s, err := parse(cfg.Options)
	if err != nil {
		return nil, err
	}
	src := &source{settings: s, g: newGenerator(uint64(s.seed), base, s.eventRate)}
	for _, p := range cfg.Project {
		src.columns = append(src.columns, columns[s.table][cfg.Columns[p].Name])
	}
	switch s.table {
	case "person":
		src.first, src.share = 0, personShare
	case "auction":
		src.first, src.share = personShare, auctionShare
	default:
		src.first, src.share = personShare+auctionShare, bidShare
	}
	if at != nil {
		if len(at) != 8 {
			return nil, pgerr.New(pgerr.DataCorrupted, "offset of a nexmark source has %d bytes, not 8", len(at))
		}
		src.row = int64(binary.LittleEndian.Uint64(at))
	}
	if cfg.Replay {
		src.rate = 0
	}
	src.started = time.Now()
	src.startEvent = src.event(src.row)
	return src, nil
}

type source struct {
	settings
	g            *generator
	columns      []column
	first, share int64 // places of the table's events among the 50 of an epoch
	row          int64 // rows of the table given so far
	started      time.Time
	startEvent   int64
	ids          []int64
}

// event gives the number of the event that is row i of the table.
func (s *source) event(i int64) int64 { return i/s.share*epochEvents + s.first + i%s.share }

// rows gives the number of rows of the table among the first n events.
func (s *source) rows(n int64) int64 {
	return n/epochEvents*s.share + min(max(n%epochEvents-s.first, 0), s.share)
}

// Partitions implements connector.Source.
func (s *source) Partitions() int { return 1 }

// Offset implements connector.Source.
func (s *source) Offset() connector.Offset {
	return binary.LittleEndian.AppendUint64(nil, uint64(s.row))
}

// Close implements connector.Source.
func (s *source) Close() error { return nil }

// Poll implements connector.Source.
func (s *source) Poll(_ context.Context, dst *vec.Builder, most int) (connector.Polled, error) {
	n := int64(most)
	status := connector.More
	var wait int64
	if s.rate > 0 {
		due := s.startEvent + int64(time.Since(s.started).Seconds()*s.rate)
		if ready := s.rows(due) - s.row; ready < n {
			n, status = max(ready, 0), connector.Idle
			wait = min(int64(1e6/s.rate*float64(epochEvents)/float64(s.share))+1, 10_000)
			wait = max(wait, 1000)
		}
	}
	if s.events > 0 {
		if left := s.rows(s.events) - s.row; left <= n {
			n, status, wait = left, connector.End, 0
		}
	}
	if n > 0 {
		s.fill(dst, int(n))
	}
	return connector.Polled{Status: status, Wait: wait}, nil
}

func (s *source) fill(dst *vec.Builder, n int) {
	if cap(s.ids) < n {
		s.ids = make([]int64, n)
	}
	ids := s.ids[:n]
	epoch, place := s.row/s.share*epochEvents+s.first, s.row%s.share
	for i := range ids {
		ids[i] = epoch + place
		if place++; place == s.share {
			place, epoch = 0, epoch+epochEvents
		}
	}
	for c := range dst.Cols {
		s.columns[c](s.g, ids, &dst.Cols[c])
	}
	if len(dst.Cols) == 0 {
		for range ids {
			dst.AppendOp(vec.Insert)
		}
	}
	s.row += int64(n)
}

// column appends a column's values for some events.
type column func(g *generator, events []int64, v *vec.Vec)

func ints(f func(g *generator, e int64) int64) column {
	return func(g *generator, events []int64, v *vec.Vec) {
		at := v.N
		v.Extend(len(events))
		out := v.I64[at:v.N]
		for i, e := range events {
			out[i] = f(g, e)
		}
	}
}

func texts(f func(dst []byte, g *generator, e int64) []byte) column {
	return func(g *generator, events []int64, v *vec.Vec) {
		for _, e := range events {
			v.EndBytes(f(v.DataTail(128), g, e))
		}
	}
}

func at(g *generator, events []int64, v *vec.Vec) {
	from := v.N
	v.Extend(len(events))
	out := v.I64[from:v.N]
	for i, e := range events {
		out[i] = g.time(e)
	}
}

func oneOf(field uint64, list ...string) column {
	return texts(func(dst []byte, g *generator, e int64) []byte {
		return append(dst, list[below(g.draw(e, field), int64(len(list)))]...)
	})
}

var firstNames = []string{"Peter", "Paul", "Luke", "John", "Saul", "Vicky", "Kate", "Julie", "Sarah", "Deiter", "Walter"}
var lastNames = []string{"Shultz", "Abrams", "Spencer", "White", "Bartels", "Walton", "Smith", "Jones", "Noris"}

// extraAfter appends the filler of a row whose other columns take about cur bytes.
func extraAfter(cur, avg int) column {
	f := fillerOf(cur, avg)
	return texts(func(dst []byte, g *generator, e int64) []byte { return append(dst, g.extra(e, f)...) })
}

var columns = map[string]map[string]column{
	"bid": bidColumns,
	"auction": {
		"id":        ints(func(_ *generator, e int64) int64 { return lastAuction(e) + firstID }),
		"item_name": texts(func(dst []byte, g *generator, e int64) []byte { return text(dst, g.draw(e, drawItem), 20, ' ') }),
		"description": texts(func(dst []byte, g *generator, e int64) []byte {
			return text(dst, g.draw(e, drawDescription), 100, ' ')
		}),
		"initial_bid": ints(func(g *generator, e int64) int64 { return g.bidPrice(e) }),
		"reserve":     ints(func(g *generator, e int64) int64 { return g.bidPrice(e) + price(g.draw(e, drawReserve)) }),
		"date_time":   at,
		"expires":     ints((*generator).auctionExpires),
		"seller":      ints((*generator).auctionSeller),
		"category":    ints(func(g *generator, e int64) int64 { return firstCategory + below(g.draw(e, drawCategory), categories) }),
		"extra":       extraAfter(8*7+11+51, auctionExtra),
	},
	"person": {
		"id": ints(func(_ *generator, e int64) int64 { return lastPerson(e) + firstID }),
		"name": texts(func(dst []byte, g *generator, e int64) []byte {
			r := g.draw(e, drawName)
			dst = append(dst, firstNames[below(r, int64(len(firstNames)))]...)
			dst = append(dst, ' ')
			return append(dst, lastNames[below(again(r), int64(len(lastNames)))]...)
		}),
		"email_address": texts(func(dst []byte, g *generator, e int64) []byte {
			r := g.draw(e, drawEmail)
			dst = append(text(dst, r, 7, '_'), '@')
			return append(text(dst, again(r), 5, '_'), ".com"...)
		}),
		"credit_card": texts(func(dst []byte, g *generator, e int64) []byte {
			r := g.draw(e, drawCard)
			for i := range 4 {
				if i > 0 {
					dst = append(dst, ' ')
				}
				n := below(r, 10000)
				r = again(r)
				dst = append(dst, byte('0'+n/1000), byte('0'+n/100%10), byte('0'+n/10%10), byte('0'+n%10))
			}
			return dst
		}),
		"city": oneOf(drawCity, "Phoenix", "Los Angeles", "San Francisco", "Boise", "Portland", "Bend", "Redmond", "Seattle", "Kent", "Cheyenne"),
		// Upper case, as in Flink's generator.
		"state":     oneOf(drawState, "AZ", "CA", "ID", "OR", "WA", "WY"),
		"date_time": at,
		"extra":     extraAfter(8+12+15+19+8+2, personExtra),
	},
}
