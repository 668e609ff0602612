package main

import "strings"

// statementEnd gives the offset just behind the first semicolon of sql that ends a
// statement, -1 where there is none yet: one within quotes, comments, dollar
// quotes or parentheses ends nothing.
func statementEnd(sql string) int {
	depth := 0
	for i := 0; i < len(sql); {
		c := sql[i]
		switch {
		case c == ';' && depth == 0:
			return i + 1
		case c == '(':
			depth++
		case c == ')':
			depth = max(depth-1, 0)
		case c == '\'' || c == '"':
			escapes := c == '\'' && i > 0 && (sql[i-1] == 'e' || sql[i-1] == 'E') && (i == 1 || !isWord(sql[i-2]))
			n := quotedEnd(sql[i:], c, escapes)
			if n < 0 {
				return -1
			}
			i += n
			continue
		case strings.HasPrefix(sql[i:], "--"):
			n := strings.IndexByte(sql[i:], '\n')
			if n < 0 {
				return -1
			}
			i += n
		case strings.HasPrefix(sql[i:], "/*"):
			n := commentEnd(sql[i:])
			if n < 0 {
				return -1
			}
			i += n
			continue
		case c == '$' && (i == 0 || !isWord(sql[i-1])):
			if tag := dollarTag(sql[i:]); tag != "" {
				n := strings.Index(sql[i+len(tag):], tag)
				if n < 0 {
					return -1
				}
				i += n + 2*len(tag)
				continue
			}
		}
		i++
	}
	return -1
}

// blank reports whether sql has nothing but space, comments and semicolons.
func blank(sql string) bool {
	for sql != "" {
		switch {
		case strings.IndexByte(" \t\r\n\f\v;", sql[0]) >= 0:
			sql = sql[1:]
		case strings.HasPrefix(sql, "--"):
			n := strings.IndexByte(sql, '\n')
			if n < 0 {
				return true
			}
			sql = sql[n:]
		case strings.HasPrefix(sql, "/*"):
			n := commentEnd(sql)
			if n < 0 {
				return false
			}
			sql = sql[n:]
		default:
			return false
		}
	}
	return true
}

func isWord(c byte) bool {
	return c == '_' || c == '$' || c >= 0x80 || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// quotedEnd gives the length of the quoted text at the start of s; a doubled quote does not end it.
func quotedEnd(s string, quote byte, escapes bool) int {
	for i := 1; i < len(s); i++ {
		switch {
		case escapes && s[i] == '\\':
			i++
		case s[i] == quote && i+1 < len(s) && s[i+1] == quote:
			i++
		case s[i] == quote:
			return i + 1
		}
	}
	return -1
}

// commentEnd gives the length of the comment, which may nest, at the start of s.
func commentEnd(s string) int {
	depth := 0
	for i := 0; i+1 < len(s); i++ {
		switch s[i : i+2] {
		case "/*":
			depth++
			i++
		case "*/":
			depth--
			i++
			if depth == 0 {
				return i + 1
			}
		}
	}
	return -1
}

// dollarTag gives the opening of a dollar quote ($$ or $tag$) at the start of s, "" if there is none.
func dollarTag(s string) string {
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case c == '$':
			return s[:i+1]
		case !isWord(c) || i == 1 && c >= '0' && c <= '9':
			return ""
		}
	}
	return ""
}
