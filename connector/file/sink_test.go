package file

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow/go/v17/arrow/memory"

	"streamsql/connector"
	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/internal/vec"
)

// everyType is a column of each type that a sink maps in a way of its own, with its declared type when it is read back.
var everyType = []struct {
	name, back string // back: of columns that are written as text, the type read
	t          types.T
	values     []string
}{
	{"b", "", types.Bool, []string{"t", "f"}},
	{"i2", "", types.Int2, []string{"-32768", "32767"}},
	{"i4", "", types.Int4, []string{"-7", "2147483647"}},
	{"i8", "", types.Int8, []string{"9223372036854775807", "0"}},
	{"f4", "", types.Float4, []string{"1.5", "NaN"}},
	{"f8", "", types.Float8, []string{"-1e-300", "Infinity"}},
	{"s", "", types.Text, []string{"", "a \"b\",\n\u00fc"}},
	{"by", "", types.Bytea, []string{`\x00ff`, `\x`}},
	{"d", "", types.Date, []string{"1969-12-31", "infinity"}},
	{"tm", "", types.Time, []string{"23:59:59.999999", "00:00:00"}},
	{"ts", "", types.Timestamp, []string{"1969-12-31 23:59:59.999999", "2026-01-01 00:00:00"}},
	{"tz", "", types.Timestamptz, []string{"2026-01-01 00:00:00+00", "infinity"}},
	{"n", "", types.T{OID: types.OIDNumeric, Mod: types.NumericMod(38, 3)}, []string{"-12345678901234567890123456789012345.678", "0.001"}},
	{"nn", "text", types.Numeric, []string{"1e100", "NaN"}},
	{"iv", "text", types.Interval, []string{"1 mon 2 days 00:00:03", "-1 days"}},
	{"u", "text", types.UUID, []string{"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "00000000-0000-0000-0000-000000000000"}},
	{"j", "", types.JSONB, []string{`{"a": [1, null]}`, "1"}},
}

func everyRow(t *testing.T, a vec.Allocator) ([]vec.Field, *vec.Batch, []string) {
	t.Helper()
	s := &vec.Schema{}
	for _, c := range everyType {
		s.Fields = append(s.Fields, vec.Field{Name: c.name, Type: c.t})
	}
	b := vec.NewBuilder(a, s)
	defer b.Release()
	var want []string
	for row := range 3 {
		var vals []string
		var datums []types.Datum
		for _, c := range everyType {
			if row == 2 {
				datums, vals = append(datums, nil), append(vals, "NULL")
				continue
			}
			d, err := types.ParseText(&types.Env{}, c.t, c.values[row])
			if err != nil {
				t.Fatal(err)
			}
			datums, vals = append(datums, d), append(vals, string(types.AppendText(nil, &types.Env{}, c.t, d)))
		}
		b.AppendDatums(datums, vec.Insert)
		want = append(want, strings.Join(vals, "|"))
	}
	return s.Fields, b.Finish(), want
}

// TestSinkFormats: what a sink writes in any format is what a source reads.
func TestSinkFormats(t *testing.T) {
	for _, format := range []string{"ndjson", "csv", "arrow", "parquet"} {
		t.Run(format, func(t *testing.T) {
			a := memory.NewCheckedAllocator(memory.NewGoAllocator())
			defer a.AssertSize(t, 0)
			dir := t.TempDir()
			cols, b, want := everyRow(t, a)
			defer b.Release()
			k, err := Connector{}.OpenSink(&connector.SinkConfig{Name: "public.k", ID: "7", Columns: cols, Alloc: a, Options: map[string]string{"path": dir, "format": format}})
			if err != nil {
				t.Fatal(err)
			}
			for range 2 {
				if err := k.Write(b); err != nil {
					t.Fatal(err)
				}
			}
			if err := k.Prepare(1); err != nil {
				t.Fatal(err)
			}
			if got := visible(t, dir); got != nil {
				t.Errorf("before Commit: %q", got)
			}
			if err := k.Commit(1); err != nil {
				t.Fatal(err)
			}
			if err := k.Close(); err != nil {
				t.Fatal(err)
			}
			read := slices.Clone(cols)
			var project []int
			for i, c := range everyType {
				if project = append(project, i); c.back == "text" && (format == "arrow" || format == "parquet") {
					read[i].Type = types.Text
				}
			}
			path := filepath.Join(dir, "part-00000001."+format)
			got, err := readAll(t, read, project, map[string]string{"path": path}, 2, true)
			if err != nil {
				t.Fatal(err)
			}
			for i, w := range append(slices.Clone(want), want...) {
				if i >= len(got) || got[i] != w {
					t.Errorf("row %d\n got %v\nwant %s", i, got[min(i, len(got)-1)], w)
				}
			}
		})
	}
}

// visible lists the files that readers of a sink's directory see.
func visible(t *testing.T, dir string) (names []string) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "part-*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range paths {
		names = append(names, filepath.Base(p))
	}
	return names
}

// TestSinkRecovery leaves a sink at each step of a commit and opens it as it is recorded then: every row is there once.
func TestSinkRecovery(t *testing.T) {
	cols := []vec.Field{{Name: "n", Type: types.Int8}}
	batch := func(n int) *vec.Batch {
		b := vec.NewBuilder(nil, vec.NewSchema(cols...))
		b.AppendDatums([]types.Datum{int64(n)}, vec.Insert)
		return b.Finish()
	}
	for _, c := range []struct {
		steps    string // of epoch 2: w(rite), p(repare), c(ommit), a(way: who reads takes the files)
		recorded uint64 // then
		want     string // the rows after opening it again, and writing and committing row 3
	}{
		{"", 1, "1 3"}, {"w", 1, "1 3"}, {"wp", 1, "1 3"}, {"wp", 2, "1 2 3"}, {"wpc", 2, "1 2 3"}, {"ww", 1, "1 3"}, {"wwp", 2, "1 2 2 3"},
		{"wpca", 2, "3"}, {"p", 2, "1 3"}, {"pc", 2, "1 3"},
	} {
		dir := t.TempDir()
		open := func(prepared uint64) *sink {
			k, err := Connector{}.OpenSink(&connector.SinkConfig{Name: "k", ID: "7", Columns: cols, Prepared: prepared,
				Options: map[string]string{"path": dir, "format": "csv", "header": "false", "rollover_size": "1"}})
			if err != nil {
				t.Fatalf("%+v: %v", c, err)
			}
			return k.(*sink)
		}
		do := func(k *sink, epoch uint64, row int, steps string) {
			for _, s := range steps {
				var err error
				switch s {
				case 'w':
					err = k.Write(batch(row))
				case 'p':
					err = k.Prepare(epoch)
				case 'c':
					err = k.Commit(epoch)
				case 'a':
					for _, n := range visible(t, dir) {
						err = os.Remove(filepath.Join(dir, n))
					}
				}
				if err != nil {
					t.Fatalf("%+v: %v", c, err)
				}
			}
		}
		k := open(0)
		do(k, 1, 1, "wpc")
		do(k, 2, 2, c.steps)
		k.lock.Close() // as the end of a process does
		k = open(c.recorded)
		do(k, 3, 3, "wpc")
		if err := k.Close(); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, n := range visible(t, dir) {
			b, err := os.ReadFile(filepath.Join(dir, n))
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, strings.Fields(string(b))...)
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("%+v: %s", c, s)
		}
		if left, _ := filepath.Glob(filepath.Join(dir, ".part-*")); left != nil {
			t.Errorf("%+v: left behind %q", c, left)
		}
	}
}

// TestSinkOfBackup: a sink whose record is older than what it has written and committed since does not write it again.
func TestSinkOfBackup(t *testing.T) {
	dir := t.TempDir()
	open := func(prepared uint64) (connector.Sink, error) {
		return Connector{}.OpenSink(&connector.SinkConfig{Name: "k", ID: "7", Prepared: prepared, Columns: []vec.Field{{Name: "n", Type: types.Int8}}, Options: map[string]string{"path": dir}})
	}
	k, err := open(0)
	if err != nil {
		t.Fatal(err)
	}
	for _, epoch := range []uint64{5, 6, 8} {
		if err := k.Prepare(epoch); err != nil {
			t.Fatal(err)
		}
		if epoch < 8 { // which is not recorded
			if err := k.Commit(epoch); err != nil {
				t.Fatal(err)
			}
		}
	}
	k.Close()
	for _, prepared := range []uint64{0, 5} {
		if _, err := open(prepared); pgerr.Code(err) != pgerr.ObjectNotInPrerequisiteState {
			t.Errorf("a record of epoch %d: %v", prepared, err)
		}
	}
	if k, err = open(6); err != nil {
		t.Fatal(err)
	}
	k.Close()
}

func TestSinkOfAnother(t *testing.T) {
	dir := t.TempDir()
	cfg := func(id string, prepared uint64) *connector.SinkConfig {
		return &connector.SinkConfig{Name: "k", ID: id, Prepared: prepared, Columns: []vec.Field{{Name: "n", Type: types.Int8}}, Options: map[string]string{"path": dir}}
	}
	k, err := Connector{}.OpenSink(cfg("7", 0))
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	if _, err := (Connector{}).OpenSink(cfg("8", 0)); pgerr.Code(err) != pgerr.ObjectInUse || time.Since(start) < lockPatience {
		t.Errorf("a second sink of the directory: %v", err)
	}
	if err := k.Prepare(5); err != nil {
		t.Fatal(err)
	}
	k.Close()
	for _, c := range []*connector.SinkConfig{cfg("8", 5), cfg("7", 6)} {
		if _, err := (Connector{}).OpenSink(c); pgerr.Code(err) != pgerr.DataCorrupted {
			t.Errorf("directory of sink 7 at epoch 5 opened as sink %s at epoch %d: %v", c.ID, c.Prepared, err)
		}
	}
	if k, err = (Connector{}).OpenSink(cfg("8", 0)); err != nil {
		t.Errorf("a new sink: %v", err)
	} else {
		k.Close()
	}
}

func TestSinkOptions(t *testing.T) {
	for _, c := range []struct{ name, value, want string }{
		{"rollover_size", "10", "{10 1000000000}"}, {"rollover_size", "2 MB", "{2097152 1000000000}"}, {"rollover_size", "1kB", "{1024 1000000000}"},
		{"rollover_interval", "90 seconds", "{134217728 90000000000}"}, {"rollover_interval", "1 day", "{134217728 86400000000000}"},
		{"rollover_interval", "0 s", "{134217728 0}"},
		{"rollover_size", "0", "err"}, {"rollover_size", "-1", "err"}, {"rollover_size", "9000000000 GB", "err"}, {"rollover_size", "x", "err"},
		{"rollover_interval", "1 month", "err"}, {"rollover_interval", "-1 s", "err"}, {"rollover_interval", "soon", "err"},
		{"compression", "zstd", "err"}, {"format", "orc", "err"}, {"header", "maybe", "err"}, {"type", "log", "err"},
	} {
		s, err := parseSink(map[string]string{"path": "x", c.name: c.value})
		got := fmt.Sprint(struct {
			size int64
			d    int64
		}{s.size, int64(s.interval)})
		if err != nil {
			got = "err"
		}
		if got != c.want || err != nil && pgerr.Code(err) != pgerr.InvalidParameterValue {
			t.Errorf("%s = '%s': %s, %v", c.name, c.value, got, err)
		}
	}
}
