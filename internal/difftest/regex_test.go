package difftest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"streamsql/engine"
	"streamsql/internal/pgtest"
)

// regexGen writes random regular expressions over a small alphabet, where matches are frequent and ambiguous.
type regexGen struct {
	r      *rand.Rand
	groups int
	closed []int
	look   int
}

func (g *regexGen) alternatives(depth int) string {
	var b strings.Builder
	for i := range 1 + g.r.IntN(5)/3 {
		if i > 0 {
			b.WriteByte('|')
		}
		for range g.r.IntN(4) {
			b.WriteString(g.piece(depth))
		}
	}
	return b.String()
}

func (g *regexGen) piece(depth int) string {
	if g.r.IntN(9) == 0 {
		if g.r.IntN(2) == 0 || depth <= 0 {
			return pick(g.r, `^`, `$`, `\m`, `\M`, `\y`, `\Y`, `\A`, `\Z`, `[[:<:]]`)
		}
		g.look++
		s := pick(g.r, "(?=", "(?!", "(?<=", "(?<!") + g.alternatives(depth-1) + ")"
		g.look--
		return s
	}
	s := g.atom(depth)
	if g.r.IntN(5) < 2 {
		s += pick(g.r, "*", "+", "?", "*?", "+?", "??", "{2}", "{1,2}", "{0,1}?", "{1,1}?", "{2}?", "{0}", "{2,}", "{1,}?", "{0,2}")
	}
	return s
}

func (g *regexGen) atom(depth int) string {
	switch n := g.r.IntN(12); {
	case n < 3 && depth > 0:
		own := 0
		if g.look == 0 {
			g.groups++
			own = g.groups
		}
		s := "(" + g.alternatives(depth-1) + ")"
		if own > 0 {
			g.closed = append(g.closed, own)
		}
		return s
	case n == 3 && depth > 0:
		return "(?:" + g.alternatives(depth-1) + ")"
	case n == 4 && len(g.closed) > 0 && g.look == 0:
		return fmt.Sprintf(`\%d`, pick(g.r, g.closed...))
	case n < 7:
		return pick(g.r, ".", "[ab]", "[^a]", `\w`, `\W`, `\s`, "[b-é]", "[[:alpha:]]", `\S`, "[^[:space:]b]")
	}
	return pick(g.r, "a", "b", "a", "b", "é", " ", "A")
}

// TestRegexes compares the matches of random regular expressions with PostgreSQL's.
func TestRegexes(t *testing.T) {
	server, err := pgtest.Start()
	if err != nil {
		t.Skipf("not compared with PostgreSQL 15: %v", err)
	}
	defer server.Stop()
	c, err := pgconn.Connect(context.Background(), server.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.Background())
	e, err := engine.Open(engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	s, err := e.NewSession(engine.SessionOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	first := *seed
	if first == 0 {
		first = uint64(time.Now().UnixNano())
	}
	t.Logf("-difftest.seed %d", first)
	r := rand.New(rand.NewPCG(first, 11))
	found := 0
	for range *queries {
		g := &regexGen{r: r}
		pattern := g.alternatives(3)
		var text strings.Builder
		for range r.IntN(9) {
			text.WriteString(pick(r, "a", "b", "a", "b", "é", " ", "A", "\n"))
		}
		flags := pick(r, "", "", "g", "g", "gi", "n", "gn", "gw", "p")
		args := quote(text.String()) + ", " + quote(pattern)
		sql := "SELECT regexp_matches(" + args + ", " + quote(flags) + ")"
		switch r.IntN(6) {
		case 0:
			sql = "SELECT " + quote(text.String()) + " ~ " + quote(pattern)
		case 1:
			sql = "SELECT regexp_replace(" + args + `, '<\1\&>', ` + quote(flags) + ")"
		case 2:
			sql = "SELECT regexp_split_to_array(" + args + ", " + quote(strings.Trim(flags, "g")) + "), substring(" + quote(text.String()) + " from " + quote(pattern) + ")"
		}
		want, err := theirs(c, sql)
		if err != nil {
			t.Fatal(err)
		}
		got := ours(s, sql)
		if got.code != want.code || strings.Join(got.rows, "\n") != strings.Join(want.rows, "\n") {
			t.Errorf("%s\n  PostgreSQL %s %s %q\n  ours       %s %s %q", sql, want.code, want.message, want.rows, got.code, got.message, got.rows)
			if found++; found >= *most {
				t.FailNow()
			}
		}
	}
}
