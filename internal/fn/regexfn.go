package fn

import (
	"slices"
	"strings"
	"unicode/utf8"

	"streamsql/internal/mem"
	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/internal/vec"
)

// regexMemo keeps the last expression compiled, as patterns rarely change between rows.
type regexMemo struct {
	pattern, flags string
	re             *regexMatcher
	err            error
	c              *Ctx
}

func (m *regexMemo) get(pattern, flags string) (*regexMatcher, error) {
	if m.re == nil && m.err == nil || m.pattern != pattern || m.flags != flags {
		m.pattern, m.flags = strings.Clone(pattern), strings.Clone(flags)
		m.re = nil
		var f regexFlags
		if f, m.err = parseFlags(flags); m.err == nil {
			var re *regex
			if re, m.err = compileRegex(m.pattern, f); m.err == nil {
				m.re = re.matcher(m.c)
			}
		}
	}
	return m.re, m.err
}

func regexKernel(flags string, negate bool) Kernel {
	return func(c *Ctx, args []*vec.Vec, out *vec.Vec, n int) {
		m := regexMemo{c: c}
		for i := range n {
			if out.IsNull(i) {
				continue
			}
			if m.re == nil || !args[1].Const {
				if _, err := m.get(args[1].Str(i), flags); err != nil {
					out.Fail(i, err)
					continue
				}
			}
			matched, err := m.re.match(args[0].Bytes(i))
			if err != nil {
				out.Fail(i, err)
				continue
			}
			out.Bools[i] = matched != negate
		}
	}
}

// regexRows adapts a strict function whose first arguments are text and pattern, and
// whose argument flagsAt (-1 for none) holds flags. A nil result is NULL.
func regexRows(flagsAt int, f func(r *regexMatcher, a []*vec.Vec, i int) (types.Datum, error)) Kernel {
	return func(c *Ctx, args []*vec.Vec, out *vec.Vec, n int) {
		m := regexMemo{c: c}
		for i := range n {
			if anyNull(args, i) {
				skip(out)
				continue
			}
			flags := ""
			if flagsAt >= 0 && flagsAt < len(args) {
				flags = args[flagsAt].Str(i)
			}
			r, err := m.get(args[1].Str(i), flags)
			var d types.Datum
			if err == nil {
				d, err = f(r, args, i)
			}
			putDatum(out, i, d, err)
		}
	}
}

func errNoGlobal(name string) error {
	return pgerr.New(pgerr.InvalidParameterValue, "%s does not support the \"global\" option", name)
}

// groups gives the captured texts of a match, or the whole match where nothing is captured.
func groups(s string, m []int) []types.Datum {
	if len(m) == 2 {
		return []types.Datum{s[m[0]:m[1]]}
	}
	out := make([]types.Datum, 0, len(m)/2-1)
	for g := 2; g < len(m); g += 2 {
		if m[g] < 0 {
			out = append(out, nil)
		} else {
			out = append(out, s[m[g]:m[g+1]])
		}
	}
	return out
}

func textArray(elems []types.Datum) string { return types.NewArray(types.Text, elems).Encode() }

func regexpMatch(r *regexMatcher, a []*vec.Vec, i int) (types.Datum, error) {
	if r.global {
		return nil, errNoGlobal("regexp_match()")
	}
	s := a[0].Str(i)
	m, err := r.find(s, 0)
	if m == nil || err != nil {
		return nil, err
	}
	return textArray(groups(s, m)), nil
}

// substringRegex is substring(text from pattern): the first group, or all of the match.
func substringRegex(r *regexMatcher, a []*vec.Vec, i int) (types.Datum, error) {
	s := a[0].Str(i)
	m, err := r.find(s, 0)
	switch {
	case m == nil || err != nil:
		return nil, err
	case len(m) == 2:
		return s[m[0]:m[1]], nil
	case m[2] < 0:
		return nil, nil
	}
	return s[m[2]:m[3]], nil
}

// appendReplacement appends the replacement text, in which \1 to \9 and \& stand for parts of the match.
func appendReplacement(dst []byte, with, s string, m []int) []byte {
	for j := 0; j < len(with); j++ {
		c := with[j]
		if c != '\\' || j+1 == len(with) {
			dst = append(dst, c)
			continue
		}
		j++
		switch c = with[j]; {
		case c == '&':
			dst = append(dst, s[m[0]:m[1]]...)
		case c >= '1' && c <= '9':
			if g := 2 * int(c-'0'); g < len(m) && m[g] >= 0 {
				dst = append(dst, s[m[g]:m[g+1]]...)
			}
		case c == '\\':
			dst = append(dst, '\\')
		default:
			dst = append(dst, '\\', c)
		}
	}
	return dst
}

// replaceMatches replaces the match number nth (0: all) of those from byte start on.
func replaceMatches(r *regexMatcher, s, with string, start, nth int) (types.Datum, error) {
	var dst []byte
	at, seen := 0, 0
	ms, err := r.findAll(s, start, nth)
	if err != nil {
		return nil, err
	}
	for _, m := range ms {
		seen++
		if nth > 0 && seen != nth {
			continue
		}
		// A part of the match can be put in once for each two bytes of the replacement.
		if need := len(dst) + m[0] - at + len(with) + len(with)/2*(m[1]-m[0]); need > cap(dst) && need >= mem.LargeBlock {
			r.c.Need(2*need + len(s))
			if len(dst) > maxValue {
				return nil, errEnlarge
			}
			dst = slices.Grow(dst, need-len(dst))
		}
		dst = append(dst, s[at:m[0]]...)
		dst = appendReplacement(dst, with, s, m)
		at = m[1]
	}
	if at == 0 && dst == nil {
		return s, nil
	}
	dst = append(dst, s[at:]...)
	r.c.Need(len(dst))
	return string(dst), nil
}

// searchFrom gives the byte where a search from character start (from 1 on) begins; beyond the end nothing matches.
func searchFrom(s string, start int32) int {
	if start > charLen(s)+1 {
		return len(s) + 1
	}
	return runeAt(s, int(start-1))
}

// argInt gives argument k of row i, or what it defaults to.
func argInt(a []*vec.Vec, k, i int, def int32) int32 {
	if k < len(a) {
		return a[k].I32[i]
	}
	return def
}

func errParam(name string, v int32) error {
	return pgerr.New(pgerr.InvalidParameterValue, "invalid value for parameter \"%s\": %d", name, v)
}

func regexpReplaceFrom(flagsAt int) Kernel {
	return regexRows(flagsAt, func(r *regexMatcher, a []*vec.Vec, i int) (types.Datum, error) {
		start, nth := argInt(a, 3, i, 1), argInt(a, 4, i, 1)
		if start <= 0 {
			return nil, errParam("start", start)
		}
		if nth < 0 {
			return nil, errParam("n", nth)
		}
		if r.global {
			if len(a) > 4 {
				nth = max(nth, 0)
			} else {
				nth = 0
			}
		}
		s := a[0].Str(i)
		return replaceMatches(r, s, a[2].Str(i), searchFrom(s, start), int(nth))
	})
}

// splitRegex cuts s at the matches; an empty match at an end or just after another match cuts nothing.
func splitRegex(r *regexMatcher, s string) ([]types.Datum, error) {
	at := 0
	ms, err := r.findAll(s, 0, 0)
	if err != nil {
		return nil, err
	}
	r.c.Need(48 * len(ms))
	out := make([]types.Datum, 0, len(ms)+1)
	end := 0 // of the match before, also of one that cuts nothing
	for _, m := range ms {
		if m[0] < len(s) && m[1] > end {
			out = append(out, s[at:m[0]])
			at = m[1]
		}
		end = m[1]
	}
	return append(out, s[at:]), nil
}

func regexpInstr(r *regexMatcher, a []*vec.Vec, i int) (types.Datum, error) {
	s := a[0].Str(i)
	start, nth, end, sub := argInt(a, 2, i, 1), argInt(a, 3, i, 1), argInt(a, 4, i, 0), argInt(a, 6, i, 0)
	m, err := nthMatch(r, s, start, nth, sub, "regexp_instr()")
	if err != nil {
		return nil, err
	}
	if end != 0 && end != 1 {
		return nil, errParam("endoption", end)
	}
	if m == nil {
		return int32(0), nil
	}
	return int32(utf8.RuneCountInString(s[:m[end]])) + 1, nil
}

// nthMatch gives the bounds of group sub of the match number nth, nil for none.
func nthMatch(r *regexMatcher, s string, start, nth, sub int32, name string) ([]int, error) {
	switch {
	case start <= 0:
		return nil, errParam("start", start)
	case nth <= 0:
		return nil, errParam("n", nth)
	case sub < 0:
		return nil, errParam("subexpr", sub)
	case r.global:
		return nil, errNoGlobal(name)
	}
	at := searchFrom(s, start)
	ms, err := r.findAll(s, at, int(nth))
	if err != nil || len(ms) < int(nth) {
		return nil, err
	}
	m := ms[nth-1]
	if len(m) == 2 && sub == 1 {
		sub = 0 // an expression without groups counts as one
	}
	if int(sub)*2 >= len(m) || m[2*sub] < 0 {
		return nil, nil
	}
	return m[2*sub : 2*sub+2], nil
}

func regexpSubstr(r *regexMatcher, a []*vec.Vec, i int) (types.Datum, error) {
	s := a[0].Str(i)
	m, err := nthMatch(r, s, argInt(a, 2, i, 1), argInt(a, 3, i, 1), argInt(a, 5, i, 0), "regexp_substr()")
	if err != nil || m == nil {
		return nil, err
	}
	return s[m[0]:m[1]], nil
}

// similarSubstring is substring(text similar pattern escape esc).
func similarSubstring(c *Ctx, a []types.Datum) (types.Datum, error) {
	p, err := similarToRegexp(a[1].(string), a[2].(string))
	if err != nil {
		return nil, err
	}
	r, err := compileRegex(p, defaultFlags())
	if err != nil {
		return nil, err
	}
	s := a[0].(string)
	switch m, err := r.matcher(c).find(s, 0); {
	case m == nil || err != nil:
		return nil, err
	case len(m) > 2:
		return s[m[2]:m[3]], nil
	}
	return s, nil
}

// regexpOf compiles the pattern of a set-returning call.
func regexpOf(c *Ctx, args []types.Datum) (*regexMatcher, string, error) {
	flags := ""
	if len(args) > 2 {
		flags = args[2].(string)
	}
	f, err := parseFlags(flags)
	if err != nil {
		return nil, "", err
	}
	r, err := compileRegex(args[1].(string), f)
	if err != nil {
		return nil, "", err
	}
	return r.matcher(c), args[0].(string), nil
}

func init() {
	for _, o := range []struct {
		sym, flags string
		negate     bool
	}{{"~", "", false}, {"!~", "", true}, {"~*", "i", false}, {"!~*", "i", true}} {
		for _, t := range []string{"text", "name", "bpchar"} {
			op(t+" "+o.sym+" text bool", regexKernel(o.flags, o.negate))
		}
	}
	defs([]string{"regexp_like(text,text) bool", "regexp_like(text,text,text) bool"}, regexRows(2, func(r *regexMatcher, a []*vec.Vec, i int) (types.Datum, error) {
		if r.global {
			return nil, errNoGlobal("regexp_like()")
		}
		return r.match(a[0].Bytes(i))
	}))
	defs([]string{"regexp_match(text,text) text[]", "regexp_match(text,text,text) text[]"}, regexRows(2, regexpMatch))
	defs([]string{"regexp_replace(text,text,text) text", "regexp_replace(text,text,text,text) text"}, regexRows(3, func(r *regexMatcher, a []*vec.Vec, i int) (types.Datum, error) {
		nth := 1
		if r.global {
			nth = 0
		}
		return replaceMatches(r, a[0].Str(i), a[2].Str(i), 0, nth)
	}))
	defs([]string{"regexp_replace(text,text,text,int4) text", "regexp_replace(text,text,text,int4,int4) text",
		"regexp_replace(text,text,text,int4,int4,text) text"}, regexpReplaceFrom(5))
	defs([]string{"regexp_count(text,text) int4", "regexp_count(text,text,int4) int4", "regexp_count(text,text,int4,text) int4"},
		regexRows(3, func(r *regexMatcher, a []*vec.Vec, i int) (types.Datum, error) {
			start := argInt(a, 2, i, 1)
			if start <= 0 {
				return nil, errParam("start", start)
			}
			if r.global {
				return nil, errNoGlobal("regexp_count()")
			}
			s := a[0].Str(i)
			ms, err := r.findAll(s, searchFrom(s, start), 0)
			return int32(len(ms)), err
		}))
	defs([]string{"regexp_instr(text,text) int4", "regexp_instr(text,text,int4) int4", "regexp_instr(text,text,int4,int4) int4",
		"regexp_instr(text,text,int4,int4,int4) int4", "regexp_instr(text,text,int4,int4,int4,text) int4",
		"regexp_instr(text,text,int4,int4,int4,text,int4) int4"}, regexRows(5, regexpInstr))
	defs([]string{"regexp_substr(text,text) text", "regexp_substr(text,text,int4) text", "regexp_substr(text,text,int4,int4) text",
		"regexp_substr(text,text,int4,int4,text) text", "regexp_substr(text,text,int4,int4,text,int4) text"}, regexRows(4, regexpSubstr))
	defs([]string{"regexp_split_to_array(text,text) text[]", "regexp_split_to_array(text,text,text) text[]"},
		regexRows(2, func(r *regexMatcher, a []*vec.Vec, i int) (types.Datum, error) {
			if r.global {
				return nil, errNoGlobal("regexp_split_to_array()")
			}
			parts, err := splitRegex(r, a[0].Str(i))
			if err != nil {
				return nil, err
			}
			return textArray(parts), nil
		}))
	def("substring(text,text) text", regexRows(-1, substringRegex))
	def("substring(text,text,text) text", rowD(similarSubstring, true))

	for _, sig := range []string{"regexp_matches(text,text) text[]", "regexp_matches(text,text,text) text[]"} {
		defSet(sig, func(c *Ctx, args []types.Datum, emit *vec.Builder) error {
			r, s, err := regexpOf(c, args)
			if err != nil {
				return err
			}
			limit := 1
			if r.global {
				limit = 0
			}
			ms, err := r.findAll(s, 0, limit)
			if err != nil {
				return err
			}
			for _, m := range ms {
				emit.Cols[0].AppendStr(textArray(groups(s, m)))
			}
			return nil
		}, nil)
	}
	for _, sig := range []string{"regexp_split_to_table(text,text) text", "regexp_split_to_table(text,text,text) text"} {
		defSet(sig, func(c *Ctx, args []types.Datum, emit *vec.Builder) error {
			r, s, err := regexpOf(c, args)
			if err != nil {
				return err
			}
			if r.global {
				return errNoGlobal("regexp_split_to_table()")
			}
			parts, err := splitRegex(r, s)
			if err != nil {
				return err
			}
			for _, d := range parts {
				emit.Cols[0].AppendDatum(d)
			}
			return nil
		}, nil)
	}
}
