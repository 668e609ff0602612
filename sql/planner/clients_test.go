package planner

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"streamsql/catalog"
	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/sql/parser"
	"streamsql/sql/parser/ast"
)

// TestClientQueries plans the catalogue queries of real clients, from testdata/clients.
func TestClientQueries(t *testing.T) {
	dir := os.Getenv("CLIENT_QUERIES")
	if dir == "" {
		dir = "../../testdata/clients"
	}
	files, _ := filepath.Glob(dir + "/*.sql")
	if len(files) == 0 {
		t.Skip("no client queries")
	}
	cat := catalog.NewSnapshot(catalog.SystemRelations())
	for _, r := range testCatalog().Relations() {
		cat = cat.With(r)
	}
	n, ok := 0, 0
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, sql := range strings.Split(string(data), "\n----\n") {
			st, err := parser.ParseOne(strings.TrimSpace(sql))
			if err != nil {
				continue
			}
			q, isQuery := st.(*ast.Query)
			if !isQuery {
				continue
			}
			n++
			_, err = PlanQuery(q, &Options{Catalog: cat, SearchPath: []string{"public"}, Env: &types.Env{}, Fold: fold})
			if err == nil {
				ok++
				continue
			}
			e := pgerr.From(err)
			at := ""
			if r := []rune(strings.TrimSpace(sql)); e.Position > 0 && e.Position <= len(r) {
				at = string(r[e.Position-1 : min(len(r), e.Position+30)])
			}
			if e.Code == pgerr.InternalError || testing.Verbose() {
				t.Logf("%s: %s %s [%s]", filepath.Base(f), e.Code, e.Message, at)
			}
			if e.Code == pgerr.InternalError {
				t.Errorf("internal error planning %s", sql)
			}
		}
	}
	t.Logf("%d of %d planned", ok, n)
}
