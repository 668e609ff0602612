package nexmark

import (
	"math"
	"math/bits"
)

// The generator follows the facts that the public Nexmark generators agree on:
// of 50 events one is a person, three are auctions, 46 are bids; ids, hot
// sellers, hot auctions and hot bidders are functions of the event's number.
// Every value is drawn from the seed, the event's number and the field alone, so
// that any slice of the stream can be made again, and columns that a query does
// not need cost nothing.

const (
	personShare  = 1
	auctionShare = 3
	epochEvents  = 50
	bidShare     = epochEvents - personShare - auctionShare

	firstID        = 1000
	activePeople   = 1000
	idLead         = 10
	inFlight       = 100
	hotAuctions    = 100
	hotPeople      = 100
	firstCategory  = 10
	categories     = 5
	hotChannels    = 4
	channelCount   = 10000
	auctionsAheadN = 1666 // events until the auctions in flight are made, see expires

	personExtra  = 200
	auctionExtra = 500
	bidExtra     = 100

	// poolSize is how many places filler is cut at, poolTail the most that is cut. The pool is small enough to stay in the processor's cache.
	poolSize = 1 << 15
	poolTail = 1024
)

// Fields that values are drawn for.
const (
	drawAuction = iota + 1
	drawBidder
	drawPrice
	drawChannel
	drawExtra
	drawSeller
	drawCategory
	drawReserve
	drawExpires
	drawName
	drawEmail
	drawCard
	drawCity
	drawState
	drawItem
	drawDescription
)

// generator draws values of one stream.
type generator struct {
	seed    uint64
	base    int64   // event time of event 0, microseconds
	delayUS float64 // event time between events, microseconds
	delay   int64   // the same where it is a whole number, else 0
	pool    []byte  // letters that extra is cut from
	urls    []string
	names   []string // of channels
}

const golden = 0x9E3779B97F4A7C15

func mix(z uint64) uint64 {
	z = (z ^ z>>30) * 0xBF58476D1CE4E5B9
	z = (z ^ z>>27) * 0x94D049BB133111EB
	return z ^ z>>31
}

// draw gives 64 random bits for a field of an event.
func (g *generator) draw(event int64, field uint64) uint64 {
	return mix(g.seed + uint64(event)*golden + field*0xD1B54A32D192ED03)
}

// below scales random bits to [0, n).
func below(r uint64, n int64) int64 {
	hi, _ := bits.Mul64(r, uint64(n))
	return int64(hi)
}

// again gives a second, independent draw from the first.
func again(r uint64) uint64 { return mix(r + golden) }

// powers[i] is 100 * 10^(6*i/4096), between which prices are interpolated.
var powers = func() (p [4097]float64) {
	for i := range p {
		p[i] = 100 * math.Pow(10, 6*float64(i)/4096)
	}
	return
}()

// price draws from 100 to 1e8, log-uniform.
func price(r uint64) int64 {
	i := r >> 52
	f := float64(r<<12>>12) / (1 << 52)
	return int64(powers[i] + (powers[i+1]-powers[i])*f + 0.5)
}

// time gives the event time of an event: whole milliseconds at a fixed rate.
func (g *generator) time(event int64) int64 {
	if g.delay > 0 {
		return g.base + event*g.delay/1000*1000
	}
	return g.base + int64(float64(event)*g.delayUS)/1000*1000
}

func lastPerson(e int64) int64 { return e / epochEvents }

func lastAuction(e int64) int64 {
	epoch, r := e/epochEvents, e%epochEvents
	switch {
	case r < personShare:
		return max(auctionShare*(epoch-1)+auctionShare-1, 0)
	case r < personShare+auctionShare:
		return auctionShare*epoch + r - personShare
	}
	return auctionShare*epoch + auctionShare - 1
}

// nextPerson draws one of the active people, or one who is to come soon.
func nextPerson(e int64, r uint64) int64 {
	people := lastPerson(e) + 1
	active := min(people, activePeople)
	return people - active + below(r, active+idLead)
}

func (g *generator) bidPrice(e int64) int64 { return price(g.draw(e, drawPrice)) }

// filler says how long the filler of a row is: from least up to, not including, least+spread bytes.
type filler struct{ least, spread int }

// fillerOf gives the filler of rows of about avg bytes whose other columns take about cur.
func fillerOf(cur, avg int) filler {
	d := max(avg-cur, 0)
	delta := int(math.Round(float64(d) * 0.2))
	return filler{d - delta, 2 * delta}
}

// extra cuts filler for an event out of the pool. One draw gives both length and place: its high and its low bits.
func (g *generator) extra(e int64, f filler) []byte {
	r := g.draw(e, drawExtra)
	n := f.least + int(below(r, int64(f.spread)))
	at := int(r % poolSize)
	return g.pool[at : at+n]
}

func (g *generator) auctionSeller(e int64) int64 {
	r := g.draw(e, drawSeller)
	if below(r, 4) > 0 {
		return lastPerson(e)/hotPeople*hotPeople + firstID
	}
	return nextPerson(e, again(r)) + firstID
}

func (g *generator) auctionExpires(e int64) int64 {
	ahead := (g.time(e+auctionsAheadN) - g.time(e)) / 1000
	return g.time(e) + (1+below(g.draw(e, drawExpires), max(2*ahead, 1)))*1000
}

// text appends a string of up to limit letters in which c stands at every 13th place on average.
func text(dst []byte, r uint64, limit int, c byte) []byte {
	n := 3 + int(below(r, int64(limit-3)))
	from := len(dst)
	for i := range n {
		if i%8 == 0 {
			r = again(r)
		}
		b := byte(r >> (8 * (i % 8)))
		if b < 20 { // 20/256 is about 1/13
			dst = append(dst, c)
		} else {
			dst = append(dst, 'a'+byte(uint16(b-20)*26/236))
		}
	}
	to := len(dst)
	for to > from && dst[to-1] == ' ' {
		to--
	}
	for from < to && dst[from] == ' ' {
		copy(dst[from:], dst[from+1:to])
		to--
	}
	return dst[:to]
}

func newGenerator(seed uint64, base int64, eventRate float64) *generator {
	g := &generator{seed: mix(seed + golden), base: base, delayUS: 1e6 / eventRate}
	if whole := int64(g.delayUS); float64(whole) == g.delayUS {
		g.delay = whole
	}
	g.pool = make([]byte, poolSize+poolTail)
	r := g.seed
	for i := range g.pool {
		if i%8 == 0 {
			r = again(r)
		}
		g.pool[i] = 'a' + byte(uint16(byte(r>>(8*(i%8))))*26>>8)
	}
	g.names = append(g.names, "Google", "Facebook", "Baidu", "Apple")
	for i := range hotChannels {
		g.urls = append(g.urls, g.url(int64(-1-i)))
	}
	for i := range int64(channelCount) {
		g.names = append(g.names, "channel-"+itoa(i))
		u := g.url(i)
		if below(g.draw(i, drawChannel+1000), 10) > 0 {
			id := int64(int32(bits.Reverse32(uint32(i))))
			if id < 0 {
				id = -id
			}
			u += "&channel_id=" + itoa(id)
		}
		g.urls = append(g.urls, u)
	}
	return g
}

func (g *generator) url(i int64) string {
	b := []byte("https://www.nexmark.com/")
	for k := range uint64(3) {
		b = text(b, g.draw(i, drawChannel+2000+k), 5, '_')
		b = append(b, '/')
	}
	return string(append(b, "item.htm?query=1"...))
}
