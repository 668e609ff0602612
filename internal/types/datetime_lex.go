package types

import "strings"

// Tokens of date and time input, as PostgreSQL's rules split it.
type dtKind byte

const (
	dtNumber dtKind = iota // digits, perhaps with one point
	dtDate                 // parts joined by - / or .
	dtTime                 // digits with colons
	dtZone                 // + or - and digits
	dtWord
	dtSpecial // + or - and letters
)

type dtToken struct {
	kind dtKind
	s    string // words are in lower case
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
func isAlpha(c byte) bool { c |= 0x20; return c >= 'a' && c <= 'z' }
func isSpace(c byte) bool { return strings.IndexByte(spaces, c) >= 0 }

// lexDatetime splits s; ok is false for characters that no date holds, or too many tokens.
func lexDatetime(s string, buf []dtToken) (toks []dtToken, ok bool) {
	toks = buf
	i := 0
	for i < len(s) {
		c := s[i]
		if c >= 0x80 || len(toks) >= 25 {
			return nil, false
		}
		start := i
		switch {
		case isSpace(c):
			i++
			continue
		case isDigit(c):
			i = skipDigits(s, i)
			k := dtNumber
			switch {
			case i < len(s) && s[i] == ':':
				k = dtTime
				for i < len(s) && (isDigit(s[i]) || s[i] == ':' || s[i] == '.') {
					i++
				}
			case i < len(s) && (s[i] == '-' || s[i] == '/' || s[i] == '.'):
				delim := s[i]
				i++
				if i < len(s) && isDigit(s[i]) {
					k = dtNumber
					if delim != '.' {
						k = dtDate
					}
					i = skipDigits(s, i)
					if i < len(s) && s[i] == delim {
						k = dtDate
						i++
						for i < len(s) && (isDigit(s[i]) || s[i] == delim || isAlpha(s[i]) && delim != '.') {
							if isAlpha(s[i]) && isDigit(s[i-1]) { // 2020-01-01T00:00:00
								break
							}
							i++
						}
					}
				} else if i < len(s) && isAlpha(s[i]) {
					k = dtDate
					for i < len(s) && (isDigit(s[i]) || isAlpha(s[i]) || s[i] == delim) {
						i++
					}
				} else if delim != '.' {
					k = dtDate
				}
			}
			toks = append(toks, dtToken{k, strings.ToLower(s[start:i])})
		case c == '.' && i+1 < len(s) && isDigit(s[i+1]):
			i = skipDigits(s, i+1)
			toks = append(toks, dtToken{dtNumber, s[start:i]})
		case isAlpha(c):
			for i < len(s) && isAlpha(s[i]) {
				i++
			}
			w := strings.ToLower(s[start:i])
			k := dtWord
			if i < len(s) {
				_, month := monthByName[w]
				switch {
				case month && (s[i] == '-' || s[i] == '/' || s[i] == '.') && i+1 < len(s) && isDigit(s[i+1]):
					k = dtDate
					delim := s[i]
					for i < len(s) && (isDigit(s[i]) || s[i] == delim) {
						i++
					}
				case s[i] == '/' || s[i] == '_':
					i = skipZoneName(s, i)
				case len(w) >= 3 && !month && (isDigit(s[i]) || (s[i] == '+' || s[i] == '-') && i+1 < len(s) && isDigit(s[i+1])):
					// EST5EDT, PST-03:00; but a unit glued to a sign or number is not ours to judge.
					j := skipZoneName(s, i)
					for j < len(s) && (isDigit(s[j]) || s[j] == ':' || (s[j] == '+' || s[j] == '-') && j == i) {
						j++
					}
					if len(w) <= 5 && j > i && posixZone(s[start:j]) != nil {
						i = j
					}
				}
			}
			toks = append(toks, dtToken{k, strings.ToLower(s[start:i])})
		case c == '+' || c == '-':
			i++
			for i < len(s) && isSpace(s[i]) {
				i++
			}
			switch {
			case i < len(s) && isDigit(s[i]):
				at := i
				for i < len(s) && (isDigit(s[i]) || s[i] == ':' || s[i] == '.' || s[i] == '-') {
					i++
				}
				toks = append(toks, dtToken{dtZone, string(c) + s[at:i]})
			case i < len(s) && isAlpha(s[i]):
				at := i
				for i < len(s) && isAlpha(s[i]) {
					i++
				}
				toks = append(toks, dtToken{dtSpecial, string(c) + strings.ToLower(s[at:i])})
			default:
				return nil, false
			}
		case c > 0x20 && c < 0x7f: // other punctuation only separates
			i++
		default:
			return nil, false
		}
	}
	return toks, true
}

func skipDigits(s string, i int) int {
	for i < len(s) && isDigit(s[i]) {
		i++
	}
	return i
}

func skipZoneName(s string, i int) int {
	for i < len(s) && (isAlpha(s[i]) || isDigit(s[i]) || strings.IndexByte("/_+-", s[i]) >= 0) {
		i++
	}
	return i
}

var monthByName = map[string]int{
	"jan": 1, "january": 1, "feb": 2, "february": 2, "mar": 3, "march": 3, "apr": 4, "april": 4, "may": 5,
	"jun": 6, "june": 6, "jul": 7, "july": 7, "aug": 8, "august": 8, "sep": 9, "sept": 9, "september": 9,
	"oct": 10, "october": 10, "nov": 11, "november": 11, "dec": 12, "december": 12,
}

var dayNames = map[string]bool{
	"sun": true, "sunday": true, "mon": true, "monday": true, "tue": true, "tues": true, "tuesday": true,
	"wed": true, "weds": true, "wednesday": true, "thu": true, "thur": true, "thurs": true, "thursday": true,
	"fri": true, "friday": true, "sat": true, "saturday": true,
}
