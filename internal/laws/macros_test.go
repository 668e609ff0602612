package laws

import (
	"fmt"
	"strings"
)

// expand replaces the window table functions {tumble REL SIZE}, {hop REL SLIDE SIZE}, {cumulate REL STEP SIZE} and
// {session REL GAP}, in seconds, by ours or by what PostgreSQL computes them with. REL may be a subquery in parentheses
// with a column ts.
func expand(sql string, postgres bool) string {
	for {
		i := strings.LastIndexByte(sql, '{') // the innermost of nested ones
		if i < 0 {
			return sql
		}
		j := i + strings.IndexByte(sql[i:], '}')
		body := sql[i+1 : j]
		kind, rest, _ := strings.Cut(body, " ")
		var rel string
		if rest[0] == '(' {
			k := strings.LastIndexByte(rest, ')')
			rel, rest = rest[:k+1], rest[k+1:]
		} else {
			rel, rest, _ = strings.Cut(rest, " ")
		}
		args := strings.Fields(rest)
		col := "ts"
		if _, ok := digits(args[len(args)-1]); !ok {
			col = args[len(args)-1]
			args = args[:len(args)-1]
		}
		f := ours
		if postgres {
			f = theirs
		}
		sql = sql[:i] + f(kind, rel, col, args) + sql[j+1:]
	}
}

func digits(s string) (string, bool) { return s, strings.Trim(s, "0123456789.-") == "" }

func seconds(s string) string { return "INTERVAL '" + s + " seconds'" }

func ours(kind, rel, col string, args []string) string {
	in := rel
	if rel[0] != '(' {
		in = "TABLE " + rel
	}
	switch kind {
	case "tumble":
		off := ""
		if len(args) > 1 {
			off = ", " + seconds(args[1])
		}
		return fmt.Sprintf("TUMBLE(%s, DESCRIPTOR(%s), %s%s)", in, col, seconds(args[0]), off)
	case "hop", "cumulate":
		return fmt.Sprintf("%s(%s, DESCRIPTOR(%s), %s, %s)", strings.ToUpper(kind), in, col, seconds(args[0]), seconds(args[1]))
	case "session":
		return fmt.Sprintf("SESSION(%s PARTITION BY k, DESCRIPTOR(%s), %s)", in, col, seconds(args[0]))
	}
	panic(kind)
}

// origin lies before all times, on the grid of every size up to a minute that 7 or a day's seconds are multiples of.
const origin = "timestamp '1900-01-04'"

func theirs(kind, rel, col string, args []string) string {
	base := fmt.Sprintf("(SELECT * FROM %s r0 WHERE isfinite(%s)) r", rel, col)
	window := func(starts, ends string) string {
		return fmt.Sprintf("(SELECT r.*, ws AS window_start, we AS window_end, we - interval '1 microsecond' AS window_time FROM %s, LATERAL %s AS s(ws), LATERAL %s AS t(we))",
			base, starts, ends)
	}
	bin := func(size, t string) string { return fmt.Sprintf("date_bin(%s, %s, %s)", seconds(size), t, origin) }
	switch kind {
	case "tumble":
		start := bin(args[0], "r."+col)
		if len(args) > 1 {
			start = fmt.Sprintf("date_bin(%s, r.%s, %s + %s)", seconds(args[0]), col, origin, seconds(args[1]))
		}
		return window("(SELECT "+start+")", "(SELECT ws + "+seconds(args[0])+")")
	case "hop":
		slide, size := args[0], args[1]
		return window(fmt.Sprintf("generate_series(%s + %s, %s, %s)", bin(slide, "r."+col+" - "+seconds(size)), seconds(slide), bin(slide, "r."+col), seconds(slide)),
			"(SELECT ws + "+seconds(size)+")")
	case "cumulate":
		step, size := args[0], args[1]
		return window("(SELECT "+bin(size, "r."+col)+")",
			fmt.Sprintf("(SELECT g FROM generate_series(ws + %s, ws + %s, %s) g WHERE g > r.%s)", seconds(step), seconds(size), seconds(step), col))
	case "session":
		gap := seconds(args[0])
		return fmt.Sprintf(`(SELECT q2.*, min(%[1]s) OVER (PARTITION BY k, g) AS window_start, max(%[1]s) OVER (PARTITION BY k, g) + %[2]s AS window_end,
			max(%[1]s) OVER (PARTITION BY k, g) + %[2]s - interval '1 microsecond' AS window_time
			FROM (SELECT q1.*, sum(b) OVER (PARTITION BY k ORDER BY %[1]s) AS g FROM
			(SELECT r.*, CASE WHEN %[1]s < lag(%[1]s) OVER (PARTITION BY k ORDER BY %[1]s) + %[2]s THEN 0 ELSE 1 END AS b FROM %[3]s) q1) q2)`, col, gap, base)
	}
	panic(kind)
}
