package fn

import (
	"bufio"
	"math"
	"os"
	"strconv"
	"strings"
	"testing"

	"streamsql/internal/types"
)

// testdata/golden.txt holds calls and what PostgreSQL 15 answers, one a line:
//
//	name or operator|type:value|..|result type|result
//
// An operator's name starts with a blank. A type "unknown" is a bare literal; \N is NULL; a failure is ERROR and its SQLSTATE.
func TestGolden(t *testing.T) {
	f, err := os.Open("testdata/golden.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	c := &Ctx{Env: types.Env{}}
	sc := bufio.NewScanner(f)
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		w := strings.Split(sc.Text(), "\t")
		if len(w) < 3 {
			continue
		}
		name, isOp := strings.CutPrefix(w[0], " ")
		var args []literal
		for _, a := range w[1 : len(w)-2] {
			typ, val, _ := strings.Cut(a, ":")
			if val == `\N` {
				val = null
			}
			args = append(args, literal{mustType(typ), strings.ReplaceAll(val, `\n`, "\n")})
		}
		wantType, want := w[len(w)-2], strings.ReplaceAll(w[len(w)-1], `\n`, "\n")
		got, gotType := call(t, c, name, isOp, args...)
		ok := got == want && (gotType.Format() == wantType || want == "NULL")
		if gotType.Is(types.Float8) && !ok {
			// The last digit of a transcendental function is the library's.
			x, err1 := strconv.ParseFloat(got, 64)
			y, err2 := strconv.ParseFloat(want, 64)
			ok = err1 == nil && err2 == nil && math.Abs(x-y) <= 2e-14*math.Abs(y)
		}
		if code, isErr := strings.CutPrefix(want, "ERROR "); isErr {
			ok = strings.HasPrefix(got, "!"+code)
		}
		if !ok {
			t.Errorf("%q: got %s %q", sc.Text(), gotType.Format(), got)
		}
	}
}
