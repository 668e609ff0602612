package main

import (
	"regexp"
	"strings"
)

// step is one thing that psql would do for a script: send a query string, or run a command of its own.
type step struct {
	line int
	sql  string // the query string, without its last semicolon
	meta string // psql's command with its arguments; after a query string it takes its result (gset, gexec, g)
	data string // lines of COPY .. FROM STDIN that stand in the script
}

// script cuts a psql script into steps. It is read a step at a time since psql's variables and
// standard_conforming_strings change how the rest is to be read.
type script struct {
	text string
	pos  int
	line int

	vars map[string]string
	// nonstandard holds while '..' strings have backslash escapes.
	nonstandard bool
}

func newScript(text string, vars map[string]string) *script {
	return &script{text: text, line: 1, vars: vars}
}

var (
	copyFromStdin = regexp.MustCompile(`(?is)^\s*copy\s.*\sfrom\s+stdin\b`)
	copyToStdout  = regexp.MustCompile(`(?is)^\s*copy\s.*\sto\s+stdout\b`)
	conforming    = regexp.MustCompile(`(?is)^\s*set\s+(?:local\s+|session\s+)?standard_conforming_strings\s*(?:=|to)\s*'?(\w+)`)
	beginAtomic   = regexp.MustCompile(`(?i)\bbegin\s+atomic\s*$`)
	variable      = regexp.MustCompile(`^:(\w+|'\w+'|"\w+")`)
	dollarTag     = regexp.MustCompile(`^\$(?:[A-Za-z_\x80-\xff][A-Za-z_0-9\x80-\xff]*)?\$`)
)

// next gives the next step; ok is false at the end.
func (s *script) next() (st step, ok bool) {
	var b strings.Builder
	started, depth, atomic := false, 0, 0
	word := ""
	for s.pos < len(s.text) {
		c := s.text[s.pos]
		rest := s.text[s.pos:]
		if !started && c != ' ' && c != '\t' && c != '\n' && c != '\r' && !strings.HasPrefix(rest, "--") {
			started, st.line = true, s.line
		}
		if isWord(c) {
			i := 1
			for i < len(rest) && isWord(rest[i]) {
				i++
			}
			word = strings.ToLower(rest[:i])
			// E'..' takes escapes; the quote comes right after.
			if i < len(rest) && rest[i] == '\'' && (word == "e") {
				b.WriteString(rest[:i])
				s.pos += i
				s.quoted(&b, '\'', true)
				continue
			}
			b.WriteString(rest[:i])
			s.pos += i
			switch {
			case beginAtomic.MatchString(b.String()) && word == "atomic":
				atomic = 1
			case atomic > 0 && word == "case":
				atomic++
			case atomic > 0 && word == "end":
				atomic--
			}
			continue
		}
		switch {
		case c == '\n':
			s.line++
			b.WriteByte(c)
			s.pos++
		case strings.HasPrefix(rest, "--"):
			i := strings.IndexByte(rest, '\n')
			if i < 0 {
				i = len(rest)
			}
			s.pos += i
		case strings.HasPrefix(rest, "/*"):
			s.comment(&b)
		case c == '\'':
			s.quoted(&b, c, s.nonstandard)
		case c == '"':
			s.quoted(&b, c, false)
		case c == '$' && dollarTag.MatchString(rest):
			tag := dollarTag.FindString(rest)
			end := strings.Index(rest[len(tag):], tag)
			if end < 0 {
				end = len(rest) - 2*len(tag)
			}
			text := rest[:end+2*len(tag)]
			s.line += strings.Count(text, "\n")
			b.WriteString(text)
			s.pos += len(text)
		case c == ':' && strings.HasPrefix(rest, "::"):
			b.WriteString("::")
			s.pos += 2
		case c == ':' && variable.MatchString(rest):
			name := variable.FindString(rest)
			if v, ok := s.substitute(name[1:]); ok {
				b.WriteString(v)
				s.pos += len(name)
			} else {
				b.WriteByte(c)
				s.pos++
			}
		case c == '(':
			depth++
			b.WriteByte(c)
			s.pos++
		case c == ')':
			depth--
			b.WriteByte(c)
			s.pos++
		case strings.HasPrefix(rest, `\;`):
			b.WriteByte(';')
			s.pos += 2
		case c == '\\':
			end := strings.IndexByte(rest, '\n')
			if end < 0 {
				end = len(rest)
			}
			meta := strings.TrimSpace(rest[1:end])
			if started && strings.TrimSpace(b.String()) != "" && !strings.HasPrefix(meta, "g") && !strings.HasPrefix(meta, "crosstabview") {
				// Commands in the middle of a query (\pset, \set, ..) leave the query buffer as it is.
				s.pos += end
				continue
			}
			s.pos += end
			st.sql, st.meta = strings.TrimSpace(b.String()), meta
			return st, true
		case c == ';' && depth <= 0 && atomic == 0:
			s.pos++
			st.sql = strings.TrimSpace(b.String())
			if st.sql == "" {
				b.Reset()
				started = false
				continue
			}
			if m := conforming.FindStringSubmatch(st.sql); m != nil {
				s.nonstandard = strings.EqualFold(m[1], "off")
			}
			if copyFromStdin.MatchString(st.sql) {
				st.data = s.copyData()
			}
			return st, true
		default:
			b.WriteByte(c)
			s.pos++
		}
	}
	if st.sql = strings.TrimSpace(b.String()); st.sql != "" {
		return st, true
	}
	return st, false
}

func isWord(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}

// quoted copies a string or a quoted name, the opening quote included.
func (s *script) quoted(b *strings.Builder, quote byte, escapes bool) {
	b.WriteByte(quote)
	s.pos++
	for s.pos < len(s.text) {
		c := s.text[s.pos]
		b.WriteByte(c)
		s.pos++
		switch {
		case c == '\n':
			s.line++
		case c == '\\' && escapes && s.pos < len(s.text):
			b.WriteByte(s.text[s.pos])
			s.pos++
		case c == quote:
			if s.pos < len(s.text) && s.text[s.pos] == quote {
				b.WriteByte(quote)
				s.pos++
				continue
			}
			return
		}
	}
}

func (s *script) comment(b *strings.Builder) {
	depth := 0
	for s.pos < len(s.text) {
		rest := s.text[s.pos:]
		switch {
		case strings.HasPrefix(rest, "/*"):
			depth++
			b.WriteString("/*")
			s.pos += 2
		case strings.HasPrefix(rest, "*/"):
			depth--
			b.WriteString("*/")
			s.pos += 2
			if depth == 0 {
				return
			}
		default:
			if rest[0] == '\n' {
				s.line++
			}
			b.WriteByte(rest[0])
			s.pos++
		}
	}
}

// copyData takes the lines up to \. that follow a COPY .. FROM STDIN.
func (s *script) copyData() string {
	if i := strings.IndexByte(s.text[s.pos:], '\n'); i >= 0 {
		s.pos += i + 1
		s.line++
	}
	var b strings.Builder
	for s.pos < len(s.text) {
		line, _, _ := strings.Cut(s.text[s.pos:], "\n")
		s.pos = min(s.pos+len(line)+1, len(s.text))
		s.line++
		if line == `\.` {
			break
		}
		b.WriteString(line + "\n")
	}
	return b.String()
}

func (s *script) substitute(name string) (string, bool) {
	bare := strings.Trim(name, `'"`)
	v, ok := s.vars[bare]
	if !ok {
		return "", false
	}
	switch name[0] {
	case '\'':
		return "'" + strings.ReplaceAll(v, "'", "''") + "'", true
	case '"':
		return `"` + strings.ReplaceAll(v, `"`, `""`) + `"`, true
	}
	return v, true
}

// skipTo passes over the script up to the \else, \elif or \endif that belongs to an \if, and gives it.
func (s *script) skipTo() string {
	depth := 0
	for s.pos < len(s.text) {
		line, _, _ := strings.Cut(s.text[s.pos:], "\n")
		s.pos = min(s.pos+len(line)+1, len(s.text))
		s.line++
		word, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch {
		case word == `\if`:
			depth++
		case word == `\endif` && depth > 0:
			depth--
		case depth == 0 && (word == `\else` || word == `\elif` || word == `\endif`):
			return strings.TrimSpace(line)[1:]
		}
	}
	return ""
}

// arguments splits what follows a psql command: words, 'quoted' parts and :variables.
func (s *script) arguments(text string) []string {
	var out []string
	for i := 0; i < len(text); {
		if text[i] == ' ' || text[i] == '\t' {
			i++
			continue
		}
		var b strings.Builder
		for i < len(text) && text[i] != ' ' && text[i] != '\t' {
			switch m := variable.FindString(text[i:]); {
			case text[i] == '\'':
				end := strings.IndexByte(text[i+1:], '\'')
				if end < 0 {
					end = len(text) - i - 1
				}
				b.WriteString(text[i+1 : i+1+end])
				i = min(i+end+2, len(text))
			case m != "":
				v, _ := s.substitute(m[1:])
				b.WriteString(v)
				i += len(m)
			default:
				b.WriteByte(text[i])
				i++
			}
		}
		out = append(out, b.String())
	}
	return out
}
