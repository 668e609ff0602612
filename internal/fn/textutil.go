package fn

import (
	"strconv"
	"strings"
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

// unistr evaluates Unicode escapes: \XXXX, \+XXXXXX, \uXXXX, \UXXXXXXXX and \\.
func unistr(s string) (string, error) {
	bad := pgerr.New(pgerr.SyntaxError, "invalid Unicode escape").
		WithHint(`Unicode escapes must be \XXXX, \+XXXXXX, \uXXXX, or \UXXXXXXXX.`)
	var b strings.Builder
	for i := 0; i < len(s); {
		if s[i] != '\\' {
			b.WriteByte(s[i])
			i++
			continue
		}
		i++
		if i < len(s) && s[i] == '\\' {
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
		if !utf8.ValidRune(rune(x)) || x > utf8.MaxRune {
			return "", pgerr.New(pgerr.InvalidParameterValue, "invalid Unicode code point: %0*X", n, x)
		}
		b.WriteRune(rune(x))
		i += n
	}
	return b.String(), nil
}
