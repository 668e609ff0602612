package file

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v17/arrow/memory"

	"streamsql/connector"
	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/internal/vec"
)

func write(t *testing.T, name, content string) string {
	t.Helper()
	p := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(p, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return p
}

// readAll opens a source and gives its rows as text, polled most rows at a time and reopened at its offset after each poll if restart is set.
func readAll(t *testing.T, cols []vec.Field, project []int, opts map[string]string, most int, restart bool) ([]string, error) {
	t.Helper()
	a := memory.NewCheckedAllocator(memory.NewGoAllocator())
	defer a.AssertSize(t, 0)
	cfg := &connector.Config{Columns: cols, Project: project, Options: opts, Alloc: a}
	if opts["bad_data"] == "drop" {
		cfg.BadRow = func(*connector.BadRow) error { return nil }
	}
	s := &vec.Schema{}
	for _, p := range project {
		s.Fields = append(s.Fields, cols[p])
	}
	b := vec.NewBuilder(a, s)
	defer b.Release()
	src, err := Connector{}.Open(context.Background(), cfg, nil)
	if err != nil {
		return nil, err
	}
	var out []string
	for {
		p, err := src.Poll(context.Background(), b, most)
		if err != nil {
			src.Close()
			return nil, err
		}
		batch := b.Finish()
		views := batch.Views(nil)
		for i := range batch.N {
			var vals []string
			for c := range views {
				d := views[c].Datum(i)
				if d == nil {
					vals = append(vals, "NULL")
				} else {
					vals = append(vals, string(types.AppendText(nil, &types.Env{}, s.Fields[c].Type, d)))
				}
			}
			out = append(out, strings.Join(vals, "|"))
		}
		batch.Release()
		if p.Status == connector.End {
			return out, src.Close()
		}
		if restart {
			at := src.Offset()
			src.Close()
			if src, err = (Connector{}).Open(context.Background(), cfg, at); err != nil {
				return nil, err
			}
		}
	}
}

var abc = []vec.Field{{Name: "a", Type: types.Int4}, {Name: "b", Type: types.Text}, {Name: "c", Type: types.Timestamp}}

// TestFormats: csv and ndjson give the same rows, by pieces of any size and with a restart after each, projected or not.
func TestFormats(t *testing.T) {
	csv := write(t, "t.csv", "c,a,extra,b\n2026-01-01,1,x,\"q\"\"uo,te\"\r\n,2,y,\"two\nlines\"\n2026-01-03 10:00:00.5,-3,z,\n")
	js := write(t, "t.ndjson", `{"a":1,"b":"q\"uo,te","c":"2026-01-01","extra":{"x":[1,{}]}}
{"c":null,"b":"two\nlines","a":2}

{"a":-3,"c":"2026-01-03T10:00:00.5"}
`)
	want := []string{"1|q\"uo,te|2026-01-01 00:00:00", "2|two\nlines|NULL", "-3|NULL|2026-01-03 10:00:00.5"}
	for _, path := range []string{csv, js} {
		for _, most := range []int{1, 2, 8192} {
			for _, restart := range []bool{false, true} {
				got, err := readAll(t, abc, []int{0, 1, 2}, map[string]string{"path": path}, most, restart)
				if err != nil {
					t.Fatalf("%s: %v", path, err)
				}
				if fmt.Sprint(got) != fmt.Sprint(want) {
					t.Errorf("%s by %d, restart %v:\n got %q\nwant %q", filepath.Base(path), most, restart, got, want)
				}
				one, err := readAll(t, abc, []int{0}, map[string]string{"path": path}, most, restart)
				if err != nil || fmt.Sprint(one) != "[1 2 -3]" {
					t.Errorf("%s projected: %v %v", filepath.Base(path), one, err)
				}
			}
		}
	}
}

// TestBadRows: the first bad row is an error that names its place; left out, the rest is the same whatever is projected.
func TestBadRows(t *testing.T) {
	for name, content := range map[string]string{
		"t.csv":    "a,b,c\n1,x,2026-01-01\nzz,y,2026-01-01\n3,z\n4,w,2026-13-01\n5,v,2026-01-05\n",
		"t.ndjson": `{"a":1,"b":"x"}` + "\n" + `{"a":"zz","b":"y"}` + "\n" + `{"a":3,` + "\n" + `{"a":4,"c":"2026-13-01"}` + "\n" + `{"a":5,"b":"v"}` + "\n",
	} {
		path := write(t, name, content)
		_, err := readAll(t, abc, []int{0, 1, 2}, map[string]string{"path": path}, 100, false)
		if e := pgerr.From(err); e == nil || e.Code != pgerr.InvalidTextRepresentation || !strings.HasSuffix(e.Where, name+", line "+map[string]string{"t.csv": "3", "t.ndjson": "2"}[name]) || e.Hint == "" {
			t.Errorf("%s: %+v", name, err)
		}
		for _, project := range [][]int{{0}, {1, 0}, {0, 1, 2}} {
			got, err := readAll(t, abc, project, map[string]string{"path": path, "bad_data": "drop"}, 100, false)
			if err != nil || len(got) != 2 {
				t.Errorf("%s projected to %v: %q %v", name, project, got, err)
			}
		}
	}
}

func TestInfer(t *testing.T) {
	csv := write(t, "t.csv", "id,name,price,at,day,ok,zoned,empty\n1,a,1.5,2026-01-01 10:00:00,2026-01-01,true,2026-01-01T10:00:00Z,\n2,b,2,2026-01-01 10:00:01,2026-01-02,false,2026-01-01T10:00:00+02,\n")
	js := write(t, "t.ndjson", `{"id":1,"name":"a","price":1.5,"tags":["x"],"ok":true}`+"\n"+`{"id":2,"at":"2026-01-01 10:00:00","num":"12"}`+"\n")
	for path, want := range map[string]string{
		csv: "id bigint, name text, price double precision, at timestamp without time zone, day date, ok boolean, zoned timestamp with time zone, empty text",
		js:  "id bigint, name text, price double precision, tags jsonb, ok boolean, at timestamp without time zone, num text",
	} {
		fields, err := Connector{}.Infer(context.Background(), map[string]string{"path": path})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, f := range fields {
			got = append(got, f.Name+" "+f.Type.String())
		}
		if strings.Join(got, ", ") != want {
			t.Errorf("%s\n got %s\nwant %s", filepath.Base(path), strings.Join(got, ", "), want)
		}
	}
}

func TestOptions(t *testing.T) {
	csv := write(t, "t.csv", "a,b\n1,x\n")
	for _, c := range []struct {
		opts map[string]string
		code string
		msg  string
	}{
		{map[string]string{}, pgerr.InvalidParameterValue, `"path" is missing`},
		{map[string]string{"path": "/nonexistent/x.csv"}, pgerr.UndefinedFile, "No such file"},
		{map[string]string{"path": csv, "format": "xml"}, pgerr.InvalidParameterValue, `"format"`},
		{map[string]string{"path": csv, "delimiter": "ab"}, pgerr.InvalidParameterValue, `"delimiter"`},
		{map[string]string{"path": csv, "format": "parquet", "header": "true"}, pgerr.InvalidParameterValue, `"header"`},
		{map[string]string{"path": filepath.Dir(csv), "format": "csv"}, pgerr.WrongObjectType, "is a directory"},
	} {
		err := Connector{}.Check(&connector.Config{Columns: abc[:2], Options: c.opts})
		if e := pgerr.From(err); e == nil || e.Code != c.code || !strings.Contains(e.Message, c.msg) || e.Hint == "" {
			t.Errorf("%v: %+v", c.opts, err)
		}
	}
}

// TestFollow: appended rows and new files of a glob come after what was there; a line without its end waits.
func TestFollow(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "1.csv")
	app := func(path, s string) {
		f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.WriteString(s); err != nil {
			t.Fatal(err)
		}
	}
	app(path, "a,b\n1,x\n2")
	cfg := &connector.Config{Columns: abc[:2], Project: []int{0, 1}, Options: map[string]string{"path": filepath.Join(dir, "*.csv"), "follow": "true"}}
	s, err := Connector{}.Open(context.Background(), cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	b := vec.NewBuilder(nil, vec.NewSchema(abc[:2]...))
	poll := func(want int) {
		t.Helper()
		for range 200 {
			p, err := s.Poll(context.Background(), b, 100)
			if err != nil {
				t.Fatal(err)
			}
			if p.Status == connector.End {
				t.Fatal("a followed source ended")
			}
			if b.Len() == want && p.Status == connector.Idle {
				return
			}
			s.(*source).listed = s.(*source).listed.Add(-relist)
		}
		t.Fatalf("%d rows, want %d", b.Len(), want)
	}
	poll(1)
	app(path, ",y\n3,z\n")
	poll(3)
	app(filepath.Join(dir, "2.csv"), "b,a\nq,4\n")
	poll(4)
	if b.Cols[0].I32[1] != 2 || b.Cols[1].Str(1) != "y" || b.Cols[0].I32[3] != 4 {
		t.Error("wrong rows")
	}
}
