package scram

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/bidi"
	"golang.org/x/text/unicode/norm"
)

// Prepare is SASLprep (RFC 4013) as PostgreSQL applies it: a password that is not UTF-8, or that SASLprep forbids, stays as it is, since
// PostgreSQL has never refused one.
func Prepare(password string) string {
	ascii := true
	for i := range len(password) {
		ascii = ascii && password[i] >= 0x20 && password[i] < 0x7f
	}
	if ascii || !utf8.ValidString(password) {
		return password
	}
	mapped := strings.Map(func(r rune) rune {
		switch {
		case toNothing(r):
			return -1
		case r != ' ' && nonASCIISpace(r):
			return ' '
		}
		return r
	}, password)
	out := norm.NFKC.String(mapped)
	if out == "" || forbidden(out) {
		return password
	}
	return out
}

// toNothing are the characters of table B.1 of RFC 3454.
func toNothing(r rune) bool {
	switch {
	case r == 0xAD, r == 0x34F, r == 0x1806, r >= 0x180B && r <= 0x180D, r >= 0x200B && r <= 0x200D, r == 0x2060, r >= 0xFE00 && r <= 0xFE0F, r == 0xFEFF:
		return true
	}
	return false
}

// nonASCIISpace are those of table C.1.2.
func nonASCIISpace(r rune) bool {
	return r > 0x7f && r != 0x2028 && r != 0x2029 && unicode.Is(unicode.Zs, r)
}

// forbidden reports what RFC 4013 refuses: control, private and unassigned characters, and text of mixed direction.
func forbidden(s string) bool {
	var leftToRight, rightToLeft bool
	for _, r := range s {
		switch {
		case unicode.Is(unicode.Cc, r), unicode.Is(unicode.Co, r), unicode.Is(unicode.Cs, r), nonASCIISpace(r), r >= 0xFFF9 && r <= 0xFFFD,
			r&0xFFFE == 0xFFFE, r >= 0xFDD0 && r <= 0xFDEF, r >= 0x2FF0 && r <= 0x2FFB, r >= 0x200E && r <= 0x200F, r >= 0x202A && r <= 0x202E,
			r >= 0x206A && r <= 0x206F, r == 0x2028, r == 0x2029, r >= 0x2061 && r <= 0x2063, r == 0x6DD, r == 0x70F, r == 0x180E, r == 0x340, r == 0x341,
			r >= 0x1D173 && r <= 0x1D17A, r == 0xE0001, r >= 0xE0020 && r <= 0xE007F:
			return true
		case !unicode.In(r, unicode.L, unicode.M, unicode.N, unicode.P, unicode.S, unicode.Z, unicode.Cf):
			return true // unassigned
		}
		p, _ := bidi.LookupRune(r)
		switch p.Class() {
		case bidi.R, bidi.AL:
			rightToLeft = true
		case bidi.L:
			leftToRight = true
		}
	}
	if !rightToLeft {
		return false
	}
	first, _ := utf8.DecodeRuneInString(s)
	last, _ := utf8.DecodeLastRuneInString(s)
	isRight := func(r rune) bool {
		p, _ := bidi.LookupRune(r)
		return p.Class() == bidi.R || p.Class() == bidi.AL
	}
	return leftToRight || !isRight(first) || !isRight(last)
}
