package sqltest

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgconn"

	"streamsql/internal/pgerr"
	"streamsql/sql/parser"
)

var (
	syntaxFiles = flag.String("syntax.files", "", "a glob of more SQL scripts whose statements TestSyntax compares")
	syntaxCases = flag.Int("syntax.cases", 3000, "how many damaged statements TestSyntax compares")
	syntaxSeed  = flag.Int64("syntax.seed", 0, "the seed of TestSyntax; 0 takes the time")
)

// syntaxProbe stands before a statement: PostgreSQL parses the whole text before it runs any of it, so its error tells
// whether the statement parses, and nothing of it is executed.
const syntaxProbe = "SELECT 1/0; "

// syntaxOutcome is what a parser says of a statement: nothing, or its complaint.
type syntaxOutcome struct {
	code, message string
	position      int
}

func (o syntaxOutcome) String() string {
	if o.code == "" {
		return "it parses"
	}
	return fmt.Sprintf("%s %s at %d", o.code, o.message, o.position)
}

func theirSyntax(c *pgconn.PgConn, sql string) (syntaxOutcome, error) {
	_, err := c.Exec(context.Background(), syntaxProbe+sql).ReadAll()
	var pe *pgconn.PgError
	if !errors.As(err, &pe) {
		return syntaxOutcome{}, fmt.Errorf("%q: %v", sql, err)
	}
	if pe.Code == pgerr.DivisionByZero {
		return syntaxOutcome{}, nil
	}
	o := syntaxOutcome{code: pe.Code, message: pe.Message, position: int(pe.Position)}
	if o.position > 0 {
		o.position -= utf8.RuneCountInString(syntaxProbe)
	}
	return o, nil
}

func ourSyntax(sql string) syntaxOutcome {
	_, err := parser.Parse(sql)
	if err == nil {
		return syntaxOutcome{}
	}
	e := pgerr.From(err)
	return syntaxOutcome{code: e.Code, message: e.Message, position: e.Position}
}

// ownSyntax says whether the text has words of ours, which PostgreSQL cannot know, or of statements that are not ours.
func ownSyntax(sql string) bool {
	s := strings.ToLower(sql)
	for _, w := range []string{"emit", "tumble", "hop(", "cumulate", "session(", "source", "sink", "subscribe", "watermark", "append only",
		"asof", "system_time", "descriptor", "ignore nulls", "respect nulls", "generated always as", "(timeout"} {
		if strings.Contains(s, w) {
			return true
		}
	}
	return false
}

// querySyntax says whether a statement is one of those whose grammar is complete here.
func querySyntax(sql string) bool {
	s := strings.ToLower(strings.TrimLeft(sql, " \t\n("))
	for _, w := range []string{"select", "with", "values", "table", "insert", "update", "delete"} {
		if strings.HasPrefix(s, w) {
			return true
		}
	}
	return false
}

func syntaxCorpus(t *testing.T) []string {
	t.Helper()
	var out []string
	seen := map[string]bool{}
	add := func(sql string) {
		if sql = strings.TrimSpace(sql); sql != "" && !seen[sql] && !ownSyntax(sql) && utf8.ValidString(sql) {
			seen[sql] = true
			out = append(out, sql)
		}
	}
	for _, sc := range scripts(t) {
		for _, r := range sc.records {
			if r.postgres {
				add(r.sql)
			}
		}
	}
	files, _ := filepath.Glob("../../sql/parser/testdata/clients/*.sql")
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, sql := range strings.Split("\n"+string(text), "\n----\n") {
			if querySyntax(sql) {
				add(sql)
			}
		}
	}
	if *syntaxFiles != "" {
		files, err := filepath.Glob(*syntaxFiles)
		if err != nil || len(files) == 0 {
			t.Fatal(*syntaxFiles, err)
		}
		for _, f := range files {
			text, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			stmts, _, _ := parser.Split(string(text))
			for _, sql := range stmts {
				if querySyntax(sql) {
					add(sql)
				}
			}
		}
	}
	return out
}

// damage changes a statement at random: words are dropped, doubled, swapped, or taken from elsewhere.
func damage(r *rand.Rand, sql string, words []string) string {
	w := strings.Fields(spaced(sql))
	for range 1 + r.Intn(2) {
		if len(w) < 2 {
			break
		}
		i := r.Intn(len(w))
		switch r.Intn(4) {
		case 0:
			w = append(w[:i:i], w[i+1:]...)
		case 1:
			w = append(w[:i+1:i+1], w[i:]...)
		case 2:
			j := r.Intn(len(w))
			w[i], w[j] = w[j], w[i]
		default:
			w = append(append(w[:i:i], words[r.Intn(len(words))]), w[i:]...)
		}
	}
	return strings.Join(w, " ")
}

// spaced puts blanks around what may be taken apart.
func spaced(sql string) string {
	return strings.NewReplacer("(", " ( ", ")", " ) ", ",", " , ", "::", " :: ", "[", " [ ", "]", " ] ", "=", " = ", "'", " '").Replace(sql)
}

// TestSyntax compares what parses, and where and how the parser complains, with PostgreSQL: the statements of the SQL
// tests and of real clients as they are, and damaged at random. A refusal with 0A000 is a decision and no difference.
func TestSyntax(t *testing.T) {
	c := postgres(t).database(t)
	corpus := syntaxCorpus(t)
	if len(corpus) < 500 {
		t.Fatalf("only %d statements", len(corpus))
	}
	refused := map[string]int{}
	check := func(sql string) string {
		t.Helper()
		want, err := theirSyntax(c, sql)
		if err != nil {
			t.Fatal(err)
		}
		got := ourSyntax(sql)
		switch {
		case got == want:
			return ""
		case got.code == pgerr.FeatureNotSupported:
			refused[got.message]++
			return ""
		// What we allow, as PostgreSQL 16 does, and what only PostgreSQL's analysis refuses.
		case strings.Contains(want.message, "must have an alias"), strings.Contains(got.message, "VALUES lists must"),
			strings.Contains(got.message, "is not a valid binary digit"), strings.Contains(got.message, "is not a valid hexadecimal digit"), got.code == pgerr.InvalidFunctionDefinition:
			return ""
		}
		return fmt.Sprintf("%s\nours:       %v\nPostgreSQL: %v", sql, got, want)
	}
	for _, sql := range corpus {
		if d := check(sql); d != "" {
			t.Error(d)
		}
	}
	t.Logf("%d statements; refused: %v", len(corpus), refused)
	seed := *syntaxSeed
	if seed == 0 {
		seed = time.Now().UnixNano()
	}
	r := rand.New(rand.NewSource(seed))
	var words []string
	for _, w := range parser.Keywords() {
		if !ownSyntax(w) {
			words = append(words, w)
		}
	}
	words = append(words, strings.Fields(`( ) ( ) [ ] , , . ; : :: := => = <> < + - * / ^ || -> $1 1 1.5 'x' a b c.d NULL NOT AND OR IS IN LIKE BETWEEN CASE`)...)
	var different []string
	for range *syntaxCases {
		sql := damage(r, corpus[r.Intn(len(corpus))], words)
		if ownSyntax(sql) || !querySyntax(sql) {
			continue
		}
		if d := check(sql); d != "" {
			different = append(different, d)
		}
	}
	// A few words of PostgreSQL's grammar are given up one token later or earlier.
	if len(different) > *syntaxCases/200 {
		t.Errorf("seed %d: %d of %d damaged statements are judged differently", seed, len(different), *syntaxCases)
	}
	if len(different) > *syntaxCases/200 || testing.Verbose() {
		for _, d := range different {
			t.Log(d)
		}
	}
}
