package nexmark

import "streamsql/internal/vec"

// Bids are 46 of 50 events, and what a benchmark reads: their columns are loops
// without calls through functions, and without branches on what was drawn, which
// no processor can predict.

// choose gives a where the condition is 1 and b where it is 0.
func choose(condition uint64, a, b int64) int64 {
	m := -int64(condition)
	return a&m | b&^m
}

// extend adds rows to an integer column and gives their slots.
func extend(v *vec.Vec, n int) []int64 {
	at := v.N
	v.Extend(n)
	return v.I64[at:v.N]
}

var bidColumns = map[string]column{
	"auction":   bidAuctions,
	"bidder":    bidBidders,
	"price":     bidPrices,
	"channel":   func(g *generator, events []int64, v *vec.Vec) { g.bidTexts(g.names, events, v) },
	"url":       func(g *generator, events []int64, v *vec.Vec) { g.bidTexts(g.urls, events, v) },
	"date_time": at,
	"extra":     bidExtras,
}

// bidAuctions draws the auction: every other time the hot one, else one of those in flight.
func bidAuctions(g *generator, events []int64, v *vec.Vec) {
	for i, out := 0, extend(v, len(events)); i < len(out); i++ {
		e := events[i]
		r := g.draw(e, drawAuction)
		last := auctionShare*(e/epochEvents) + auctionShare - 1
		least := max(last-inFlight, 0)
		next := least + below(again(r), last-least+1+idLead)
		out[i] = choose(r>>63, last/hotAuctions*hotAuctions, next) + firstID
	}
}

// bidBidders draws the bidder: three times of four the hot one, else one of the active people.
func bidBidders(g *generator, events []int64, v *vec.Vec) {
	for i, out := 0, extend(v, len(events)); i < len(out); i++ {
		e := events[i]
		r := g.draw(e, drawBidder)
		last := e / epochEvents
		out[i] = choose(r>>63|r>>62&1, last/hotPeople*hotPeople+1, nextPerson(e, again(r))) + firstID
	}
}

func bidPrices(g *generator, events []int64, v *vec.Vec) {
	for i, out := 0, extend(v, len(events)); i < len(out); i++ {
		out[i] = price(g.draw(events[i], drawPrice))
	}
}

// bidTexts appends texts of a list by channel: every other time one of the hot ones, which come first.
func (g *generator) bidTexts(list []string, events []int64, v *vec.Vec) {
	at, total := v.N, 0
	v.Extend(len(events))
	// The slots of the offsets hold the channels until the bytes are known.
	off := v.Off[at+1 : v.N+1]
	for i, e := range events {
		r := g.draw(e, drawChannel)
		x := again(r)
		c := choose(r>>63, below(x, hotChannels), hotChannels+below(x, channelCount))
		off[i] = int32(c)
		total += len(list[c])
	}
	data := v.DataTail(total)
	for i, c := range off {
		data = append(data, list[c]...)
		off[i] = int32(len(data))
	}
	v.Data = data
}

// bidFill is the filler of bids, whose other columns take about 32 bytes, and bidRoom what holds any of it.
var bidFill = fillerOf(32, bidExtra)

const bidRoom = 96

func bidExtras(g *generator, events []int64, v *vec.Vec) {
	at := v.N
	v.Extend(len(events))
	off := v.Off[at+1 : v.N+1]
	data := v.DataTail((len(events) + 1) * bidRoom)
	pos := len(data)
	data = data[:cap(data)]
	for i, e := range events {
		f := g.extra(e, bidFill)
		// Copying a fixed size, of which the next row overwrites what is too much, needs no call.
		*(*[bidRoom]byte)(data[pos:]) = *(*[bidRoom]byte)(f[:bidRoom])
		pos += len(f)
		off[i] = int32(pos)
	}
	v.Data = data[:pos]
}
