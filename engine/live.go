package engine

import (
	"encoding/json"
	"strconv"
	"sync"

	"streamsql/catalog"
	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/internal/vec"
)

// maxRowErrors is how many failed rows sys.errors remembers for a view; the oldest go first.
const maxRowErrors = 1000

// rowErrorLog remembers the rows that views could not evaluate; sys.errors shows it.
type rowErrorLog struct {
	mu   sync.Mutex
	rows map[uint32][]rowErrorEntry
}

type rowErrorEntry struct {
	at   vec.Time
	code string
	text string
	data string // the row as a JSON object
}

// recordRowError remembers a row that failed to evaluate in a view.
func (e *Engine) recordRowError(rel *catalog.Relation, err error, b *vec.Batch, row int) {
	data := rowJSON(b, row)
	pe := pgerr.From(err)
	l := &e.rowErrors
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.rows == nil {
		l.rows = map[uint32][]rowErrorEntry{}
	}
	es := append(l.rows[rel.OID], rowErrorEntry{at: e.clock(), code: pe.Code, text: pe.Message, data: data})
	if len(es) > maxRowErrors {
		es = es[len(es)-maxRowErrors:]
	}
	l.rows[rel.OID] = es
}

// forget drops what is known of a relation that is no more.
func (l *rowErrorLog) forget(oid uint32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.rows, oid)
}

// rowJSON gives a row as a JSON object of texts, in jsonb's own spelling.
func rowJSON(b *vec.Batch, row int) string {
	obj := map[string]any{}
	env := types.Env{}
	for c, f := range b.Schema.Fields {
		var v vec.Vec
		v.View(b.Cols[c])
		if d := v.Datum(row); d == nil {
			obj[f.Name] = nil
		} else {
			obj[f.Name] = string(types.AppendText(nil, &env, f.Type, d))
		}
	}
	raw, _ := json.Marshal(obj)
	data := string(raw)
	if d, err := types.ParseText(&env, types.JSONB, data); err == nil { // in jsonb's own spelling
		data = d.(string)
	}
	return data
}

// liveRows appends the rows of a relation about the running engine.
func (s *Session) liveRows(relation string, b *vec.Builder) error {
	info := &sessionInfo{s: s, cat: s.catalog()}
	name := func(oid uint32) string {
		n, ok := info.RegName(types.Regclass, oid)
		if !ok {
			return strconv.FormatUint(uint64(oid), 10) // dropped
		}
		return n
	}
	switch relation {
	case "pg_settings":
		for i := range settings {
			st := &settings[i]
			v, _ := s.vars.get(st.name)
			appendByName(b, map[string]types.Datum{"name": st.name, "setting": v, "unit": nilIfEmpty(st.unit), "category": settingCategory,
				"short_desc": st.desc, "context": settingContext(st), "vartype": settingType(st), "source": "default", "boot_val": st.value, "reset_val": st.value, "pending_restart": false})
		}
	case "pg_stat_activity":
		s.activityRows(b)
	case "pg_hba_file_rules":
		if f := s.e.rules.Load(); f != nil {
			for _, row := range (*f)() {
				values := map[string]types.Datum{}
				for name, v := range row {
					if list, ok := v.([]string); ok {
						v = textArray(list)
					}
					values[name] = v
				}
				appendByName(b, values)
			}
		}
	case "pg_sequences":
		for _, r := range info.cat.Relations() {
			if q := r.Sequence; q != nil {
				var last types.Datum
				if run := s.e.sequences.get(r.OID); run != nil {
					run.mu.Lock()
					if run.called {
						last = run.last
					}
					run.mu.Unlock()
				}
				appendByName(b, map[string]types.Datum{"schemaname": r.Schema, "sequencename": r.Name, "sequenceowner": s.roleName(info.cat.OwnerRole(r.Owner).OID), "data_type": int64(q.Type.OID),
					"start_value": q.Start, "min_value": q.Min, "max_value": q.Max, "increment_by": q.Increment, "cycle": q.Cycle, "cache_size": q.Cache, "last_value": last})
			}
		}
	case "pg_cursors":
		for name, p := range s.portals {
			if p.cursor {
				appendByName(b, map[string]types.Datum{"name": name, "statement": p.text, "is_holdable": p.hold, "is_binary": false, "is_scrollable": false, "creation_time": p.made})
			}
		}
	case "pg_prepared_statements":
		for name, st := range s.statements {
			if name != "" {
				appendByName(b, map[string]types.Datum{"name": name, "statement": st.parsed.Text, "prepare_time": st.made, "from_sql": st.fromSQL, "generic_plans": int64(0), "custom_plans": int64(0)})
			}
		}
	case "jobs":
		for _, j := range s.e.jobStates() {
			appendByName(b, map[string]types.Datum{"relation": j.relationName(info.cat, name), "state": j.state, "rows_read": j.read, "rows_stored": j.stored, "state_rows": j.kept, "memory": j.memory, "on_disk": j.disk,
				"changes": j.changes, "error": nilIfEmpty(j.err), "started_at": j.since})
		}
	case "errors":
		l := &s.e.rowErrors
		l.mu.Lock()
		defer l.mu.Unlock()
		for oid, es := range l.rows {
			if !s.seesRows(oid) {
				continue
			}
			for _, r := range es {
				appendByName(b, map[string]types.Datum{"relation": name(oid), "at": r.at, "sqlstate": r.code, "message": r.text, "row_data": r.data})
			}
		}
	case "watermarks":
		for _, p := range s.e.progress() {
			p.watermarks(name, func(row map[string]types.Datum) { appendByName(b, row) })
		}
	case "late":
		for _, p := range s.e.progress() {
			p.lateRows(name, s.seesRows, func(row map[string]types.Datum) { appendByName(b, row) })
		}
	case "bad_data":
		s.e.bad.rows(name, func(row map[string]types.Datum) { appendByName(b, row) })
	}
	return nil
}

// SetRules says where pg_hba_file_rules gets its rows: by the names of its columns numbers, texts and lists of texts.
func (e *Engine) SetRules(rows func() []map[string]any) { e.rules.Store(&rows) }

// textArray gives a list as a value of type text[].
func textArray(list []string) types.Datum {
	elems := make([]types.Datum, len(list))
	for i, x := range list {
		elems[i] = x
	}
	return types.NewArray(types.Text, elems).Encode()
}

func nilIfEmpty(s string) types.Datum {
	if s == "" {
		return nil
	}
	return s
}

// settingCategory is pg_settings.category of all settings: they are of sessions.
const settingCategory = "Client Connection Defaults"

func settingContext(s *setting) string {
	if s.readonly {
		return "internal"
	}
	return "user"
}

func settingType(s *setting) string {
	switch s.kind {
	case 'b':
		return "bool"
	case 'i':
		return "integer"
	case 'e':
		return "enum"
	}
	return "string"
}

// appendByName appends a row given by column names; columns that are not named are NULL.
func appendByName(b *vec.Builder, row map[string]types.Datum) {
	for i, f := range b.Schema.Fields {
		b.Cols[i].AppendDatum(row[f.Name])
	}
}
