package parser

import (
	"flag"
	"runtime"
	"runtime/debug"
	"sort"
	"strings"
	"syscall"
	"testing"
	"time"

	"streamsql/internal/pgerr"
)

// longTexts are shapes of statements that a careless parser reads in more than linear time; each gives a text of about size bytes.
var longTexts = map[string]func(size int) string{
	"and or":            func(n int) string { return "SELECT a" + strings.Repeat(" AND b = 1 OR c > 2", n/19) },
	"parentheses":       func(n int) string { return "SELECT " + strings.Repeat("(", n/2) + "1" + strings.Repeat(")", n/2) },
	"open parentheses":  func(n int) string { return "SELECT " + strings.Repeat("(", n) },
	"queries":           func(n int) string { return strings.Repeat("(", n/2) + "SELECT 1" + strings.Repeat(")", n/2) },
	"open queries":      func(n int) string { return strings.Repeat("((SELECT ", n/9) },
	"alternating":       func(n int) string { return strings.Repeat("SELECT ((", n/9) },
	"in list":           func(n int) string { return "SELECT a IN (1" + strings.Repeat(", 1", n/3) + ")" },
	"in strings":        func(n int) string { return "SELECT a IN (''" + strings.Repeat(", 'é'", n/6) + ")" },
	"case":              func(n int) string { return "SELECT " + strings.Repeat("CASE WHEN a THEN ", n/17) },
	"whens":             func(n int) string { return "SELECT CASE" + strings.Repeat(" WHEN a = 1 THEN b", n/18) + " END" },
	"joins":             func(n int) string { return "SELECT 1 FROM a" + strings.Repeat(" JOIN b ON true", n/15) },
	"comma joins":       func(n int) string { return "SELECT 1 FROM a" + strings.Repeat(", a", n/3) },
	"nested joins":      func(n int) string { return "SELECT 1 FROM " + strings.Repeat("(a JOIN ", n/8) },
	"joined groups":     func(n int) string { return "SELECT 1 FROM " + strings.Repeat("(", n) },
	"concatenation":     func(n int) string { return "SELECT 'a'" + strings.Repeat(" || 'a'", n/7) },
	"continued strings": func(n int) string { return "SELECT 'a'" + strings.Repeat("\n'a'", n/4) },
	"unfinished string": func(n int) string { return "SELECT " + strings.Repeat("'a'\n", n/4) + "'" },
	"nested comments":   func(n int) string { return "SELECT 1 " + strings.Repeat("/*", n/4) + strings.Repeat("*/", n/4) },
	"open comments":     func(n int) string { return "SELECT 1 " + strings.Repeat("/*", n/2) },
	"slashes":           func(n int) string { return "SELECT 1 " + strings.Repeat("/ ", n/2) },
	"operator":          func(n int) string { return "SELECT 1 " + strings.Repeat("+-", n/2) + "1" },
	"line comments":     func(n int) string { return "SELECT 1 " + strings.Repeat("--\n", n/3) },
	"ctes": func(n int) string {
		return "WITH a AS (SELECT 1)" + strings.Repeat(", a AS (SELECT 1)", n/17) + " SELECT 1"
	},
	"nested ctes":       func(n int) string { return strings.Repeat("WITH a AS (", n/11) },
	"statements":        func(n int) string { return strings.Repeat("SELECT 1;", n/9) },
	"inserts":           func(n int) string { return strings.Repeat("INSERT INTO t VALUES (1, 'a', f(x));", n/36) },
	"values":            func(n int) string { return "INSERT INTO t VALUES (1, 'a')" + strings.Repeat(", (1, 'a')", n/10) },
	"values of calls":   func(n int) string { return "INSERT INTO t VALUES (f(1))" + strings.Repeat(", (f(1))", n/8) },
	"value queries":     func(n int) string { return "VALUES ((SELECT 1))" + strings.Repeat(", ((SELECT 1))", n/14) },
	"select list":       func(n int) string { return "SELECT a" + strings.Repeat(", b AS c", n/8) },
	"dots":              func(n int) string { return "SELECT a" + strings.Repeat(".a", n/2) },
	"fields":            func(n int) string { return "SELECT (a)" + strings.Repeat(".a", n/2) },
	"subscripts":        func(n int) string { return "SELECT a" + strings.Repeat("[1]", n/3) },
	"brackets":          func(n int) string { return "SELECT " + strings.Repeat("ARRAY[", n/6) },
	"casts":             func(n int) string { return "SELECT a" + strings.Repeat("::int", n/5) },
	"unions":            func(n int) string { return "SELECT 1" + strings.Repeat(" UNION SELECT 1", n/15) },
	"groups":            func(n int) string { return "SELECT 1 FROM t GROUP BY a" + strings.Repeat(", (a, b)", n/8) },
	"rollups":           func(n int) string { return "SELECT 1 FROM t GROUP BY a" + strings.Repeat(", ROLLUP (a, b)", n/15) },
	"subqueries":        func(n int) string { return "SELECT 1" + strings.Repeat(" + (SELECT 1)", n/13) },
	"listed subqueries": func(n int) string { return "SELECT 1" + strings.Repeat(", (SELECT 1)", n/12) },
	"windows":           func(n int) string { return "SELECT 1" + strings.Repeat(", sum(a) OVER (ORDER BY b)", n/26) },
	"calls":             func(n int) string { return "SELECT " + strings.Repeat("f(", n/2) },
	"modifiers":         func(n int) string { return "SELECT f(1" + strings.Repeat(", 1", n/3) + ") 'x'" },
	"many modifiers":    func(n int) string { return "SELECT " + strings.Repeat("f(", n/4) + strings.Repeat(") ''", n/4) },
	"session keys": func(n int) string {
		return "SELECT 1 FROM SESSION(t PARTITION BY a" + strings.Repeat(", a", n/3) + ", b, '1')"
	},
	"dollar quotes":   func(n int) string { return "SELECT " + strings.Repeat("$a$ ", n/4) },
	"dollar tags":     func(n int) string { return "SELECT " + strings.Repeat("$a", n/2) },
	"digits":          func(n int) string { return "SELECT " + strings.Repeat("9", n) },
	"identifier":      func(n int) string { return "SELECT " + strings.Repeat("é", n/2) },
	"quoted quotes":   func(n int) string { return `SELECT "` + strings.Repeat(`""`, n/2) + `"` },
	"unicode escapes": func(n int) string { return `SELECT U&'` + strings.Repeat(`\00e9`, n/5) + `'` },
	"escapes":         func(n int) string { return `SELECT E'` + strings.Repeat(`\u00e9`, n/6) + `'` },
	"bits":            func(n int) string { return `SELECT x'` + strings.Repeat(`f`, n) + `'` },
}

var linearSize = flag.Int("linear.size", 1<<17, "the bytes of the longest texts of TestLinear; make fuzz takes 1 MB")

// cpuTime is what the process has used of the processors: the machine may be busy with something else.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// TestLinear checks that sixteen times the text takes about sixteen times the time. A reader that is quadratic takes 256 times as long, so what a busy
// machine adds (the processor's caches are shared, its clock is not steady) does not decide. The collector, which comes when it likes, is off meanwhile.
func TestLinear(t *testing.T) {
	const times = 16
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	names := make([]string, 0, len(longTexts))
	for name := range longTexts {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		small, large := longTexts[name](*linearSize/times), longTexts[name](*linearSize)
		measure := func(sql string) time.Duration {
			runtime.GC()
			start := cpuTime()
			if _, err := Parse(sql); pgerr.Code(err) == pgerr.InternalError {
				t.Fatalf("%s: %v", name, err)
			}
			return cpuTime() - start
		}
		// The best time counts: only what stays slow is wrong.
		s, l := measure(small), measure(large)
		for range 20 {
			if l < 50*time.Millisecond || l < s*times*2 {
				break
			}
			s, l = min(s, measure(small)), min(l, measure(large))
		}
		t.Logf("%-18s %v for %d bytes, %v for %d", name, s, len(small), l, len(large))
		if l >= 50*time.Millisecond && l >= s*times*4 {
			t.Errorf("%s: %v for %d bytes, %v for %d", name, s, len(small), l, len(large))
		}
	}
}
