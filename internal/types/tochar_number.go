package types

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"streamsql/internal/pgerr"
)

// numFormat is a parsed number template.
type numFormat struct {
	toks                      []numTok
	pre, post                 int // digit positions before and after the point
	zeroAt                    int // digit position before the point from which zeros are shown, -1 none
	zeroEnd                   int // last position after the point that was written 0
	shift                     int // digits after V
	fm, point, br, eeee       bool
	roman, romanLower         bool
	sFirst, sLast, mi, pl, sg bool
}

type numTok struct {
	kind byte // 9 0 . , S M(MI) P(PL) G(SG) L T(TH) t B(PR) x(text) V
	text string
}

func errNumFormat(msg string, args ...any) *pgerr.Error {
	return pgerr.New(pgerr.SyntaxError, msg, args...)
}

func parseNumFormat(f string) (*numFormat, error) {
	n := &numFormat{zeroAt: -1, zeroEnd: 0}
	afterV := false
	anyDigit := false
	for i := 0; i < len(f); {
		rest := strings.ToUpper(f[i:min(len(f), i+4)])
		two := rest[:min(2, len(rest))]
		switch {
		case rest == "EEEE":
			if n.fm || n.mi || n.pl || n.sg || n.br || n.roman || n.shift > 0 || n.sFirst {
				return nil, errNumFormat("\"EEEE\" is incompatible with other formats").WithDetail("\"EEEE\" may only be used together with digit and decimal point patterns.")
			}
			n.eeee = true
			i += 4
			continue
		case two == "FM":
			n.fm = true
			i += 2
			continue
		case two == "MI":
			n.mi = true
			n.toks = append(n.toks, numTok{kind: 'M'})
			i += 2
			continue
		case two == "PL":
			n.pl = true
			n.toks = append(n.toks, numTok{kind: 'P'})
			i += 2
			continue
		case two == "SG":
			n.sg = true
			n.toks = append(n.toks, numTok{kind: 'G'})
			i += 2
			continue
		case two == "PR":
			if n.sFirst || n.sLast || n.mi || n.pl || n.sg {
				return nil, errNumFormat("cannot use \"PR\" and \"S\"/\"PL\"/\"MI\"/\"SG\" together")
			}
			n.br = true
			i += 2
			continue
		case two == "RN":
			n.roman = true
			n.romanLower = f[i] == 'r'
			i += 2
			continue
		case two == "TH":
			k := byte('T')
			if f[i] == 't' {
				k = 't'
			}
			n.toks = append(n.toks, numTok{kind: k})
			i += 2
			continue
		}
		switch c := f[i]; c {
		case '9', '0':
			if n.br {
				return nil, errNumFormat("\"9\" must be ahead of \"PR\"")
			}
			anyDigit = true
			switch {
			case afterV:
				n.shift++
			case n.point:
				n.post++
				if c == '0' {
					n.zeroEnd = n.post
				}
			default:
				if c == '0' && n.zeroAt < 0 {
					n.zeroAt = n.pre
				}
				n.pre++
			}
			n.toks = append(n.toks, numTok{kind: c})
		case '.', 'D', 'd':
			if n.point {
				return nil, errNumFormat("multiple decimal points")
			}
			if afterV {
				return nil, errNumFormat("cannot use \"V\" and decimal point together")
			}
			n.point = true
			n.toks = append(n.toks, numTok{kind: '.'})
		case ',', 'G', 'g':
			n.toks = append(n.toks, numTok{kind: ','})
		case 'V', 'v':
			if n.point {
				return nil, errNumFormat("cannot use \"V\" and decimal point together")
			}
			afterV = true
		case 'S', 's':
			if n.sFirst || n.sLast {
				return nil, errNumFormat("cannot use \"S\" twice")
			}
			if n.pl || n.mi || n.sg || n.br {
				return nil, errNumFormat("cannot use \"S\" and \"PL\"/\"MI\"/\"SG\"/\"PR\" together")
			}
			if anyDigit || n.point {
				n.sLast = true
			} else {
				n.sFirst = true
			}
			n.toks = append(n.toks, numTok{kind: 'S'})
		case 'B', 'b', 'C', 'c': // keywords that print nothing
		case 'L', 'l':
			n.toks = append(n.toks, numTok{kind: 'L'})
		case '"':
			i++
			var b strings.Builder
			for i < len(f) && f[i] != '"' {
				if f[i] == '\\' && i+1 < len(f) {
					i++
				}
				b.WriteByte(f[i])
				i++
			}
			n.toks = append(n.toks, numTok{'x', b.String()})
		case '\\':
			if i+1 < len(f) && f[i+1] == '"' {
				i++
			}
			n.toks = append(n.toks, numTok{'x', f[i : i+1]})
		default:
			n.toks = append(n.toks, numTok{'x', f[i : i+1]})
		}
		i++
	}
	n.point = n.point && n.post > 0 // a point without digits after it shows only between number signs
	return n, nil
}

// ToCharNumeric is to_char(numeric, text).
func ToCharNumeric(d Decimal, format string) (string, error) { return toCharNumber(d, nil, format) }

// ToCharFloat is to_char of a float with 6 or 15 significant digits, d being its decimal form: digits are rounded as C's
// printf rounds them, and the sign of what rounds to zero shows.
func ToCharFloat(f float64, d Decimal, digits int, format string) (string, error) {
	return toCharNumber(d, &floatChar{f, digits}, format)
}

type floatChar struct {
	f      float64
	digits int
}

// round gives the value to so many places.
func (c *floatChar) round(places, shift int) Decimal {
	f := c.f * math.Pow10(shift)
	whole := len(strconv.FormatFloat(math.Trunc(math.Abs(f)), 'f', 0, 64))
	d, err := ParseNumeric(strconv.FormatFloat(f, 'f', max(min(places, c.digits-whole), 0), 64))
	if err != nil {
		return Decimal{}
	}
	return d.Round(places)
}

func toCharNumber(d Decimal, float *floatChar, format string) (string, error) {
	n, err := parseNumFormat(format)
	if err != nil || format == "" {
		return "", err
	}
	if n.roman {
		switch {
		case d.kind == decNaN:
			return "", pgerr.New(pgerr.FeatureNotSupported, "cannot convert NaN to integer")
		case d.IsInf():
			return "", pgerr.New(pgerr.FeatureNotSupported, "cannot convert infinity to integer")
		}
		if float != nil {
			d = float.round(0, 0)
		}
		return n.romanText(d), nil
	}
	if n.eeee {
		if float != nil && d.kind == decFinite {
			s := strconv.FormatFloat(float.f, 'e', n.post, 64)
			if s[0] != '-' {
				s = " " + s
			}
			return s, nil
		}
		return n.scientific(d), nil
	}
	if n.shift > 0 && d.kind == decFinite {
		d = d.mulPow10(n.shift)
	}
	pre := n.pre + n.shift
	var ip, fp string
	neg := false
	switch {
	case d.kind == decFinite && float != nil:
		d = float.round(n.post, n.shift)
		neg = math.Signbit(float.f)
	case d.kind == decFinite:
		d = d.Round(n.post)
	}
	neg = neg || d.Sign() < 0
	ip, fp, _ = strings.Cut(d.Abs().String(), ".")
	over := len(ip) > pre
	if !over && d.kind == decNaN && slices.ContainsFunc(n.toks, func(t numTok) bool { return t.kind|0x20 == 't' }) {
		return "", pgerr.New(pgerr.InvalidTextRepresentation, "\"NaN\" is not a number")
	}
	if over {
		ip, fp = strings.Repeat("#", pre), strings.Repeat("#", n.post)
	}
	return n.layout(ip, fp, neg, over, pre), nil
}

// layout puts the digits into the template.
func (n *numFormat) layout(ip, fp string, neg, over bool, pre int) string {
	lead := pre - len(ip) // positions before the first digit
	first := lead
	if !over && ip == "0" && (n.post > 0 || n.point) && pre > 0 {
		first = pre // a zero before the point is shown by 0 only
	}
	if n.zeroAt >= 0 && n.zeroAt < first {
		first = n.zeroAt
	}
	if !n.point && first >= pre && pre > 0 {
		first = pre - 1
	}
	digits := strings.Repeat("0", max(lead, 0)) + ip
	// Under FM the fraction ends with its last digit that counts.
	keep := n.post
	if n.fm && !over {
		keep = len(strings.TrimRight(fp, "0"))
		keep = max(keep, n.zeroEnd)
	}
	if n.fm && first >= pre && keep == 0 && pre > 0 && !over {
		first = pre - 1
	}
	if fp == "" { // also NaN and infinities, which have no fraction
		keep = 0
	}
	implicit := !(n.sFirst || n.sLast || n.mi || n.sg || n.br)
	var out strings.Builder
	signDone := false
	sign := func() {
		if signDone {
			return
		}
		signDone = true
		switch {
		case n.sFirst && neg, implicit && neg:
			out.WriteByte('-')
		case n.sFirst:
			out.WriteByte('+')
		case n.br && neg:
			out.WriteByte('<')
		case (implicit || n.br) && !n.fm:
			out.WriteByte(' ')
		}
	}
	blank := func() {
		if !n.fm {
			out.WriteByte(' ')
		}
	}
	pos, fpos := 0, 0
	point := false
	for _, t := range n.toks {
		switch t.kind {
		case '9', '0':
			if point {
				if fpos < keep {
					out.WriteByte(fp[fpos])
				}
				fpos++
				break
			}
			if pos < first {
				blank()
			} else {
				sign()
				out.WriteByte(digits[pos])
			}
			pos++
		case '.':
			sign()
			point = true
			if fp != "" || over {
				out.WriteByte('.')
			}
		case ',':
			if pos <= first && !(pos == 0 && first == 0) || pos == 0 {
				if pos > first || pos == first && signDone {
					out.WriteByte(',')
				} else {
					blank()
				}
			} else {
				out.WriteByte(',')
			}
		case 'S':
			if n.sLast {
				if neg {
					out.WriteByte('-')
				} else {
					out.WriteByte('+')
				}
			}
		case 'M':
			if neg {
				out.WriteByte('-')
			} else {
				blank()
			}
		case 'P':
			if !neg {
				out.WriteByte('+')
			} else {
				blank()
			}
		case 'G':
			if neg {
				out.WriteByte('-')
			} else {
				out.WriteByte('+')
			}
		case 'L':
			out.WriteByte(' ')
		case 'T', 't':
			if !neg && !n.point && !over {
				last, _ := strconv.ParseInt(ip[max(0, len(ip)-2):], 10, 64)
				s := ordinal(last, t.kind)
				out.WriteString(s)
			}
		case 'x':
			out.WriteString(t.text)
		}
	}
	if n.br {
		if neg {
			out.WriteByte('>')
		} else if !n.fm {
			out.WriteByte(' ')
		}
	}
	return out.String()
}

func (n *numFormat) scientific(d Decimal) string {
	if d.kind != decFinite {
		return " " + strings.Repeat("#", n.pre) + "." + strings.Repeat("#", n.post+4)
	}
	lead := " "
	if d.Sign() < 0 {
		lead = "-"
	}
	a := d.Abs()
	exp := 0
	if !a.IsZero() {
		exp = a.digits() - 1 - int(a.scale) // before rounding, as PostgreSQL has it
	}
	m := divRound(a.mulPow10(max(-exp, 0)), NumericFromInt64(1).mulPow10(max(exp, 0)), n.post, true)
	s := m.String() + "e"
	if exp < 0 {
		s += "-"
		exp = -exp
	} else {
		s += "+"
	}
	return lead + s + string(append2(nil, exp%100))
}

func (n *numFormat) romanText(d Decimal) string {
	i, ok := d.Int64()
	s := strings.Repeat("#", 15)
	if ok && i >= 1 && i <= 3999 {
		var b strings.Builder
		for _, p := range [...]struct {
			v int64
			s string
		}{{1000, "M"}, {900, "CM"}, {500, "D"}, {400, "CD"}, {100, "C"}, {90, "XC"}, {50, "L"}, {40, "XL"}, {10, "X"}, {9, "IX"}, {5, "V"}, {4, "IV"}, {1, "I"}} {
			for i >= p.v {
				b.WriteString(p.s)
				i -= p.v
			}
		}
		s = b.String()
	}
	if n.romanLower {
		s = strings.ToLower(s)
	}
	if !n.fm {
		s = strings.Repeat(" ", max(15-len(s), 0)) + s
	}
	return s
}
