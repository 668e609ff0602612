package fn

import (
	"fmt"
	"regexp"
	"regexp/syntax"
	"strconv"
	"strings"
	"unicode/utf8"

	"streamsql/internal/pgerr"
)

// regex is a compiled regular expression of PostgreSQL's advanced flavour. Go's
// engine runs it in linear time; back references and lookaround are not in its power.
type regex struct {
	re     *regexp.Regexp
	lit    string // the whole expression is this text, anchored or not
	isLit  bool
	atHead bool
	global bool
	empty  bool // it matches the empty string
	heads  bool // it holds an anchor of the beginning
	c      *Ctx // asked for the room of many matches; may be nil
}

const (
	// someMatches are found without asking for room, a match and its place in the list take matchSize bytes.
	someMatches = 10_000
	matchSize   = 64
)

// findAll gives the places of at most n matches and their groups, of all if n < 0.
func (r *regex) findAll(s string, n int) [][]int {
	if len(s) < someMatches || n >= 0 && n <= someMatches {
		return r.re.FindAllStringSubmatchIndex(s, n)
	}
	first := r.re.FindAllStringSubmatchIndex(s, someMatches)
	if len(first) < someMatches {
		return first
	}
	seen := max(first[someMatches-1][1], 1)
	r.c.Need(int(float64(someMatches) * float64(len(s)) / float64(seen) * (matchSize + 16*float64(r.re.NumSubexp()))))
	return r.re.FindAllStringSubmatchIndex(s, n)
}

func errRegex(format string, args ...any) error {
	return pgerr.New(pgerr.InvalidRegularExpression, "invalid regular expression: %s", fmt.Sprintf(format, args...))
}

func errRegexUnsupported(what string) error {
	return pgerr.New(pgerr.FeatureNotSupported, "regular expressions with %s are not supported", what).
		WithHint("Matching takes linear time here, which excludes back references and lookaround. Rewrite the pattern, or combine two simpler matches.")
}

// regexFlags are the options of the regexp functions.
type regexFlags struct {
	fold, expanded, quote  bool
	dotNewline, multiLines bool
	global                 bool
}

func defaultFlags() regexFlags { return regexFlags{dotNewline: true} }

func (f *regexFlags) set(c rune) bool {
	switch c {
	case 'i':
		f.fold = true
	case 'c':
		f.fold = false
	case 'x':
		f.expanded = true
	case 't':
		f.expanded = false
	case 'q':
		f.quote = true
	case 'e', 'b':
	case 'n', 'm':
		f.dotNewline, f.multiLines = false, true
	case 's':
		f.dotNewline, f.multiLines = true, false
	case 'p':
		f.dotNewline, f.multiLines = false, false
	case 'w':
		f.dotNewline, f.multiLines = true, true
	default:
		return false
	}
	return true
}

// parseFlags reads the flags argument of a regexp function.
func parseFlags(s string) (regexFlags, error) {
	f := defaultFlags()
	for _, c := range s {
		if c == 'g' {
			f.global = true
			continue
		}
		if !f.set(c) {
			return f, pgerr.New(pgerr.InvalidParameterValue, "invalid regular expression option: \"%c\"", c)
		}
	}
	return f, nil
}

func compileRegex(p string, f regexFlags) (*regex, error) {
	r := &regex{global: f.global}
	if q, ok := strings.CutPrefix(p, "***="); ok {
		p, f.quote = q, true
	} else if q, ok := strings.CutPrefix(p, "***:"); ok {
		p = q
	}
	// Embedded options: (?i) and its kin at the start only.
	if strings.HasPrefix(p, "(?") && !f.quote {
		if end := strings.IndexByte(p, ')'); end > 2 && strings.Trim(p[2:end], "bceimnpqstwx") == "" {
			for _, c := range p[2:end] {
				f.set(c)
			}
			p = p[end+1:]
		}
	}
	var expr string
	lazy := false
	if f.quote {
		expr = regexp.QuoteMeta(p)
	} else {
		t := translator{src: p, flags: f}
		if err := t.run(); err != nil {
			return nil, err
		}
		expr, lazy = t.out.String(), t.lazy
	}
	flags := ""
	if f.fold {
		flags += "i"
	}
	if f.dotNewline {
		flags += "s"
	}
	if f.multiLines {
		flags += "m"
	}
	if flags != "" {
		expr = "(?" + flags + ")" + expr
	}
	re, err := regexp.Compile(expr)
	if err != nil {
		return nil, translateError(err)
	}
	if !lazy {
		re.Longest()
	}
	r.re, r.empty = re, re.MatchString("")
	r.heads = !f.quote && strings.Contains(strings.ReplaceAll(p, "[^", ""), "^")
	if !f.fold {
		body := strings.TrimPrefix(p, "^")
		if r.isLit = f.quote || !strings.ContainsAny(body, `\^$.|?*+()[]{}#`) && !f.expanded && !f.multiLines; r.isLit {
			r.lit, r.atHead = p, false
			if !f.quote {
				r.lit, r.atHead = body, len(body) < len(p)
			}
		}
	}
	return r, nil
}

func translateError(err error) error {
	if e, ok := err.(*syntax.Error); ok {
		switch e.Code {
		case syntax.ErrMissingParen, syntax.ErrUnexpectedParen:
			return errRegex("parentheses () not balanced")
		case syntax.ErrMissingBracket:
			return errRegex("brackets [] not balanced")
		case syntax.ErrMissingRepeatArgument, syntax.ErrInvalidRepeatOp:
			return errRegex("quantifier operand invalid")
		case syntax.ErrInvalidRepeatSize:
			return errRegex("invalid repetition count(s)")
		case syntax.ErrInvalidCharRange:
			return errRegex("invalid character range")
		case syntax.ErrLarge, syntax.ErrNestingDepth:
			return errRegex("regular expression is too complex")
		}
	}
	return errRegex("%s", err)
}

// match reports whether the expression matches anywhere in s.
func (r *regex) match(s []byte) bool {
	if r.isLit {
		if r.atHead {
			return len(s) >= len(r.lit) && string(s[:len(r.lit)]) == r.lit
		}
		return strings.Contains(stringOf(s), r.lit)
	}
	return r.re.Match(s)
}

// translator turns an advanced regular expression into Go's syntax.
type translator struct {
	src   string
	pos   int
	flags regexFlags
	out   strings.Builder
	lazy  bool
	// before this position the shortest match is preferred: the first part of a SUBSTRING .. SIMILAR
	lazyTo int
}

const wordClass = `\p{L}\p{N}_`

func (t *translator) run() error {
	if strings.HasPrefix(t.src, "^(?:") {
		t.lazyTo = strings.Index(t.src, "){1,1}?(")
	}
	for t.pos < len(t.src) {
		c := t.src[t.pos]
		switch c {
		case '\\':
			if err := t.escape(); err != nil {
				return err
			}
		case '[':
			if err := t.class(); err != nil {
				return err
			}
		case '(':
			if err := t.group(); err != nil {
				return err
			}
		case '*', '+', '?':
			t.out.WriteByte(c)
			t.pos++
			t.lazily()
		case '{':
			if t.pos+1 >= len(t.src) || t.src[t.pos+1] < '0' || t.src[t.pos+1] > '9' {
				t.out.WriteString(`\{`)
				t.pos++
				continue
			}
			end := strings.IndexByte(t.src[t.pos:], '}')
			if end < 0 {
				return errRegex("braces {} not balanced")
			}
			bound := t.src[t.pos : t.pos+end+1]
			for _, n := range strings.Split(strings.Trim(bound, "{}"), ",") {
				if x, err := strconv.Atoi(n); n != "" && (err != nil || x > 255) {
					return errRegex("invalid repetition count(s)")
				}
			}
			t.out.WriteString(bound)
			t.pos += end + 1
			t.lazily()
		case ' ', '\t', '\n', '\r', '\v', '\f':
			if !t.flags.expanded {
				t.out.WriteByte(c)
			}
			t.pos++
		case '#':
			if !t.flags.expanded {
				t.out.WriteByte(c)
				t.pos++
				continue
			}
			for t.pos < len(t.src) && t.src[t.pos] != '\n' {
				t.pos++
			}
		default:
			t.out.WriteByte(c)
			t.pos++
		}
	}
	return nil
}

func (t *translator) lazily() {
	if t.pos <= t.lazyTo {
		t.lazy = true
		if t.pos >= len(t.src) || t.src[t.pos] != '?' {
			t.out.WriteByte('?')
			return
		}
	}
	if t.pos < len(t.src) && t.src[t.pos] == '?' {
		t.lazy = true
		t.out.WriteByte('?')
		t.pos++
	}
}

func (t *translator) group() error {
	rest := t.src[t.pos:]
	switch {
	case strings.HasPrefix(rest, "(?:"):
		t.out.WriteString("(?:")
		t.pos += 3
	case strings.HasPrefix(rest, "(?#"):
		end := strings.IndexByte(rest, ')')
		if end < 0 {
			return errRegex("parentheses () not balanced")
		}
		t.pos += end + 1
	case strings.HasPrefix(rest, "(?=") || strings.HasPrefix(rest, "(?!") || strings.HasPrefix(rest, "(?<"):
		return errRegexUnsupported("lookaround")
	case strings.HasPrefix(rest, "(?"):
		return errRegex("quantifier operand invalid")
	default:
		t.out.WriteByte('(')
		t.pos++
	}
	return nil
}

// wordAt reports whether the expression goes on at i with something that only a word character matches.
func (t *translator) wordAt(i int) bool {
	for i < len(t.src) && t.src[i] == '(' {
		i++
		if strings.HasPrefix(t.src[i:], "?:") {
			i += 2
		}
	}
	if i >= len(t.src) {
		return false
	}
	if t.src[i] == '\\' {
		return i+1 < len(t.src) && (t.src[i+1] == 'w' || t.src[i+1] == 'd')
	}
	return isWordByte(t.src[i])
}

func isWordByte(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= utf8.RuneSelf
}

// wordBefore is wordAt for what comes before i.
func (t *translator) wordBefore(i int) bool {
	for i > 0 && (t.src[i-1] == ')' || t.src[i-1] == '+') {
		i--
	}
	if i >= 2 && t.src[i-2] == '\\' {
		return t.src[i-1] == 'w' || t.src[i-1] == 'd'
	}
	return i > 0 && isWordByte(t.src[i-1])
}

func (t *translator) escape() error {
	if t.pos+1 >= len(t.src) {
		return errRegex("invalid escape \\ sequence")
	}
	c := t.src[t.pos+1]
	switch c {
	case 'm':
		if !t.wordAt(t.pos + 2) {
			return errRegexUnsupported(`\m before anything but a word character`)
		}
		t.out.WriteString(`\b`)
	case 'M':
		if !t.wordBefore(t.pos) {
			return errRegexUnsupported(`\M after anything but a word character`)
		}
		t.out.WriteString(`\b`)
	case 'y':
		t.out.WriteString(`\b`)
	case 'Y':
		t.out.WriteString(`\B`)
	case 'A':
		t.out.WriteString(`\A`)
	case 'Z':
		t.out.WriteString(`\z`)
	case 'd', 'D', 's', 'S':
		t.out.WriteByte('\\')
		t.out.WriteByte(c)
	case 'w':
		t.out.WriteString("[" + wordClass + "]")
	case 'W':
		t.out.WriteString("[^" + wordClass + "]")
	case '1', '2', '3', '4', '5', '6', '7', '8', '9':
		return errRegexUnsupported("back references")
	default:
		r, err := t.charEscape()
		if err != nil {
			return err
		}
		t.out.WriteString(quoteRune(r))
		return nil
	}
	t.pos += 2
	return nil
}

func quoteRune(r rune) string {
	if r < utf8.RuneSelf && !isWordByte(byte(r)) {
		return fmt.Sprintf(`\x%02x`, r)
	}
	return string(r)
}

// charEscape reads an escape that stands for one character, in and outside brackets.
func (t *translator) charEscape() (rune, error) {
	c := t.src[t.pos+1]
	t.pos += 2
	hex := func(n int) (rune, error) {
		if t.pos+n > len(t.src) {
			return 0, errRegex("invalid escape \\ sequence")
		}
		x, err := strconv.ParseUint(t.src[t.pos:t.pos+n], 16, 32)
		if err != nil || x > utf8.MaxRune {
			return 0, errRegex("invalid escape \\ sequence")
		}
		t.pos += n
		return rune(x), nil
	}
	switch c {
	case 'a':
		return '\a', nil
	case 'b':
		return '\b', nil
	case 'B':
		return '\\', nil
	case 'e':
		return 0x1b, nil
	case 'f':
		return '\f', nil
	case 'n':
		return '\n', nil
	case 'r':
		return '\r', nil
	case 't':
		return '\t', nil
	case 'v':
		return '\v', nil
	case 'u':
		return hex(4)
	case 'U':
		return hex(8)
	case 'x':
		n := 0
		for t.pos+n < len(t.src) && n < 6 && strings.IndexByte("0123456789abcdefABCDEF", t.src[t.pos+n]) >= 0 {
			n++
		}
		return hex(n)
	case 'c':
		if t.pos >= len(t.src) {
			return 0, errRegex("invalid escape \\ sequence")
		}
		t.pos++
		return rune(t.src[t.pos-1] & 31), nil
	case '0':
		x := rune(0)
		for n := 0; n < 2 && t.pos < len(t.src) && t.src[t.pos] >= '0' && t.src[t.pos] <= '7'; n++ {
			x = x*8 + rune(t.src[t.pos]-'0')
			t.pos++
		}
		return x, nil
	}
	if isWordByte(c) && c < utf8.RuneSelf && c != '_' {
		return 0, errRegex("invalid escape \\ sequence")
	}
	t.pos--
	r, w := utf8.DecodeRuneInString(t.src[t.pos:])
	t.pos += w
	return r, nil
}

var classNames = map[string]string{
	"alpha": `\p{L}`, "digit": `0-9`, "alnum": `\p{L}\p{N}`, "upper": `\p{Lu}`, "lower": `\p{Ll}`,
	"space": `\s\x0b`, "blank": ` \t`, "punct": `[:punct:]`, "xdigit": `0-9A-Fa-f`, "cntrl": `[:cntrl:]`,
	"print": `[:print:]`, "graph": `[:graph:]`, "word": wordClass, "ascii": `\x00-\x7f`,
}

// class translates a bracket expression.
func (t *translator) class() error {
	if strings.HasPrefix(t.src[t.pos:], "[[:<:]]") || strings.HasPrefix(t.src[t.pos:], "[[:>:]]") {
		t.out.WriteString(`\b`)
		t.pos += 7
		return nil
	}
	t.pos++
	t.out.WriteByte('[')
	if t.pos < len(t.src) && t.src[t.pos] == '^' {
		t.out.WriteByte('^')
		t.pos++
		if !t.flags.dotNewline {
			t.out.WriteString(`\n`)
		}
	}
	for first := true; ; first = false {
		if t.pos >= len(t.src) {
			return errRegex("brackets [] not balanced")
		}
		c := t.src[t.pos]
		switch {
		case c == ']' && !first:
			t.out.WriteByte(']')
			t.pos++
			return nil
		case c == '[' && t.pos+1 < len(t.src) && strings.IndexByte(":.=", t.src[t.pos+1]) >= 0:
			kind := t.src[t.pos+1]
			end := strings.Index(t.src[t.pos+2:], string(kind)+"]")
			if end < 0 {
				return errRegex("brackets [] not balanced")
			}
			name := t.src[t.pos+2 : t.pos+2+end]
			t.pos += end + 4
			switch {
			case kind == ':':
				s, ok := classNames[name]
				if !ok {
					return errRegex("invalid character class")
				}
				t.out.WriteString(s)
			case utf8.RuneCountInString(name) == 1:
				r, _ := utf8.DecodeRuneInString(name)
				t.out.WriteString(quoteRune(r))
			default:
				return errRegex("invalid collating element")
			}
		case c == '\\':
			if t.pos+1 >= len(t.src) {
				return errRegex("invalid escape \\ sequence")
			}
			switch e := t.src[t.pos+1]; e {
			case 'd', 's', 'D', 'S':
				t.out.WriteByte('\\')
				t.out.WriteByte(e)
				t.pos += 2
			case 'w':
				t.out.WriteString(wordClass)
				t.pos += 2
			default:
				r, err := t.charEscape()
				if err != nil {
					return err
				}
				t.out.WriteString(quoteRune(r))
			}
		case c == '-':
			// A range where something stands on both sides, else a minus.
			next := t.pos + 1
			if first || next >= len(t.src) || t.src[next] == ']' {
				t.out.WriteString(`\-`)
			} else {
				t.out.WriteByte('-')
			}
			t.pos++
		default:
			r, w := utf8.DecodeRuneInString(t.src[t.pos:])
			t.out.WriteString(quoteRune(r))
			t.pos += w
		}
	}
}
