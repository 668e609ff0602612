package catalog

import (
	"slices"
	"strings"
	"testing"

	"streamsql/internal/fn"
	"streamsql/internal/types"
	"streamsql/internal/vec"
)

// sample is a catalog with a relation of each kind.
func sample() *Snapshot {
	s := NewSnapshot(SystemRelations()).WithSchema("app", 16384)
	s = s.With(&Relation{OID: 16390, TypeOID: 16391, Schema: "public", Name: "t", Kind: Table, PrimaryKey: []int{0}, PrimaryKeyName: "t_pkey", PrimaryKeyOID: 16392,
		Columns: []Column{{Name: "id", Type: types.Int8, NotNull: true}, {Name: "A b", Type: types.Text, Default: "'it''s'", Comment: "a column"},
			{Name: "n", Type: types.Numeric, Default: "1 + 1"}}, Comment: "a table"})
	s = s.With(&Relation{OID: 16400, TypeOID: 16401, Schema: "app", Name: "src", Kind: Source, Columns: []Column{{Name: "at", Type: types.Timestamptz}, {Name: "x", Type: types.Int4}},
		Watermark: &Watermark{Column: 0, Expr: "at - INTERVAL '5 seconds'"}, Options: []Option{{"connector", "file"}, {"path", "a=b"}},
		PrimaryKey: []int{1}, PrimaryKeyName: "t_pkey", PrimaryKeyOID: 16402})
	s = s.With(&Relation{OID: 16410, TypeOID: 16411, Schema: "public", Name: "v", Kind: View, Columns: []Column{{Name: "x", Type: types.Int4}}, Definition: "SELECT x FROM app.src;"})
	return s.With(&Relation{OID: 16420, TypeOID: 16421, Schema: "public", Name: "m", Kind: MatView, Columns: []Column{{Name: "x", Type: types.Int4}}, Definition: "SELECT 1 AS x"})
}

// TestFill fills every system relation and expects rows to name only columns that it has.
func TestFill(t *testing.T) {
	v := &Viewer{Snapshot: sample(), Database: "db", User: "me", Role: OwnerOID, Alias: "me"}
	for _, d := range slices.Concat(systemRelations, absentRelations, sysRelations) {
		r := v.Snapshot.Get(d.schema, d.name)
		if r == nil {
			t.Fatalf("%s.%s is not in the catalog", d.schema, d.name)
		}
		if d.fill != nil {
			if err := d.fill(v, func(x row) {
				for c := range x {
					if r.ColumnIndex(c) < 0 {
						t.Errorf("%s.%s has no column %s", d.schema, d.name, c)
					}
				}
			}); err != nil {
				t.Error(err)
			}
		}
		b := vec.NewBuilder(nil, r.Fields())
		if err := r.Fill(v, b); err != nil {
			t.Error(err)
		}
		batch := b.Finish()
		for i, c := range r.Columns {
			if c.NotNull && batch.Cols[i].NullN() > 0 {
				t.Errorf("%s.%s.%s is NULL", d.schema, d.name, c.Name)
			}
		}
		batch.Release()
		b.Release()
	}
}

// TestUniqueOIDs checks that no two objects of a catalog share an OID, and that procedures of PostgreSQL keep theirs.
func TestUniqueOIDs(t *testing.T) {
	seen := map[uint32]string{}
	for _, r := range SystemRelations() {
		for _, oid := range []uint32{r.OID, r.TypeOID} {
			if other, ok := seen[oid]; ok {
				t.Errorf("OID %d is of %s and %s", oid, other, r.Name)
			}
			seen[oid] = r.Name
		}
	}
	for i, p := range procs() {
		if i > 0 && procs()[i-1].oid == p.oid {
			t.Errorf("OID %d is of functions %s and %s", p.oid, procs()[i-1].name, p.name)
		}
	}
	for name, oid := range map[string]uint32{"array_in": 750, "lower": 870, "int4recv": 2406, "count": 2147} {
		if got := LookupProc(NewSnapshot(nil), nil, "pg_catalog", name, nil); !slices.Contains(got, oid) {
			t.Errorf("%s has OIDs %v, not %d", name, got, oid)
		}
	}
}

func TestSysComments(t *testing.T) {
	for _, d := range sysRelations {
		for _, c := range strings.Split(d.columns, ",") {
			name, _, _ := strings.Cut(strings.TrimSpace(c), " ")
			if sysComments[d.name][name] == "" {
				t.Errorf("sys.%s.%s has no comment", d.name, name)
			}
		}
		if n := len(strings.Split(d.columns, ",")) + 1; n != len(sysComments[d.name]) {
			t.Errorf("sys.%s has %d comments for %d columns and itself", d.name, len(sysComments[d.name]), n)
		}
	}
}

func TestDescribe(t *testing.T) {
	s := sample()
	v := &Viewer{Snapshot: s, Database: "db", User: "me", Role: OwnerOID, Alias: "me"}
	lower, series := int64(870), int64(1067)
	for _, c := range []struct {
		what string
		args []types.Datum
		want types.Datum // nil: NULL
	}{
		{"pg_get_viewdef", []types.Datum{int64(16410)}, " SELECT x FROM app.src;"},
		{"pg_get_viewdef", []types.Datum{int64(16420)}, " SELECT 1 AS x;"},
		{"pg_get_viewdef", []types.Datum{int64(16390)}, nil},
		{"pg_get_indexdef", []types.Datum{int64(16392)}, "CREATE UNIQUE INDEX t_pkey ON public.t USING btree (id)"},
		{"pg_get_indexdef", []types.Datum{int64(16392), int32(1), true}, "id"},
		{"pg_get_indexdef", []types.Datum{int64(1)}, nil},
		{"pg_get_constraintdef", []types.Datum{int64(16402)}, "PRIMARY KEY (x)"},
		{"obj_description", []types.Datum{int64(16390), "pg_class"}, "a table"},
		{"col_description", []types.Datum{int64(16390), int32(2)}, "a column"},
		{"col_description", []types.Datum{int64(16390), int32(9)}, nil},
		{"pg_table_is_visible", []types.Datum{int64(16390)}, true},
		{"pg_table_is_visible", []types.Datum{int64(16400)}, false},
		{"pg_table_is_visible", []types.Datum{int64(16392)}, true},
		{"pg_table_is_visible", []types.Datum{int64(16402)}, false},
		{"pg_table_is_visible", []types.Datum{int64(1)}, nil},
		{"pg_get_function_arguments", []types.Datum{lower}, "text"},
		{"pg_get_function_result", []types.Datum{lower}, "text"},
		{"pg_get_function_result", []types.Datum{series}, "SETOF integer"},
		{"pg_get_functiondef", []types.Datum{lower}, "CREATE OR REPLACE FUNCTION pg_catalog.lower(text)\n RETURNS text\n LANGUAGE internal\n IMMUTABLE PARALLEL SAFE STRICT\nAS $function$lower$function$\n"},
		{"pg_get_userbyid", []types.Datum{int64(OwnerOID)}, "me"},
		{"pg_get_userbyid", []types.Datum{int64(77)}, "unknown (OID=77)"},
		{"no_such_function", []types.Datum{int64(1)}, nil},
	} {
		d, ok := Describe(v, []string{"public"}, c.what, c.args)
		if ok != (c.want != nil) || ok && d != c.want {
			t.Errorf("%s%v = %v, %v; want %v", c.what, c.args, d, ok, c.want)
		}
	}
}

func TestDefaultText(t *testing.T) {
	for in, want := range map[string]string{"'it''s'": "'it''s'::text", "1 + 1": "1 + 1", "'a' || 'b'": "'a' || 'b'", "": "", "now()": "now()", "''": "''::text"} {
		if got := defaultText(&Column{Type: types.Text, Default: in}); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

// TestFind looks names up along the search path.
func TestFind(t *testing.T) {
	s := sample()
	path := []string{"public", "app"}
	if s.Find("", "t", path).OID != 16390 || s.Find("", "pg_class", path).OID != 1259 || s.Find("app", "t", path) != nil {
		t.Error("Find")
	}
	if s.FindIndex("", "t_pkey", path).Rel.OID != 16390 || s.FindIndex("app", "t_pkey", path).Rel.OID != 16400 || s.FindIndex("", "t", path) != nil {
		t.Error("FindIndex")
	}
	dropped := s.Without(16390)
	if dropped.Find("", "t", path) != nil || dropped.IndexByOID(16392) != nil || s.IndexByOID(16392) == nil || dropped.Version != s.Version+1 {
		t.Error("a snapshot sees what another one dropped")
	}
	if n, sig, _ := ProcName(NewSnapshot(nil), nil, 870); n != "lower" || sig != "lower(text)" {
		t.Error(n, sig)
	}
	if len(fn.All()) > len(procs()) {
		t.Error("functions are missing in pg_proc")
	}
}
