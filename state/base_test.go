package state

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/internal/vec"
)

// plainTable is a table as simple as it can be: the model.
type plainTable struct {
	key  bool
	rows map[string]int64 // text of the row -> how often
	keys map[string]string
}

func (p *plainTable) clone() *plainTable {
	return &plainTable{p.key, maps.Clone(p.rows), maps.Clone(p.keys)}
}

func (p *plainTable) all() []string {
	var out []string
	for r, n := range p.rows {
		for range n {
			out = append(out, r)
		}
	}
	slices.Sort(out)
	return out
}

var modelSchema = vec.NewSchema(vec.Field{Name: "k", Type: types.Int8}, vec.Field{Name: "n", Type: types.Numeric}, vec.Field{Name: "s", Type: types.Text})

// longText makes rows too long to be keys.
var longText = strings.Repeat("long ", 20)

func modelRow(rng *rand.Rand) ([]any, string, string) {
	k := int64(rng.IntN(60))
	n := []string{"1", "1.0", "1.00", "2.5"}[rng.IntN(4)]
	s := []any{nil, "", "a", "b\x00", longText + "1", longText + "2", longText + "3"}[rng.IntN(7)]
	return []any{k, num(n), s}, fmt.Sprint(k, "|", n, "|", s, "|"), fmt.Sprint(k)
}

// tableLife drives a table, its snapshots and clones, and the store that it is written to, against the model.
type tableLife struct {
	t     *testing.T
	rng   *rand.Rand
	fs    *vfs.MemFS
	store *Store
	key   []int
	table *Table
	model *plainTable
	// what the store holds
	record TableRecord
	mark   Mark
	nextID uint64
	kept   []keptVersion
	held   *keptVersion // written, but its marks are still asked for
}

type keptVersion struct {
	snap  *TableSnapshot
	model *plainTable
}

func (l *tableLife) check(what string, s *TableSnapshot, m *plainTable) {
	l.t.Helper()
	got := scanAll(l.t, nil, s.Scan(nil), modelSchema, 1+l.rng.IntN(50))
	slices.Sort(got)
	if want := m.all(); !slices.Equal(got, want) || s.Len() != int64(len(want)) {
		l.t.Fatalf("%s: %d rows (Len %d), want %d\n got %q\nwant %q", what, len(got), s.Len(), len(want), got, want)
	}
	if l.key == nil {
		return
	}
	k := int64(l.rng.IntN(60))
	row, ok, err := s.Get([]types.Datum{k})
	text, there := m.keys[fmt.Sprint(k)]
	if err != nil || ok != there {
		l.t.Fatalf("%s: Get(%d) is %v, %v, want %v", what, k, ok, err, there)
	}
	if ok {
		if got := fmt.Sprint(row[0], "|", types.NumericOf(row[1].(string)).String(), "|", row[2], "|"); got != text {
			l.t.Fatalf("%s: Get(%d) is %q, want %q", what, k, got, text)
		}
	}
}

// change applies a random batch to a table and the model; some are refused and change nothing.
func (l *tableLife) change(t *Table, m *plainTable) {
	after := m.clone()
	bld := vec.NewBuilder(nil, modelSchema)
	defer bld.Release()
	fails := false
	for range 1 + l.rng.IntN(12) {
		row, text, key := modelRow(l.rng)
		if l.rng.IntN(2) == 0 { // delete a row that is there, mostly
			all := after.all()
			if len(all) == 0 || l.rng.IntN(40) == 0 {
				if after.rows[text] == 0 && !sameIn(after, text) {
					fails = true
				} else {
					continue
				}
			} else {
				text = all[l.rng.IntN(len(all))]
				var k int64
				var n, s string
				row, k, n, s = parseModelRow(text)
				_, _, _ = k, n, s
				key = fmt.Sprint(k)
				after.rows[text]--
				if after.rows[text] == 0 {
					delete(after.rows, text)
				}
				delete(after.keys, key)
			}
			bld.AppendDatums(row, vec.Delete)
			if fails {
				break
			}
			continue
		}
		if _, taken := after.keys[key]; taken && after.key {
			if l.rng.IntN(10) > 0 {
				continue
			}
			fails = true
		}
		bld.AppendDatums(row, vec.Insert)
		if fails {
			break
		}
		after.rows[text]++
		after.keys[key] = text
	}
	b := bld.Finish()
	defer b.Release()
	err := t.Apply(b)
	if (err != nil) != fails {
		l.t.Fatalf("Apply: %v, want failure %v", err, fails)
	}
	if err == nil {
		*m = *after
	}
}

// sameIn says that a row equal to text, perhaps written otherwise, is there.
func sameIn(m *plainTable, text string) bool {
	_, k, n, s := parseModelRow(text)
	for r := range m.rows {
		_, k2, n2, s2 := parseModelRow(r)
		if k == k2 && s == s2 && (n == n2 || n[0] == '1' && n2[0] == '1') {
			return true
		}
	}
	return false
}

func parseModelRow(text string) (row []any, k int64, n, s string) {
	var rest string
	if i := slices.Index([]byte(text), '|'); i >= 0 {
		fmt.Sscan(text[:i], &k)
		rest = text[i+1:]
	}
	i := slices.Index([]byte(rest), '|')
	n, s = rest[:i], rest[i+1:len(rest)-1]
	row = []any{k, num(n), s}
	if s == "<nil>" {
		row[2] = nil
	}
	return row, k, n, s
}

func (l *tableLife) write(full bool) {
	s := l.table.Snapshot()
	c := l.store.NewCommit()
	id := l.record.ID
	ch, ok := s.Since(l.mark)
	if full || !ok {
		l.nextID++
		id = l.nextID
		if err := s.WriteAll(l.store, id); err != nil {
			l.t.Fatal(err)
		}
		c.DeletePrefix(Rows, RowsPrefix(l.record.ID))
	} else if err := s.WriteChanges(c, id, ch); err != nil {
		l.t.Fatal(err)
	}
	l.record = s.Record(id)
	c.Put(Relations, []byte("t"), l.record.Encode())
	if err := c.Write(true); err != nil {
		l.t.Fatal(err)
	}
	l.mark = s.Mark()
	l.mark.Forget()
	l.held = &keptVersion{s, l.model.clone()}
}

func (l *tableLife) reopen(crash bool) {
	if l.held == nil {
		return
	}
	fs := l.fs
	if crash {
		fs = fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: l.rng.IntN(101), RNG: l.rng})
	}
	l.store.Close()
	l.fs = fs
	l.store = openStore(l.t, "/d", StoreOptions{FS: fs, MemTableBytes: 64 << 10})
	b, ok, err := l.store.Get(Relations, []byte("t"))
	if !ok || err != nil {
		l.t.Fatal(ok, err)
	}
	if l.record, err = ParseTableRecord(b); err != nil {
		l.t.Fatal(err)
	}
	at, err := l.store.Stored()
	if err != nil {
		l.t.Fatal(err)
	}
	l.table = NewStoredTable(modelSchema, l.key, at, l.record)
	l.model = l.held.model.clone()
	l.mark = l.table.Snapshot().Mark()
	l.held.snap = l.table.Snapshot()
	l.kept = nil
}

func (l *tableLife) rebase() {
	if l.held == nil {
		return
	}
	at, err := l.store.Stored()
	if err != nil {
		l.t.Fatal(err)
	}
	before := l.table.Resident()
	ok, err := l.table.Rebase(at, l.record, l.mark)
	if err != nil || !ok {
		l.t.Fatal("rebase", ok, err)
	}
	if ch, _ := l.table.Snapshot().Since(l.mark); ch.Empty() && l.table.Resident() != 0 {
		l.t.Fatal("resident", before, l.table.Resident())
	}
}

// TestTableLife: whatever is done to a table over a store - changes, transactions on clones, savepoints, writing all of it or what changed, giving its memory
// free, crashes - it and every version of it that was kept are as the model says.
func TestTableLife(t *testing.T) {
	defer func(h func([]byte) [16]byte) { hashKey = h }(hashKey)
	for _, key := range [][]int{nil, {0}} {
		for i := range 8 {
			seed := rand.Uint64()
			if i == 4 { // all long rows that begin with the same values meet
				hashKey = func([]byte) [16]byte { return [16]byte{1} }
			}
			t.Run(fmt.Sprintf("key=%v/seed=%d", key, seed), func(t *testing.T) {
				l := &tableLife{t: t, rng: rand.New(rand.NewPCG(seed, 3)), fs: vfs.NewCrashableMem(), key: key}
				l.store = openStore(t, "/d", StoreOptions{FS: l.fs, MemTableBytes: 64 << 10})
				l.table = NewTable(modelSchema, key)
				l.table.Track()
				l.model = &plainTable{key: key != nil, rows: map[string]int64{}, keys: map[string]string{}}
				defer func() { l.store.Close() }()
				for range 300 {
					switch l.rng.IntN(20) {
					case 0, 1, 2:
						l.write(l.rng.IntN(10) == 0)
					case 3:
						l.rebase()
					case 4:
						if l.rng.IntN(4) == 0 {
							l.reopen(l.rng.IntN(2) == 0)
						}
					case 5:
						l.kept = append(l.kept, keptVersion{l.table.Snapshot(), l.model.clone()})
					case 6: // a transaction that takes the table's place, with a savepoint
						c, m := l.table.Clone(), l.model.clone()
						l.change(c, m)
						sp, spm := c.Snapshot(), m.clone()
						l.change(c, m)
						if l.rng.IntN(2) == 0 {
							c.Reset(sp)
							m = spm
						}
						if l.rng.IntN(3) > 0 {
							l.table, l.model = c, m
						}
					case 7:
						c, m := l.table.Snapshot().Table(), l.model.clone()
						l.change(c, m)
						l.check("copy", c.Snapshot(), m)
					default:
						l.change(l.table, l.model)
					}
					if l.rng.IntN(10) == 0 {
						l.check("table", l.table.Snapshot(), l.model)
						for _, k := range l.kept {
							l.check("kept version", k.snap, k.model)
						}
					}
				}
				l.write(false)
				l.reopen(true)
				l.check("at the end", l.table.Snapshot(), l.model)
			})
		}
	}
}

// TestTableReaders: versions are read by many while the table is changed, written and given free.
func TestTableReaders(t *testing.T) {
	s := openStore(t, t.TempDir(), StoreOptions{})
	defer s.Close()
	tb := NewTable(modelSchema, []int{0})
	tb.Track()
	var mark Mark
	var readers sync.WaitGroup
	for round := range 30 {
		bld := vec.NewBuilder(nil, modelSchema)
		for i := range 200 {
			bld.AppendDatums([]types.Datum{int64(round*200 + i), num("1"), "x"}, vec.Insert)
		}
		b := bld.Finish()
		if err := tb.Apply(b); err != nil {
			t.Fatal(err)
		}
		snap := tb.Snapshot()
		readers.Add(1)
		go func() {
			defer readers.Done()
			if n := len(scanAll(t, nil, snap.Scan(nil), modelSchema, 100)); n != (round+1)*200 {
				t.Errorf("%d rows in round %d", n, round)
			}
			if _, ok, err := snap.Get([]types.Datum{int64(round)}); !ok || err != nil {
				t.Error(ok, err)
			}
		}()
		c := s.NewCommit()
		ch, ok := snap.Since(mark)
		if !ok {
			if err := snap.WriteAll(s, 1); err != nil {
				t.Fatal(err)
			}
		} else if err := snap.WriteChanges(c, 1, ch); err != nil {
			t.Fatal(err)
		}
		if err := c.Write(false); err != nil {
			t.Fatal(err)
		}
		mark = snap.Mark()
		mark.Forget()
		if round%3 == 2 {
			at, err := s.Stored()
			if err != nil {
				t.Fatal(err)
			}
			if ok, err := tb.Rebase(at, snap.Record(1), mark); !ok || err != nil || tb.Resident() != 0 {
				t.Fatal(ok, err, tb.Resident())
			}
		}
	}
	readers.Wait()
}

// TestTableBaseError: what cannot be read below a table is reported, and a batch that meets it changes nothing.
func TestTableBaseError(t *testing.T) {
	s := openStore(t, t.TempDir(), StoreOptions{})
	c := s.NewCommit()
	tb := NewTable(modelSchema, []int{0})
	one := batchOf(t, nil, modelSchema, [][]any{{int64(1), num("1"), "x"}}, nil)
	two := batchOf(t, nil, modelSchema, [][]any{{int64(2), num("1"), "x"}}, nil)
	if err := tb.Apply(one); err != nil {
		t.Fatal(err)
	}
	if err := tb.Snapshot().WriteAll(s, 7); err != nil {
		t.Fatal(err)
	}
	if err := c.Write(true); err != nil {
		t.Fatal(err)
	}
	at, err := s.Stored()
	if err != nil {
		t.Fatal(err)
	}
	over := NewStoredTable(modelSchema, []int{0}, at, tb.Snapshot().Record(7))
	if err := over.Apply(one); err == nil {
		t.Error("a key of the base was taken twice")
	}
	s.Close()
	if err := over.Apply(two); pgerr.Code(err) != pgerr.AdminShutdown || over.Len() != 1 {
		t.Error(err, over.Len())
	}
	dst := vec.NewBuilder(nil, modelSchema)
	if _, err := over.Snapshot().Scan(nil).Next(dst, 10); err == nil {
		t.Error("scan of a closed store")
	}
	if _, _, err := over.Get([]types.Datum{int64(1)}); err == nil {
		t.Error("get from a closed store")
	}
}
