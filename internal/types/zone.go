package types

import (
	"math"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	_ "time/tzdata" // zones must not depend on the machine

	"streamsql/internal/pgerr"
)

// Zone is a time zone. It is immutable and shared; nil is UTC.
type Zone struct {
	name string
	// periods are in order of their start; the first starts at the beginning of time.
	periods []zonePeriod
	// hint is the index of the period of the last look-up: rows come clustered in time.
	hint atomic.Int32
	// loc answers for times after the last computed period, where the zone still changes.
	loc   *time.Location
	after int64 // us; from here on loc is asked
	// abbrev is set for an abbreviation whose offset depends on the time: a local time is read with the offset that it had then.
	abbrev bool
}

type zonePeriod struct {
	start  int64 // us UTC, inclusive
	off    int32 // seconds east of UTC
	dst    bool
	abbrev string
}

// UTC is the zone UTC.
var UTC = fixedZone("UTC", "UTC", 0)

func fixedZone(name, abbrev string, off int) *Zone {
	return &Zone{name: name, periods: []zonePeriod{{start: NegInfinity, off: int32(off), abbrev: abbrev}}, after: PosInfinity}
}

var (
	zoneCache   sync.Map // lower-case name -> *Zone
	atZoneCache sync.Map // the same for AT TIME ZONE
	zoneNames   = sync.OnceValue(readZoneNames)
)

// LoadZone finds a zone as SET TIME ZONE does: by an IANA name (any case), or a
// POSIX specification such as EST5EDT or <+03>-3 (west is positive there), or hours east.
// An unknown name is 22023.
func LoadZone(name string) (*Zone, error) {
	key := strings.ToLower(name)
	if z, ok := zoneCache.Load(key); ok {
		return z.(*Zone), nil
	}
	var z *Zone
	if hours, err := strconv.ParseFloat(name, 64); err == nil && math.Abs(hours) < 168 {
		z = FixedZone(int(hours * 3600)) // a bare number is hours east here, unlike in POSIX
	} else {
		z = findZone(name, key)
	}
	if z == nil {
		return nil, errZone(name)
	}
	got, _ := zoneCache.LoadOrStore(key, z)
	return got.(*Zone), nil
}

// LoadZoneOrAbbrev finds a zone as AT TIME ZONE does: abbreviations (EST, CEST) go
// before zone names, and a number is POSIX (west is positive).
func LoadZoneOrAbbrev(name string) (*Zone, error) {
	key := strings.ToLower(name)
	if z, ok := atZoneCache.Load(key); ok {
		return z.(*Zone), nil
	}
	var z *Zone
	if z = changingAbbrev(key); z != nil {
	} else if a, ok := zoneAbbrevs[key]; ok {
		z = fixedZone(strings.ToUpper(name), strings.ToUpper(name), a.off)
	} else if z = findZone(name, key); z == nil {
		return nil, errZone(name)
	}
	got, _ := atZoneCache.LoadOrStore(key, z)
	return got.(*Zone), nil
}

func errZone(name string) error {
	return pgerr.New(pgerr.InvalidParameterValue, "time zone \"%s\" not recognized", name)
}

// FixedZone gives the zone seconds east of UTC, as SET TIME ZONE with a number or an interval makes it.
func FixedZone(seconds int) *Zone {
	abbrev := string(appendOffset(nil, seconds))
	return fixedZone("<"+abbrev+">"+string(appendOffset(nil, -seconds)), abbrev, seconds)
}

func findZone(name, key string) *Zone {
	switch key {
	case "utc", "gmt", "zulu", "uct":
		if key == "gmt" {
			return fixedZone("GMT", "GMT", 0)
		}
		if key == "utc" {
			return UTC
		}
	case "", "local":
		return nil
	}
	if exact, ok := zoneNames()[key]; ok {
		if loc, err := time.LoadLocation(exact); err == nil {
			return newZone(exact, loc)
		}
	}
	return posixZone(name)
}

// newZone lists the periods of loc up to 2200; Go's Location finds each by searching, a row at a time that is too dear.
func newZone(name string, loc *time.Location) *Zone {
	z := &Zone{name: name, loc: loc}
	t := time.Date(1700, 1, 1, 0, 0, 0, 0, time.UTC).In(loc)
	end := time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)
	start := NegInfinity
	for {
		abbrev, off := t.Zone()
		p := zonePeriod{start: start, off: int32(off), dst: t.IsDST(), abbrev: abbrev}
		// Bounds that follow from a rule also end where nothing changes (at the end of leap years).
		if n := len(z.periods); n == 0 || z.periods[n-1].off != p.off || z.periods[n-1].dst != p.dst || z.periods[n-1].abbrev != abbrev {
			z.periods = append(z.periods, p)
		}
		_, next := t.ZoneBounds()
		if next.IsZero() {
			z.after = PosInfinity
			return z
		}
		if !next.After(t) {
			t = t.AddDate(0, 0, 3)
		} else {
			t = next
		}
		start = t.UnixMicro()
		if t.After(end) {
			z.after = start
			return z
		}
	}
}

// Name gives the zone's name as SHOW TimeZone does.
func (z *Zone) Name() string {
	if z == nil {
		return "UTC"
	}
	return z.name
}

// find gives the period of an instant before z.after.
func (z *Zone) find(us int64) int {
	p := z.periods
	if i := int(z.hint.Load()); p[i].start <= us && (i+1 == len(p) || us < p[i+1].start) {
		return i
	}
	i := sort.Search(len(p), func(i int) bool { return p[i].start > us }) - 1
	i = max(i, 0)
	z.hint.Store(int32(i))
	return i
}

func (z *Zone) offset(us int64) int {
	if z == nil {
		return 0
	}
	if len(z.periods) == 1 && z.loc == nil {
		return int(z.periods[0].off)
	}
	if us >= z.after {
		_, off := time.UnixMicro(us).In(z.loc).Zone()
		return off
	}
	return int(z.periods[z.find(us)].off)
}

// Offset gives what holds at an instant (us since 1970 UTC): seconds east of UTC, whether it is daylight saving time, and the abbreviation.
func (z *Zone) Offset(utcMicros int64) (seconds int, isDST bool, abbrev string) {
	if z == nil {
		return 0, false, "UTC"
	}
	if utcMicros >= z.after && z.loc != nil {
		t := time.UnixMicro(utcMicros).In(z.loc)
		a, off := t.Zone()
		return off, t.IsDST(), a
	}
	p := &z.periods[z.find(utcMicros)]
	return int(p.off), p.dst, p.abbrev
}

// ToUTC takes a local time to the instant. A time that does not exist (the clock
// was put forward) is read with the offset before the change, a time that
// exists twice with the offset after it, as PostgreSQL does.
func (z *Zone) ToUTC(local int64) int64 {
	if z == nil {
		return local
	}
	if len(z.periods) == 1 && z.loc == nil {
		return local - int64(z.periods[0].off)*UsPerSecond
	}
	if z.abbrev {
		off, _, _ := z.Offset(z.instant(local))
		return local - int64(off)*UsPerSecond
	}
	return z.instant(local)
}

// instant is ToUTC of a zone whose offsets change.
func (z *Zone) instant(local int64) int64 {
	if local >= z.after-UsPerDay && z.loc != nil {
		return z.toUTCFar(local)
	}
	// Offsets are below a day, so a change matters only if it is the next one after a day before.
	i := z.find(max(local, NegInfinity+2*UsPerDay) - UsPerDay)
	before := local - int64(z.periods[i].off)*UsPerSecond
	if i+1 == len(z.periods) {
		return before
	}
	return choose(before, local-int64(z.periods[i+1].off)*UsPerSecond, z.periods[i+1].start)
}

func choose(before, after, boundary int64) int64 {
	switch {
	case before < boundary && after < boundary:
		return before
	case before > boundary && after >= boundary:
		return after
	case before > after:
		return before
	}
	return after
}

func (z *Zone) toUTCFar(local int64) int64 {
	t := time.UnixMicro(local - UsPerDay).In(z.loc)
	_, off := t.Zone()
	before := local - int64(off)*UsPerSecond
	_, next := t.ZoneBounds()
	if next.IsZero() {
		return before
	}
	_, off2 := next.In(z.loc).Zone()
	return choose(before, local-int64(off2)*UsPerSecond, next.UnixMicro())
}

// changingAbbrevs are the abbreviations whose offset has changed while they were used, with their zones.
var changingAbbrevs = map[string]string{"msk": "Europe/Moscow"}

// changingAbbrev gives the zone of such an abbreviation, nil for what is none.
func changingAbbrev(key string) *Zone {
	name, ok := changingAbbrevs[key]
	if !ok {
		return nil
	}
	if z, ok := atZoneCache.Load(key); ok {
		return z.(*Zone)
	}
	loc, err := time.LoadLocation(name)
	if err != nil {
		return nil
	}
	z := newZone(strings.ToUpper(key), loc)
	z.abbrev = true
	got, _ := atZoneCache.LoadOrStore(key, z)
	return got.(*Zone)
}

type zoneAbbrev struct {
	off int // seconds east
	dst bool
}

// zoneAbbrevs are the abbreviations that PostgreSQL's default set reads as fixed offsets.
var zoneAbbrevs = func() map[string]zoneAbbrev {
	m := map[string]zoneAbbrev{}
	add := func(list string, dst bool) {
		for _, f := range strings.Fields(list) {
			name, v, _ := strings.Cut(f, "=")
			neg := strings.HasPrefix(v, "-")
			v = strings.TrimPrefix(v, "-")
			h, mi, _ := strings.Cut(v, ":")
			off := atoiSmall(h)*3600 + atoiSmall(mi)*60
			if neg {
				off = -off
			}
			m[name] = zoneAbbrev{off, dst}
		}
	}
	add(`utc=0 uct=0 gmt=0 ut=0 z=0 zulu=0 wet=0 cet=1 met=1 mez=1 eet=2 msk=3 sast=2 eat=3 cat=2
		est=-5 cst=-6 mst=-7 pst=-8 akst=-9 hst=-10 ast=-4 nst=-3:30 nft=-3:30 sst=-11 chst=10
		ist=2 pkt=5 npt=5:45 bdt=6 ict=7 mmt=6:30 pht=8 hkt=8 sgt=8 jst=9 kst=9
		awst=8 acst=9:30 aest=10 nzst=12 nzt=12 fjt=12 tot=13 gft=-3 brt=-3 art=-3 clt=-4 cot=-5 pet=-5 bot=-4
		azot=-1 idle=12 idlw=-12 irt=3:30 aft=4:30 uzt=5 tjt=5 tmt=5 almt=6 kgt=6 yekt=5 omst=6 krat=7 novt=7 irkt=8 yakt=9 vlat=10 magt=11 pett=12
		fet=3 sct=4 mut=4 ret=4 iot=6 mvt=5 tft=5 wast=2 wat=1 ulat=8 cot=-5 gyt=-4 vet=-4 uyt=-3 fkt=-4 fnt=-2 galt=-6 gamt=-9 tvt=12 wakt=12 wft=12 chut=10 pont=11 kost=11 pgt=10 nut=-11 tkt=13 taht=-10 ckt=-10 mart=-9:30 mht=12 gilt=12 lint=14 phot=13 hst=-10 east=-6 easst=-5 dft=1 bt=3`, false)
	add(`west=1 cest=2 cetdst=2 mest=2 mesz=2 metdst=2 eest=3 eetdst=3 wetdst=1 bst=1 fwt=2 fst=1 msd=4 edt=-4 cdt=-5 mdt=-6 pdt=-7 akdt=-8 hdt=-9 adt=-3 ndt=-2:30
		idt=3 acdt=10:30 acsst=10:30 aedt=11 aesst=11 awsst=9 nzdt=13 brst=-2 clst=-3 kdt=10 azost=0 irkst=9 yekst=6 omsst=7 krast=8 yakst=10 vlast=11 magst=12 uyst=-2 pyst=-3 warst=-3 fkst=-3 sadt=10:30 uzst=6 amst=-3 amt=-4 pyt=-4 bortst=8`, true)
	m["amt"] = zoneAbbrev{-4 * 3600, false}
	m["pyt"] = zoneAbbrev{-4 * 3600, false}
	return m
}()

func atoiSmall(s string) int {
	n := 0
	for i := range len(s) {
		n = n*10 + int(s[i]-'0')
	}
	return n
}

// posixZone reads name offset [dst [offset]]: offsets count west, and a name may stand in angle brackets or be missing.
func posixZone(s string) *Zone {
	s = strings.ToUpper(s)
	rest := s
	word := func() (string, bool) {
		if strings.HasPrefix(rest, "<") {
			w, r, ok := strings.Cut(rest[1:], ">")
			rest = r
			return w, ok
		}
		i := strings.IndexAny(rest, "0123456789,+-")
		if i < 0 {
			i = len(rest)
		}
		w := rest[:i]
		rest = rest[i:]
		return w, true
	}
	std, ok := word()
	if !ok || rest == "" {
		return nil
	}
	west, r, ok := cutOffset(rest)
	if !ok {
		return nil
	}
	if rest = r; rest == "" {
		if std == "" {
			std = string(appendOffset(nil, -west))
		}
		return fixedZone(s, std, -west)
	}
	dst, ok := word()
	if !ok || dst == "" {
		return nil
	}
	dstWest := west - 3600
	if rest != "" {
		if dstWest, rest, ok = cutOffset(rest); !ok || rest != "" {
			return nil
		}
	}
	// A daylight zone without a rule follows that of the United States.
	return usRuleZone(s, std, dst, -west, -dstWest)
}

func usRuleZone(name, std, dst string, off, dstOff int) *Zone {
	z := &Zone{name: name, after: PosInfinity, periods: []zonePeriod{{start: NegInfinity, off: int32(off), abbrev: std}}}
	for y := int64(1970); y < 2200; y++ {
		start := DaysFromCivil(y, 3, 8)
		start += int64((7 - weekday(start)) % 7)
		end := DaysFromCivil(y, 11, 1)
		end += int64((7 - weekday(end)) % 7)
		z.periods = append(z.periods,
			zonePeriod{start*UsPerDay + 2*UsPerHour - int64(off)*UsPerSecond, int32(dstOff), true, dst},
			zonePeriod{end*UsPerDay + 2*UsPerHour - int64(dstOff)*UsPerSecond, int32(off), false, std})
	}
	return z
}

// cutOffset reads [+-]h[h][:mm[:ss]] at the start of s.
func cutOffset(s string) (sec int, rest string, ok bool) {
	neg := false
	if s[0] == '+' || s[0] == '-' {
		neg = s[0] == '-'
		s = s[1:]
	}
	unit := 3600
	for unit > 0 {
		i := 0
		for i < len(s) && i < 3 && s[i] >= '0' && s[i] <= '9' {
			i++
		}
		if i == 0 {
			return 0, s, false
		}
		n := atoiSmall(s[:i])
		if unit == 3600 && n > 167 || unit != 3600 && n > 59 {
			return 0, s, false
		}
		sec += n * unit
		s = s[i:]
		unit /= 60
		if !strings.HasPrefix(s, ":") {
			break
		}
		s = s[1:]
	}
	if neg {
		sec = -sec
	}
	return sec, s, true
}
