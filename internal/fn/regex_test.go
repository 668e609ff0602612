package fn

import (
	"slices"
	"strings"
	"testing"
	"time"

	"streamsql/internal/pgerr"
)

// What package regexp can do stays with it: only the rest takes the matcher of this package.
func TestRegexEngines(t *testing.T) {
	for _, c := range []struct {
		pattern     string
		inGo, exact bool
	}{
		{`^[a-z]+(\d+)$`, true, true}, {`a|ab`, true, true}, {`.*?b`, true, false}, {`(a|ab)(c|bcd)`, true, false},
		{`(a)\1`, false, true}, {`a(?=b)`, false, true}, {`\mb`, false, true}, {`[\W\d]`, false, true},
	} {
		r, err := compileRegex(c.pattern, defaultFlags())
		if err != nil {
			t.Fatal(err)
		}
		if r.re != nil != c.inGo || c.inGo && r.bounds != c.exact {
			t.Errorf("%s: Go's engine %v, its bounds %v", c.pattern, r.re != nil, r.bounds)
		}
	}
}

func TestRegexBounds(t *testing.T) {
	for _, c := range []struct {
		text, pattern string
		want          []int
	}{
		{"abcd", `(a|ab)(c|bcd)(d*)`, []int{0, 4, 0, 2, 2, 3, 3, 4}},
		{"XY1234Z", `Y*?([0-9]{1,3})`, []int{1, 3, 2, 3}},
		{"XY1234Z", `Y*([0-9]{1,3}?)`, []int{1, 5, 2, 5}},
		{"abc abc", `(\w+) \1`, []int{0, 7, 0, 3}},
		{"foobar", `(?<=foo)b(?!x)`, []int{3, 4}},
		{"éa éb", `\méb`, []int{4, 7}},
		{"aXbc", `(?<![a-z])[a-z]{2}`, []int{2, 4}},
	} {
		r, err := compileRegex(c.pattern, defaultFlags())
		if err != nil {
			t.Fatal(err)
		}
		if got, err := r.matcher(nil).find(c.text, 0); err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%q %s: %v %v, want %v", c.text, c.pattern, got, err, c.want)
		}
	}
}

// A pattern that would take for ever ends with an error, or when the statement is cancelled.
func TestRegexBounded(t *testing.T) {
	r, err := compileRegex(`^(a+)(a+)(a+)(a+)(a+)(a+)\1\2\3\4\5\6b$`, defaultFlags())
	if err != nil {
		t.Fatal(err)
	}
	text := []byte(strings.Repeat("a", 300) + "b")
	start := time.Now()
	if _, err = r.matcher(nil).match(text); pgerr.Code(err) != pgerr.InvalidRegularExpression {
		t.Errorf("%v", err)
	}
	if d := time.Since(start); d > 30*time.Second {
		t.Errorf("it took %v", d)
	}
	done := make(chan struct{})
	close(done)
	if _, err = r.matcher(&Ctx{Done: done}).match(text); pgerr.Code(err) != pgerr.QueryCanceled {
		t.Errorf("%v", err)
	}
	// Without back references the time is linear in the text, whatever is nested.
	r, err = compileRegex(`^(?:(?:a*)*)*(?!a)c`, defaultFlags())
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := r.matcher(nil).match([]byte(strings.Repeat("a", 1<<20))); ok || err != nil {
		t.Error(ok, err)
	}
	if _, err = compileRegex(strings.Repeat("(", 100_000)+strings.Repeat(")", 100_000), defaultFlags()); pgerr.Code(err) != pgerr.InvalidRegularExpression {
		t.Errorf("%v", err)
	}
	if _, err = compileRegex(`((((a{255}){255}){255}){255})\1`, defaultFlags()); pgerr.Code(err) != pgerr.InvalidRegularExpression {
		t.Errorf("%v", err)
	}
}

// FuzzRegex looks for patterns that panic or hang.
func FuzzRegex(f *testing.F) {
	for _, p := range []string{`(a|ab)(c|bcd)(d*)`, `(\w+) \1`, `(?<=foo)b(?!x)`, `[[:alpha:]-é]{2,3}?`, `((a*)*)*\2`} {
		f.Add(p, "abcabc é")
	}
	f.Fuzz(func(_ *testing.T, pattern, text string) {
		r, err := compileRegex(pattern, defaultFlags())
		if err == nil && r.prepare() == nil {
			_, _ = r.matcher(nil).find(text, 0)
			run := regexRun{re: r}
			run.begin(text)
			_ = run.find(0)
		}
	})
}
