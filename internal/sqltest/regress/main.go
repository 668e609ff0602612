// The command regress runs PostgreSQL 15's own regression tests against this engine.
//
// The scripts come from the system's source package of PostgreSQL and are kept in a cache; nothing of them is part of this
// repository. Each script is sent a statement at a time to a private PostgreSQL 15 and to our server, with the simple
// protocol, and PostgreSQL's live answers are compared with ours: rows (in their order where the query has an ORDER BY),
// names of columns, OIDs of their types, command tags and SQLSTATEs.
//
//	go run ./internal/sqltest/regress                       the shares
//	go run ./internal/sqltest/regress -run '^int' -diff     with the statements that differ, by cause
package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"streamsql/internal/pgtest"
)

type options struct {
	run     string
	cache   string
	bin     string
	more    bool
	diff    bool
	whole   bool
	timeout time.Duration
	want    float64
	wantT   float64
}

func main() {
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	var o options
	flag.StringVar(&o.run, "run", "", "only the scripts whose names fit this regular expression")
	flag.StringVar(&o.cache, "cache", filepath.Join(cache, "streamsql"), "directory that keeps PostgreSQL's scripts")
	flag.StringVar(&o.bin, "bin", "", "the streamsql program to test (built from this source if not given)")
	flag.BoolVar(&o.more, "more", false, "also the scripts that are not judged")
	flag.BoolVar(&o.diff, "diff", false, "list the statements that differ, grouped by cause")
	flag.BoolVar(&o.whole, "all", false, "with -diff: also those outside of this engine's scope")
	flag.DurationVar(&o.timeout, "timeout", 20*time.Second, "how long a statement may take")
	flag.Float64Var(&o.want, "want", 0, "fail when less than this percentage of all statements agrees")
	flag.Float64Var(&o.wantT, "want-types", 0, "fail when less than this percentage agrees in the scripts about types")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	code, err := regress(ctx, o)
	if err != nil {
		fmt.Fprintln(os.Stderr, "regress:", err)
		code = 1
	}
	os.Exit(code)
}

func regress(ctx context.Context, o options) (int, error) {
	which, err := regexp.Compile(o.run)
	if err != nil {
		return 2, err
	}
	src, err := fetchSource(o.cache)
	if err != nil {
		fmt.Println("skipped:", err)
		return 0, nil
	}
	pg, err := pgtest.Start()
	if err != nil {
		fmt.Println("skipped: PostgreSQL 15 is not to be had:", err)
		return 0, nil
	}
	defer pg.Stop()
	tmp, err := os.MkdirTemp("", "streamsql-regress")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(tmp)
	if o.bin == "" {
		o.bin = filepath.Join(tmp, "streamsql")
		if out, err := exec.Command("go", "build", "-o", o.bin, "streamsql/cmd/streamsql").CombinedOutput(); err != nil {
			return 1, fmt.Errorf("go build: %v\n%s", err, out)
		}
	}
	if o.bin, err = filepath.Abs(o.bin); err != nil {
		return 1, err
	}
	r := &runner{ctx: ctx, o: o, src: src, pg: pg, log: filepath.Join(tmp, "log")}
	fmt.Printf("%-20s %6s %6s %7s    %s\n", "", "same", "of", "", "without what is outside")
	var all []outcome
	for _, f := range files {
		if !which.MatchString(f.name) || f.group == more && !o.more && o.run == "" {
			continue
		}
		done, err := r.file(f)
		if err != nil {
			return 1, fmt.Errorf("%s: %w", f.name, err)
		}
		all = append(all, done...)
		fmt.Println(shares(f.name, done))
	}
	return report(all, o), nil
}

// outcome is what became of one statement.
type outcome struct {
	file, group string
	line        int
	sql         string
	diff        string // "" where both agree
	outside     string // why the statement is outside, "" where it is not
	crash       bool
}

func shares(name string, all []outcome) string {
	same, in, sameIn := 0, 0, 0
	for _, c := range all {
		if c.diff == "" {
			same++
		}
		if c.outside == "" {
			in++
			if c.diff == "" {
				sameIn++
			}
		}
	}
	return fmt.Sprintf("%-20s %6d %6d %6.1f%%    %6d %6d %6.1f%%", name, same, len(all), percent(same, len(all)), sameIn, in, percent(sameIn, in))
}

func percent(n, of int) float64 {
	if of == 0 {
		return 100
	}
	return 100 * float64(n) / float64(of)
}

func report(all []outcome, o options) (code int) {
	pick := func(f func(outcome) bool) (out []outcome) {
		for _, c := range all {
			if f(c) {
				out = append(out, c)
			}
		}
		return out
	}
	fmt.Println()
	typed := pick(func(c outcome) bool { return c.group == types })
	for _, g := range []string{types, queries, statements, more} {
		if part := pick(func(c outcome) bool { return c.group == g }); len(part) > 0 {
			fmt.Println(shares(g, part))
		}
	}
	judged := pick(func(c outcome) bool { return c.group != more })
	fmt.Println(shares("total", judged))
	fmt.Println("\nwhat is outside, by reason (statements, and how many of them differ):")
	for _, x := range outside {
		in := pick(func(c outcome) bool { return c.group != more && c.outside == x.reason })
		bad := 0
		for _, c := range in {
			if c.diff != "" {
				bad++
			}
		}
		fmt.Printf("  %5d %5d  %s\n", len(in), bad, x.reason)
	}
	if o.diff {
		differences(pick(func(c outcome) bool { return c.diff != "" && (o.whole || c.outside == "") }))
	}
	for _, c := range all {
		if c.crash {
			fmt.Printf("crash: %s:%d: %s\n\t%s\n", c.file, c.line, c.sql, c.diff)
			code = 1
		}
	}
	same := func(part []outcome) float64 {
		n := 0
		for _, c := range part {
			if c.diff == "" {
				n++
			}
		}
		return percent(n, len(part))
	}
	if got := same(judged); got < o.want {
		fmt.Printf("FAIL: %.1f%% of all statements agree, %.1f%% are wanted\n", got, o.want)
		code = 1
	}
	if got := same(typed); got < o.wantT {
		fmt.Printf("FAIL: %.1f%% of the statements about types agree, %.1f%% are wanted\n", got, o.wantT)
		code = 1
	}
	return code
}

var (
	names  = regexp.MustCompile(`"[^"]*"`)
	digits = regexp.MustCompile(`\d+`)
)

// differences prints statements grouped by what differs, with names and numbers left out of the group's title.
func differences(all []outcome) {
	groups := map[string][]outcome{}
	for _, c := range all {
		title, _, _ := strings.Cut(c.diff, "\n")
		if strings.HasPrefix(title, "error: ") || strings.HasPrefix(title, "SQLSTATE: ") {
			kind, code, message := title[:strings.Index(title, " ")], "", ""
			code, message, _ = strings.Cut(title[len(kind)+1:], " ")
			title = kind + " " + code + " " + digits.ReplaceAllString(names.ReplaceAllString(message, `".."`), "N")
		} else if strings.HasPrefix(title, "no error: ") {
			title = title[:min(len(title), len("no error: PostgreSQL says 00000"))]
		} else {
			title, _, _ = strings.Cut(title, ":")
		}
		groups[title] = append(groups[title], c)
	}
	titles := make([]string, 0, len(groups))
	for t := range groups {
		titles = append(titles, t)
	}
	slices.SortFunc(titles, func(a, b string) int {
		return cmp.Or(cmp.Compare(len(groups[b]), len(groups[a])), cmp.Compare(a, b))
	})
	for _, t := range titles {
		fmt.Printf("\n== %d  %s\n", len(groups[t]), t)
		for _, c := range groups[t] {
			fmt.Printf("%s:%d: %s\n\t%s\n", c.file, c.line, strings.ReplaceAll(c.sql, "\n", "\n\t"), c.diff)
		}
	}
}
