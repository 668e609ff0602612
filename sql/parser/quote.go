package parser

import "strings"

// QuoteIdent gives s as an identifier that reads back as s, in quotes only
// where they are needed (as PostgreSQL's quote_ident).
func QuoteIdent(s string) string {
	plain := s != "" && (s[0] >= 'a' && s[0] <= 'z' || s[0] == '_')
	for i := 0; plain && i < len(s); i++ {
		c := s[i]
		plain = c >= 'a' && c <= 'z' || c == '_' || isDigit(c)
	}
	if plain {
		if k, ok := keywords[s]; !ok || k.cat == unreserved {
			return s
		}
	}
	return `"` + strings.ReplaceAll(s, `"`, `""`) + `"`
}

// QuoteLiteral gives s as a string literal that reads back as s.
func QuoteLiteral(s string) string {
	q := "'" + strings.ReplaceAll(s, "'", "''") + "'"
	if strings.IndexByte(s, '\\') >= 0 {
		return "E" + strings.ReplaceAll(q, `\`, `\\`)
	}
	return q
}

// Pending says what the rest of a text that Split cut is waiting for.
type Pending uint8

// What an unfinished text is inside of.
const (
	PendingNothing      Pending = iota // blanks and comments only
	PendingStatement                   // a statement without its semicolon
	PendingParen                       // an open parenthesis
	PendingString                      // '..
	PendingIdent                       // "..
	PendingDollar                      // $tag$..
	PendingBlockComment                // /* ..
)

// Split cuts sql at the semicolons between statements: not those in quotes,
// comments, dollar quotes or parentheses. The statements come without their
// semicolons, empty ones are dropped; rest is what follows the last semicolon
// and pending what it is in the middle of.
func Split(sql string) (complete []string, rest string, pending Pending) {
	start, parens, content := 0, 0, false
	for i := 0; i < len(sql); {
		switch c := sql[i]; {
		case isSpace(c):
			i++
			continue
		case c == '-' && i+1 < len(sql) && sql[i+1] == '-':
			i = lineEnd(sql, i)
			continue
		case c == '/' && i+1 < len(sql) && sql[i+1] == '*':
			end := commentEnd(sql, i)
			if end < 0 {
				return complete, sql[start:], PendingBlockComment
			}
			i = end
			continue
		case c == ';' && parens == 0:
			if content {
				complete = append(complete, strings.TrimSpace(sql[start:i]))
			}
			i++
			start, content = i, false
			continue
		case c == '\'' || c == '"':
			end := quoteEnd(sql, i, c == '\'' && escapeBefore(sql, start, i))
			if end < 0 {
				if c == '"' {
					return complete, sql[start:], PendingIdent
				}
				return complete, sql[start:], PendingString
			}
			i = end
		case c == '$':
			tag, ok := dollarTag(sql, i)
			if !ok {
				i++
				break
			}
			end := strings.Index(sql[i+len(tag):], tag)
			if end < 0 {
				return complete, sql[start:], PendingDollar
			}
			i += len(tag) + end + len(tag)
		case isIdentStart(c):
			for i < len(sql) && isIdentCont(sql[i]) {
				i++
			}
		case c == '(' || c == '[':
			parens++
			i++
		case c == ')' || c == ']':
			parens = max(parens-1, 0)
			i++
		default:
			i++
		}
		content = true
	}
	switch {
	case !content:
		return complete, sql[start:], PendingNothing
	case parens > 0:
		return complete, sql[start:], PendingParen
	}
	return complete, sql[start:], PendingStatement
}

// escapeBefore says whether the quote at i belongs to an E'..' string.
func escapeBefore(s string, start, i int) bool {
	return i > start && (s[i-1] == 'e' || s[i-1] == 'E') && (i-1 == start || !isIdentCont(s[i-2]))
}

// quoteEnd gives the offset after the quoted text that begins at i, -1 if it has no end.
func quoteEnd(s string, i int, escapes bool) int {
	q := s[i]
	for i++; i < len(s); i++ {
		switch {
		case s[i] == '\\' && escapes:
			i++
		case s[i] == q:
			if i+1 < len(s) && s[i+1] == q {
				i++
				continue
			}
			return i + 1
		}
	}
	return -1
}
