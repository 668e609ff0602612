package fn

import "strings"

// advancedRegex writes an extended or basic regular expression as the advanced one that means the same. Neither has escapes for classes and
// characters; basic ones have groups and bounds with backslashes, and no alternatives.
func advancedRegex(p string, basic bool) (string, error) {
	var b strings.Builder
	b.WriteString("(?:)") // what follows is not taken for embedded options
	start := true         // of the expression or of a group, where * and ^ are told apart
	for i := 0; i < len(p); i++ {
		c := p[i]
		first := start
		start = false
		switch {
		case c == '[':
			j := bracketEnd(p, i)
			b.WriteString(strings.ReplaceAll(p[i:j], `\`, `\\`))
			i = j - 1
		case c == '\\' && i+1 == len(p):
			return "", errRegex("invalid escape \\ sequence")
		case c == '\\':
			i++
			switch c = p[i]; {
			case basic && strings.IndexByte("(){}", c) >= 0:
				b.WriteByte(c)
				start = c == '('
			case basic && c == '<':
				b.WriteString("[[:<:]]")
			case basic && c == '>':
				b.WriteString("[[:>:]]")
			case basic && c >= '1' && c <= '9':
				b.WriteString(p[i-1 : i+1])
			case isAlnumByte(c):
				b.WriteByte(c)
			case c < 0x80:
				b.WriteString(p[i-1 : i+1])
			default:
				b.WriteByte(c)
			}
		case !basic && c == '(' && i+1 < len(p) && p[i+1] == '?':
			return "", errRegex("quantifier operand invalid")
		case basic && strings.IndexByte("(){}|+?", c) >= 0,
			basic && c == '*' && first,
			basic && c == '^' && !first,
			basic && c == '$' && i+1 < len(p) && !strings.HasPrefix(p[i+1:], `\)`):
			b.WriteByte('\\')
			b.WriteByte(c)
		default:
			b.WriteByte(c)
			start = basic && c == '^' && first || !basic && c == '('
		}
	}
	return b.String(), nil
}

// bracketEnd gives where the bracket expression that begins at i ends.
func bracketEnd(p string, i int) int {
	j := i + 1
	if j < len(p) && p[j] == '^' {
		j++
	}
	if j < len(p) && p[j] == ']' {
		j++
	}
	for ; j < len(p); j++ {
		switch {
		case p[j] == ']':
			return j + 1
		case p[j] == '[' && j+1 < len(p) && strings.IndexByte(".=:", p[j+1]) >= 0:
			if n := strings.Index(p[j+2:], p[j+1:j+2]+"]"); n >= 0 {
				j += n + 3
			}
		}
	}
	return len(p)
}
