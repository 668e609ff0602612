package planner

import (
	"flag"
	"fmt"
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

var rewrite = flag.Bool("rewrite", false, "rewrite the golden files")

func cols(spec string) []catalog.Column {
	var out []catalog.Column
	for _, f := range strings.Split(spec, ",") {
		w := strings.Fields(f)
		t, ok := types.Lookup(w[1])
		if !ok {
			panic(w[1])
		}
		out = append(out, catalog.Column{Name: w[0], Type: t, NotNull: len(w) > 2})
	}
	return out
}

func testCatalog() *catalog.Snapshot {
	s := catalog.NewSnapshot(nil)
	oid := catalog.FirstUserOID
	add := func(r *catalog.Relation) {
		r.OID = oid
		oid++
		if r.Schema == "" {
			r.Schema = "public"
		}
		s = s.With(r)
	}
	bid := "auction int8,bidder int8,price int8,channel text,url text,date_time timestamp,extra text"
	add(&catalog.Relation{Name: "bid", Kind: catalog.Source, Columns: cols(bid),
		Watermark: &catalog.Watermark{Column: 5, Expr: "date_time - interval '4 seconds'"},
		Options:   []catalog.Option{{Name: "watermark.idle_timeout", Value: "5 seconds"}}})
	add(&catalog.Relation{Name: "auction", Kind: catalog.Source, Columns: cols("id int8,item_name text,seller int8,category int8,reserve int8,date_time timestamp,expires timestamp"),
		Watermark: &catalog.Watermark{Column: 5}})
	add(&catalog.Relation{Name: "person", Kind: catalog.Source, Columns: cols("id int8,name text,city text,state text,date_time timestamp"),
		Watermark: &catalog.Watermark{Column: 4}})
	add(&catalog.Relation{Name: "file", Kind: catalog.Source, Bounded: true, Columns: cols(bid), Watermark: &catalog.Watermark{Column: 5}})
	add(&catalog.Relation{Name: "plain", Kind: catalog.Source, Columns: cols("a int4,b text,ts timestamp")})
	add(&catalog.Relation{Name: "t", Kind: catalog.Table, Columns: cols("id int4 notnull,k text,v int4,ts timestamp,tz timestamptz"), PrimaryKey: []int{0}, PrimaryKeyName: "t_pkey"})
	add(&catalog.Relation{Name: "s", Kind: catalog.Table, Columns: cols("id int4,tid int4,name text,num numeric,f float8,arr _int4")})
	add(&catalog.Relation{Name: "ev", Kind: catalog.Table, Columns: cols("ts timestamp,k text,v int4"), Watermark: &catalog.Watermark{Column: 0}})
	gen := cols("id int4 notnull,a int4,b int4,c text")
	gen[2].Generated = "a * 2"
	gen[3].Default = "'x'"
	add(&catalog.Relation{Name: "g", Kind: catalog.Table, Columns: gen, PrimaryKey: []int{0}, PrimaryKeyName: "g_pkey"})
	add(&catalog.Relation{Name: "vw", Kind: catalog.View, Columns: cols("k text,total int8"), Definition: "SELECT k, sum(v) FROM t GROUP BY k"})
	add(&catalog.Relation{Name: "mv", Kind: catalog.MatView, Columns: cols("k text,n int8"), Key: []int{0}, Retracts: true})
	return s
}

func options() *Options {
	return &Options{Catalog: testCatalog(), SearchPath: []string{"public"}, Env: &types.Env{}, Fold: fold}
}

func plan(sql string) (string, error) {
	st, err := parser.ParseOne(sql)
	if err != nil {
		return "", fmt.Errorf("parse: %w", err)
	}
	o := options()
	verbose := false
	if x, ok := st.(*ast.Explain); ok {
		verbose, st = x.Verbose, x.Stmt
	}
	var root Node
	var tail string
	var d *DML
	switch st := st.(type) {
	case *ast.Query:
		q, e := PlanQuery(st, o)
		if e != nil {
			return "", e
		}
		root = q.Root
		var fs []string
		for _, f := range q.Columns {
			fs = append(fs, f.Name+" "+f.Type.Format())
		}
		tail = "columns: " + strings.Join(fs, ", ")
		if len(q.Params) > 0 {
			tail += fmt.Sprintf("\nparams: %v", q.Params)
		}
	case *ast.Insert:
		d, err = PlanDML(st, o)
	case *ast.Update:
		d, err = PlanDML(st, o)
	case *ast.Delete:
		d, err = PlanDML(st, o)
	case *ast.Subscribe:
		q, e := PlanSubscribe(st, o)
		if e != nil {
			return "", e
		}
		root = q.Root
	default:
		return "", fmt.Errorf("%T", st)
	}
	if err != nil {
		return "", err
	}
	if d != nil {
		root = d.Source
		var fs []string
		for _, f := range d.ResultColumns {
			fs = append(fs, f.Name+" "+f.Type.Format())
		}
		if d.HasReturning {
			tail = "returning: " + strings.Join(fs, ", ")
		}
		if d.OnConflict != nil && d.OnConflict.Update != nil {
			tail = strings.TrimSpace(tail + "\non conflict:\n" + Explain(d.OnConflict.Update, verbose))
		}
	}
	return Explain(root, verbose) + "\n" + tail, nil
}

func render(sql string) string {
	out, err := plan(sql)
	if err != nil {
		e := pgerr.From(err)
		out = fmt.Sprintf("ERROR %s: %s", e.Code, e.Message)
		if e.Position > 0 {
			at := []rune(sql)
			if e.Position <= len(at) {
				out += fmt.Sprintf("\nat: %.20s", strings.ReplaceAll(string(at[e.Position-1:]), "\n", " "))
			}
		}
		if e.Detail != "" {
			out += "\ndetail: " + e.Detail
		}
		if e.Hint != "" {
			out += "\nhint: " + e.Hint
		}
	}
	return strings.TrimRight(out, "\n")
}

// TestPlans compares the plans of testdata/plan: statements, "----", what is expected, an empty line.
func TestPlans(t *testing.T) {
	files, err := filepath.Glob("../../testdata/plan/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no golden files", err)
	}
	for _, f := range files {
		t.Run(strings.TrimSuffix(filepath.Base(f), ".txt"), func(t *testing.T) {
			data, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			var out strings.Builder
			for _, block := range strings.Split(strings.TrimSpace(string(data)), "\n\n") {
				sql, want, _ := strings.Cut(block+"\n", "\n----\n")
				comment := ""
				for strings.HasPrefix(sql, "#") {
					var line string
					line, sql, _ = strings.Cut(sql, "\n")
					comment += line + "\n"
				}
				sql = strings.TrimSpace(sql)
				if sql == "" {
					out.WriteString(comment + "\n")
					continue
				}
				got := render(sql)
				if got != strings.TrimSpace(want) && !*rewrite {
					t.Errorf("%s\ngot:\n%s\nwant:\n%s", sql, got, want)
				}
				fmt.Fprintf(&out, "%s%s\n----\n%s\n\n", comment, sql, got)
			}
			if *rewrite {
				if err := os.WriteFile(f, []byte(strings.TrimRight(out.String(), "\n")+"\n"), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}
