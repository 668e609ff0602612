package main

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// firstUserOID is where PostgreSQL begins to number what users define.
const firstUserOID = 16384

// difference says in what our answer differs from PostgreSQL's, "" where it does not. The first line names the kind.
func difference(sql string, want, got answer) string {
	switch {
	case got.lost != nil:
		return fmt.Sprintf("lost: %v", got.lost)
	case want.err != nil && got.err == nil:
		return fmt.Sprintf("no error: PostgreSQL says %s %s", want.err.Code, want.err.Message)
	case want.err == nil && got.err != nil:
		return fmt.Sprintf("error: %s %s", got.err.Code, got.err.Message)
	case want.err != nil && want.err.Code != got.err.Code:
		return fmt.Sprintf("SQLSTATE: %s %s\n\tPostgreSQL: %s %s", got.err.Code, got.err.Message, want.err.Code, want.err.Message)
	}
	if want.err != nil {
		// How far a statement came before it failed is the planner's business.
		want.results, got.results = complete(want.results), complete(got.results)
	}
	if len(want.results) != len(got.results) {
		return fmt.Sprintf("results: %d instead of %d", len(got.results), len(want.results))
	}
	for i := range want.results {
		if d := differentResult(sql, &want.results[i], &got.results[i]); d != "" {
			return d
		}
	}
	return ""
}

// complete leaves out the result of a statement that failed.
func complete(rs []result) []result {
	return slices.DeleteFunc(slices.Clone(rs), func(r result) bool { return r.tag == "" })
}

func differentResult(sql string, want, got *result) string {
	if len(want.columns) != len(got.columns) {
		return fmt.Sprintf("columns: %d instead of %d", len(got.columns), len(want.columns))
	}
	for i, w := range want.columns {
		g := got.columns[i]
		if w.name != g.name {
			return fmt.Sprintf("column name: %q instead of %q", g.name, w.name)
		}
		// Types that users make have the numbers that are free.
		if w.oid != g.oid && (w.oid < firstUserOID || g.oid < firstUserOID) {
			return fmt.Sprintf("type: column %q is %d instead of %d", g.name, g.oid, w.oid)
		}
	}
	if want.tag != got.tag {
		return fmt.Sprintf("tag: %q instead of %q%s", got.tag, want.tag, show(want, got))
	}
	w, g := lines(want.rows), lines(got.rows)
	if slices.Equal(w, g) {
		return ""
	}
	sw, sg := slices.Sorted(slices.Values(w)), slices.Sorted(slices.Values(g))
	if !slices.Equal(sw, sg) {
		return "rows differ" + show(want, got)
	}
	keys, ordered := orderKeys(sql, want.columns)
	if !ordered {
		return ""
	}
	if keys != nil && slices.EqualFunc(want.rows, got.rows, func(a, b []string) bool {
		for _, k := range keys {
			if a[k] != b[k] {
				return false
			}
		}
		return true
	}) {
		return "" // rows that tie come in any order
	}
	return "order of rows" + show(want, got)
}

func lines(rows [][]string) []string {
	out := make([]string, len(rows))
	for i, r := range rows {
		out[i] = strings.Join(r, "\x01")
	}
	return out
}

// show prints the rows that only one of the two has, or all in their order where both have the same.
func show(want, got *result) string {
	var b strings.Builder
	w, g := lines(want.rows), lines(got.rows)
	only := func(sign string, a, b2 []string) {
		count := map[string]int{}
		for _, l := range b2 {
			count[l]++
		}
		n := 0
		for _, l := range a {
			if count[l] > 0 && !slices.Equal(slices.Sorted(slices.Values(w)), slices.Sorted(slices.Values(g))) {
				count[l]--
				continue
			}
			if n++; n <= 6 {
				b.WriteString("\n\t" + sign + " " + strings.ReplaceAll(strings.ReplaceAll(l, "\x01", " | "), null, "NULL"))
			}
		}
		if n > 6 {
			fmt.Fprintf(&b, "\n\t%s .. %d rows", sign, n)
		}
	}
	only("PostgreSQL", w, g)
	only("      ours", g, w)
	return b.String()
}

var (
	direction = regexp.MustCompile(`(?is)\s+(?:nulls\s+(?:first|last)|asc|desc|using\s+\S+|collate\s+\S+)\s*$`)
	afterKeys = []string{"limit", "offset", "fetch", "for", "window"}
)

// orderKeys finds the ORDER BY of the query itself (not of a part in parentheses): whether there is one, and which
// columns of the result its keys are; nil where one of them is no column.
func orderKeys(sql string, cols []column) (keys []int, ordered bool) {
	text := outermost(sql)
	i := strings.LastIndex(text, "order by ")
	if i < 0 {
		return nil, false
	}
	list := text[i+len("order by "):]
	for _, w := range afterKeys {
		if j := strings.Index(list, " "+w+" "); j >= 0 {
			list = list[:j]
		}
	}
	for key := range strings.SplitSeq(list, ",") {
		key = strings.TrimRight(key, "; ")
		for direction.MatchString(key) {
			key = direction.ReplaceAllString(key, "")
		}
		if key = strings.TrimSpace(key); key == "" {
			return nil, true
		}
		if n, err := strconv.Atoi(key); err == nil {
			if n < 1 || n > len(cols) {
				return nil, true
			}
			keys = append(keys, n-1)
			continue
		}
		if j := strings.LastIndexByte(key, '.'); j >= 0 {
			key = key[j+1:]
		}
		at := slices.IndexFunc(cols, func(c column) bool { return c.name == key })
		if at < 0 {
			return nil, true
		}
		keys = append(keys, at)
	}
	return keys, true
}

// outermost gives a query in lower case with single spaces, without what stands in parentheses, strings and comments.
func outermost(sql string) string {
	var b strings.Builder
	depth := 0
	for i := 0; i < len(sql); i++ {
		c := sql[i]
		switch {
		case c == '\'' || c == '"':
			end := strings.IndexByte(sql[i+1:], c)
			if end < 0 {
				end = len(sql) - i - 2
			}
			if c == '"' && depth == 0 {
				b.WriteString(sql[i+1 : i+1+end])
			}
			i += end + 1
		case c == '(' || c == '[':
			// A key with parentheses is no plain column.
			if depth++; depth == 1 {
				b.WriteString("()")
			}
		case c == ')' || c == ']':
			depth--
		case depth > 0:
		case c == '\n' || c == '\t' || c == '\r':
			b.WriteByte(' ')
		default:
			b.WriteByte(c)
		}
	}
	return strings.ToLower(strings.Join(strings.Fields(b.String()), " ")) + " "
}
