package nexmark

import (
	"context"
	"testing"

	"streamsql/connector"
	"streamsql/internal/vec"
)

func open(t testing.TB, project []int, options map[string]string) connector.Source {
	cols := tables[options["table"]]
	if project == nil {
		for i := range cols {
			project = append(project, i)
		}
	}
	s, err := Connector{}.Open(context.Background(), &connector.Config{Columns: cols, Project: project, Options: options}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func schema(table string, project []int) *vec.Schema {
	s := &vec.Schema{}
	for _, p := range project {
		s.Fields = append(s.Fields, tables[table][p])
	}
	return s
}

// TestSharesAndProjection: of 1,000 events 920 are bids, and a column is the same whatever else is projected and however rows are polled.
func TestSharesAndProjection(t *testing.T) {
	for table, want := range map[string]int{"bid": 920, "auction": 60, "person": 20} {
		opts := map[string]string{"table": table, "events": "1000", "seed": "7"}
		all := make([]int, len(tables[table]))
		for i := range all {
			all[i] = i
		}
		read := func(project []int, most int) *vec.Batch {
			src := open(t, project, opts)
			b := vec.NewBuilder(nil, schema(table, project))
			for {
				p, err := src.Poll(context.Background(), b, most)
				if err != nil {
					t.Fatal(err)
				}
				if p.Status == connector.End {
					return b.Finish()
				}
			}
		}
		full := read(all, 8192)
		if full.N != want {
			t.Fatalf("%s: %d rows, want %d", table, full.N, want)
		}
		fv := full.Views(nil)
		for _, c := range all {
			one := read([]int{c}, 7)
			ov := one.Views(nil)
			for i := range full.N {
				if fv[c].Datum(i) != ov[0].Datum(i) {
					t.Fatalf("%s.%s row %d: %v alone, %v with all", table, tables[table][c].Name, i, ov[0].Datum(i), fv[c].Datum(i))
				}
			}
		}
	}
}

func TestResumeAtOffset(t *testing.T) {
	opts := map[string]string{"table": "bid", "events": "500"}
	src := open(t, nil, opts)
	a := vec.NewBuilder(nil, schema("bid", []int{0, 1, 2, 3, 4, 5, 6}))
	if _, err := src.Poll(context.Background(), a, 100); err != nil {
		t.Fatal(err)
	}
	at := src.Offset()
	rest := vec.NewBuilder(nil, a.Schema)
	if _, err := src.Poll(context.Background(), rest, 50); err != nil {
		t.Fatal(err)
	}
	cfg := &connector.Config{Columns: tables["bid"], Project: []int{0, 1, 2, 3, 4, 5, 6}, Options: opts}
	again, err := Connector{}.Open(context.Background(), cfg, at)
	if err != nil {
		t.Fatal(err)
	}
	b := vec.NewBuilder(nil, a.Schema)
	if _, err := again.Poll(context.Background(), b, 50); err != nil {
		t.Fatal(err)
	}
	for c := range b.Cols {
		for i := range 50 {
			if b.Cols[c].Datum(i) != rest.Cols[c].Datum(i) {
				t.Fatalf("row %d differs after resuming", i)
			}
		}
	}
}

func BenchmarkBid(b *testing.B) {
	for name, project := range map[string][]int{"auction,date_time": {0, 5}, "q0": {0, 1, 2, 5, 6}, "all": {0, 1, 2, 3, 4, 5, 6}} {
		b.Run(name, func(b *testing.B) {
			src := open(b, project, map[string]string{"table": "bid"})
			dst := vec.NewBuilder(vec.NewPool(), schema("bid", project))
			for b.Loop() {
				if _, err := src.Poll(context.Background(), dst, 8192); err != nil {
					b.Fatal(err)
				}
				dst.Finish().Release()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/8192, "ns/row")
		})
	}
}
