package fn

import (
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"streamsql/internal/pgerr"
)

func hexUint(x uint64) string { return strconv.FormatUint(x, 16) }

func normalizeText(_ *Ctx, s, form string) (string, error) {
	switch strings.ToUpper(form) {
	case "NFC":
		return norm.NFC.String(s), nil
	case "NFD":
		return norm.NFD.String(s), nil
	case "NFKC":
		return norm.NFKC.String(s), nil
	case "NFKD":
		return norm.NFKD.String(s), nil
	}
	return "", pgerr.New(pgerr.InvalidParameterValue, "invalid normalization form: %s", form)
}

func isNormalized(c *Ctx, s, form string) (bool, error) {
	t, err := normalizeText(c, s, form)
	return s == t, err
}

var errSurrogates = pgerr.New(pgerr.SyntaxError, "invalid Unicode surrogate pair")

// unistr evaluates Unicode escapes: \XXXX, \+XXXXXX, \uXXXX, \UXXXXXXXX and \\.
func unistr(s string) (string, error) {
	bad := pgerr.New(pgerr.SyntaxError, "invalid Unicode escape").
		WithHint(`Unicode escapes must be \XXXX, \+XXXXXX, \uXXXX, or \UXXXXXXXX.`)
	var b strings.Builder
	var high rune // the first half of a pair of surrogates
	for i := 0; i < len(s); {
		if s[i] != '\\' {
			b.WriteByte(s[i])
			i++
			continue
		}
		i++
		if i < len(s) && s[i] == '\\' {
			if high != 0 {
				return "", errSurrogates
			}
			b.WriteByte('\\')
			i++
			continue
		}
		n := 4
		if i < len(s) {
			switch s[i] {
			case '+':
				n, i = 6, i+1
			case 'u':
				i++
			case 'U':
				n, i = 8, i+1
			}
		}
		if i+n > len(s) {
			return "", bad
		}
		x, err := strconv.ParseUint(s[i:i+n], 16, 32)
		if err != nil {
			return "", bad
		}
		// Two escapes may be the halves of one character, of whatever form each is.
		if high != 0 || utf16.IsSurrogate(rune(x)) && x <= utf8.MaxRune {
			switch {
			case high == 0 && x < 0xDC00:
				high = rune(x)
				i += n
				if i == len(s) || s[i] != '\\' {
					return "", errSurrogates
				}
				continue
			case high == 0 || utf16.DecodeRune(high, rune(x)) == utf8.RuneError:
				return "", errSurrogates
			}
			x, high = uint64(utf16.DecodeRune(high, rune(x))), 0
		}
		if !utf8.ValidRune(rune(x)) || x > utf8.MaxRune {
			return "", pgerr.New(pgerr.InvalidParameterValue, "invalid Unicode code point: %0*X", n, x)
		}
		b.WriteRune(rune(x))
		i += n
	}
	return b.String(), nil
}
