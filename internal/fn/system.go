package fn

import (
	"context"
	"fmt"
	"math"
	"strings"
	"time"

	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/internal/vec"
)

// session adapts a function without arguments that asks the session; NULL outside one.
func session(f func(s SessionInfo) types.Datum) Kernel {
	return rowD(func(c *Ctx, _ []types.Datum) (types.Datum, error) {
		if c.Session == nil {
			return nil, nil
		}
		return f(c.Session), nil
	}, false)
}

// describe makes the kernel of a function that the catalog answers.
func describe(name string) Kernel {
	return rowD(func(c *Ctx, a []types.Datum) (types.Datum, error) {
		if c.Session == nil {
			return nil, nil
		}
		d, ok := c.Session.Describe(name, a)
		if !ok {
			return nil, nil
		}
		return d, nil
	}, true)
}

// Privileges is what a SessionInfo may be as well: it answers the functions has_.._privilege and pg_has_role. what is the word between, args are the
// function's arguments.
type Privileges interface {
	HasPrivilege(what string, args []types.Datum) (types.Datum, error)
}

// Signals is what a SessionInfo may be as well: it answers pg_cancel_backend and pg_terminate_backend. ok false: there is no such session.
type Signals interface {
	Signal(pid int32, terminate bool) (ok bool, err error)
}

// privilege makes the kernel of has_.._privilege; outside of a session everything is allowed.
func privilege(what string) Kernel {
	return rowD(func(c *Ctx, a []types.Datum) (types.Datum, error) {
		if p, ok := c.Session.(Privileges); ok {
			return p.HasPrivilege(what, a)
		}
		return true, nil
	}, true)
}

// fixedAnswer is for questions whose answer does not depend on anything here.
func fixedAnswer(d types.Datum) Kernel {
	return rowD(func(*Ctx, []types.Datum) (types.Datum, error) { return d, nil }, true)
}

// visible says that an object is found by its bare name: the catalog's word, else yes.
func visible(name string) Kernel {
	return rowD(func(c *Ctx, a []types.Datum) (types.Datum, error) {
		if c.Session != nil {
			if d, ok := c.Session.Describe(name, a); ok {
				return d, nil
			}
		}
		return true, nil
	}, true)
}

func nameArray(names []string) string {
	elems := make([]types.Datum, len(names))
	for i, n := range names {
		elems[i] = n
	}
	return types.NewArray(types.Name, elems).Encode()
}

func errSetting(name string) error {
	return pgerr.New(pgerr.UndefinedObject, "unrecognized configuration parameter \"%s\"", name)
}

func currentSetting(c *Ctx, a []types.Datum) (types.Datum, error) {
	if anyNil(a) {
		return nil, nil
	}
	name := a[0].(string)
	if c.Session != nil {
		if v, ok := c.Session.Setting(name); ok {
			return v, nil
		}
	}
	if len(a) > 1 && a[1].(bool) {
		return nil, nil
	}
	return nil, errSetting(name)
}

// setConfig is set_config(name, value, is_local); it is not strict, as NULL resets the setting.
func setConfig(c *Ctx, a []types.Datum) (types.Datum, error) {
	if a[0] == nil {
		return nil, pgerr.New(pgerr.NullValueNotAllowed, "SET requires parameter name")
	}
	if c.Session == nil {
		return nil, errSetting(a[0].(string))
	}
	value, _ := a[1].(string)
	local, _ := a[2].(bool)
	if err := c.Session.SetSetting(a[0].(string), value, local); err != nil {
		return nil, err
	}
	v, _ := c.Session.Setting(a[0].(string))
	return v, nil
}

func formatType(c *Ctx, a []types.Datum) (types.Datum, error) {
	if a[0] == nil {
		return nil, nil
	}
	mod := int32(-1)
	if a[1] != nil {
		mod = a[1].(int32)
	}
	oid := a[0].(int64)
	if oid == 0 {
		return "-", nil
	}
	t := types.T{OID: uint32(oid), Mod: mod}
	if types.InfoOf(t) == nil && c.Session != nil {
		if name, ok := c.Session.RegName(types.Regtype, uint32(oid)); ok {
			return name, nil
		}
	}
	return t.Format(), nil
}

// sizePretty writes a size as pg_size_pretty: in the largest unit that leaves at least ten of it.
func sizePretty(size int64) string {
	units := []string{"bytes", "kB", "MB", "GB", "TB", "PB"}
	half := func(x int64) int64 {
		if x < 0 {
			return (x - 1) / 2
		}
		return (x + 1) / 2
	}
	abs := func(x int64) uint64 { return mag(x) }
	if abs(size) < 10240 {
		return fmt.Sprintf("%d bytes", size)
	}
	size /= 512 // keep one bit to round by
	for i := 1; ; i++ {
		if i == len(units)-1 || abs(size) < 20480-1 {
			return fmt.Sprintf("%d %s", half(size), units[i])
		}
		size /= 1024
	}
}

// sleep waits for a number of seconds, or until the statement is cancelled.
func sleep(c *Ctx, secs float64) error {
	if !(secs > 0) {
		return nil
	}
	t := time.NewTimer(time.Duration(math.Min(secs*1e9, math.MaxInt64)))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-c.Done:
		return pgerr.New(pgerr.QueryCanceled, "canceling statement due to user request").WithCause(context.Canceled)
	}
}

func sleepKernel(secs func(d types.Datum, now int64) float64) Kernel {
	return rowD(func(c *Ctx, a []types.Datum) (types.Datum, error) { return "", sleep(c, secs(a[0], clock(c))) }, true)
}

// toReg is to_regclass and its kin: NULL where the name means nothing.
func toReg(t types.T) Kernel {
	return rowD(func(c *Ctx, a []types.Datum) (types.Datum, error) {
		oid, err := lookupReg(c, t, a[0].(string))
		if err != nil || oid == 0 {
			return nil, nil
		}
		return oid, nil
	}, true)
}

// describedRows makes the rows of a set-returning function that the catalog answers.
func describedRows(name string) SetKernel {
	return func(c *Ctx, args []types.Datum, emit *vec.Builder) error {
		if c.Session == nil {
			return nil
		}
		d, _ := c.Session.Describe(name, args)
		rows, _ := d.([][]types.Datum)
		for _, r := range rows {
			for i := range emit.Cols {
				emit.Cols[i].AppendDatum(r[i])
			}
		}
		return nil
	}
}

// optionsToTable cuts the options of a foreign table or server, "name=value" each.
func optionsToTable(_ *Ctx, args []types.Datum, emit *vec.Builder) error {
	opts, err := types.DecodeArray(types.TextArray, bytesOf(args[0].(string)))
	if err != nil {
		return err
	}
	for _, o := range opts.Elems {
		s, ok := o.(string)
		if !ok {
			continue
		}
		name, value, found := strings.Cut(s, "=")
		emit.Cols[0].AppendDatum(name)
		if found {
			emit.Cols[1].AppendDatum(value)
		} else {
			emit.Cols[1].AppendNull()
		}
	}
	return nil
}

var encodings = map[int32]string{0: "SQL_ASCII", 6: "UTF8", 8: "LATIN1", 24: "WIN1252"}

func init() {
	user := func(s SessionInfo) types.Datum { return s.CurrentUser() }
	for _, n := range []string{"current_user", "user", "current_role"} {
		def(n+"() name", session(user), stable)
	}
	def("session_user() name", session(func(s SessionInfo) types.Datum { return s.SessionUser() }), stable)
	for _, n := range []string{"current_database", "current_catalog"} {
		def(n+"() name", session(func(s SessionInfo) types.Datum { return s.CurrentDatabase() }), stable)
	}
	def("current_schema() name", session(func(s SessionInfo) types.Datum {
		if p := s.SearchPath(false); len(p) > 0 {
			return p[0]
		}
		return nil
	}), stable)
	def("current_schemas(bool) name[]", rowD(func(c *Ctx, a []types.Datum) (types.Datum, error) {
		if c.Session == nil {
			return nil, nil
		}
		return nameArray(c.Session.SearchPath(a[0].(bool))), nil
	}, true), stable)
	def("current_setting(text) text", rowD(currentSetting, false), stable)
	def("current_setting(text,bool) text", rowD(currentSetting, false), stable)
	def("set_config(text,text,bool) text", rowD(setConfig, false), volatile, nonStrict)
	def("version() text", session(func(s SessionInfo) types.Datum {
		if d, ok := s.Describe("version", nil); ok {
			return d
		}
		v, _ := s.Setting("server_version")
		return "PostgreSQL " + v + " (streamsql)"
	}), stable)
	def("pg_backend_pid() int4", session(func(s SessionInfo) types.Datum { return s.BackendPID() }), stable)
	def("format_type(oid,int4) text", rowD(formatType, false), stable, nonStrict)
	def("pg_typeof(any) regtype", nil, stable, nonStrict, bound(func(ts []types.T, _ types.T) Kernel {
		return rowD(func(*Ctx, []types.Datum) (types.Datum, error) { return int64(ts[0].OID), nil }, false)
	}))

	for _, n := range []string{"table", "type", "function", "operator", "opclass", "opfamily", "collation", "conversion",
		"ts_config", "ts_dict", "ts_parser", "ts_template", "statistics_obj"} {
		def("pg_"+n+"_is_visible(oid) bool", visible("pg_"+n+"_is_visible"), stable)
	}
	for _, n := range []string{"table", "schema", "database", "function", "type", "language", "sequence", "tablespace", "foreign_data_wrapper", "server"} {
		for _, obj := range []string{"text", "oid"} {
			def("has_"+n+"_privilege("+obj+",text) bool", privilege(n), stable)
			for _, u := range []string{"name", "oid"} {
				def("has_"+n+"_privilege("+u+","+obj+",text) bool", privilege(n), stable)
			}
		}
	}
	for _, col := range []string{"text", "int2"} {
		for _, obj := range []string{"text", "oid"} {
			def("has_column_privilege("+obj+","+col+",text) bool", privilege("column"), stable)
			for _, u := range []string{"name", "oid"} {
				def("has_column_privilege("+u+","+obj+","+col+",text) bool", privilege("column"), stable)
			}
		}
	}
	for _, obj := range []string{"text", "oid"} {
		def("has_any_column_privilege("+obj+",text) bool", privilege("any_column"), stable)
		for _, u := range []string{"name", "oid"} {
			def("has_any_column_privilege("+u+","+obj+",text) bool", privilege("any_column"), stable)
		}
	}
	for _, u := range []string{"", "name,", "oid,"} {
		def("has_parameter_privilege("+u+"text,text) bool", fixedAnswer(true), stable)
	}
	for _, sig := range []string{"pg_has_role(name,text)", "pg_has_role(oid,text)", "pg_has_role(name,name,text)", "pg_has_role(name,oid,text)", "pg_has_role(oid,oid,text)"} {
		def(sig+" bool", privilege("role"), stable)
	}
	for _, sig := range []string{
		"pg_get_userbyid(oid) name", "pg_get_expr(pg_node_tree,oid) text", "pg_get_expr(pg_node_tree,oid,bool) text",
		"pg_get_expr(text,oid) text", "pg_get_expr(text,oid,bool) text",
		"pg_get_viewdef(oid) text", "pg_get_viewdef(oid,bool) text", "pg_get_viewdef(oid,int4) text", "pg_get_viewdef(text) text", "pg_get_viewdef(text,bool) text",
		"pg_get_indexdef(oid) text", "pg_get_indexdef(oid,int4,bool) text",
		"pg_get_constraintdef(oid) text", "pg_get_constraintdef(oid,bool) text",
		"pg_get_triggerdef(oid) text", "pg_get_triggerdef(oid,bool) text", "pg_get_ruledef(oid) text", "pg_get_ruledef(oid,bool) text",
		"pg_get_functiondef(oid) text", "pg_get_function_arguments(oid) text", "pg_get_function_identity_arguments(oid) text",
		"pg_get_function_result(oid) text", "pg_get_function_sqlbody(oid) text", "pg_get_function_arg_default(oid,int4) text",
		"pg_get_statisticsobjdef(oid) text", "pg_get_statisticsobjdef_columns(oid) text", "pg_get_partkeydef(oid) text",
		"pg_get_partition_constraintdef(oid) text", "pg_get_serial_sequence(text,text) text",
		"obj_description(oid,name) text", "obj_description(oid) text", "col_description(oid,int4) text", "shobj_description(oid,name) text",
		"pg_describe_object(oid,oid,int4) text", "pg_tablespace_location(oid) text", "pg_relation_filenode(regclass) oid",
		"pg_collation_for(any) text", "pg_sequence_last_value(regclass) int8", "pg_my_temp_schema() oid",
	} {
		f := parseSig(sig)
		def(sig, describe(f.Name), stable)
	}
	for _, sig := range []string{"pg_relation_size(regclass)", "pg_relation_size(regclass,text)", "pg_table_size(regclass)", "pg_indexes_size(regclass)",
		"pg_total_relation_size(regclass)", "pg_database_size(name)", "pg_database_size(oid)", "pg_tablespace_size(oid)"} {
		name := parseSig(sig + " int8").Name
		def(sig+" int8", rowD(func(c *Ctx, a []types.Datum) (types.Datum, error) {
			if c.Session != nil {
				if d, ok := c.Session.Describe(name, a); ok {
					return d, nil
				}
			}
			return int64(0), nil
		}, true), volatile)
	}
	def("pg_size_pretty(int8) text", row1(sizePretty))
	def("pg_size_pretty(numeric) text", row1(func(d types.Decimal) string { x, _ := d.Int64(); return sizePretty(x) }))
	def("pg_encoding_to_char(int4) name", row1(func(e int32) string { return encodings[e] }), stable)
	def("pg_char_to_encoding(name) int4", row1(func(s string) int32 {
		for e, n := range encodings {
			if strings.EqualFold(n, strings.ReplaceAll(s, "-", "")) {
				return e
			}
		}
		return -1
	}), stable)
	def("getdatabaseencoding() name", row0(func(*Ctx) string { return "UTF8" }), stable)
	def("pg_client_encoding() name", row0(func(*Ctx) string { return "UTF8" }), stable)
	for _, n := range []string{"pg_is_in_recovery", "pg_is_wal_replay_paused", "pg_jit_available"} {
		def(n+"() bool", fixedAnswer(false), volatile)
	}
	def("pg_is_other_temp_schema(oid) bool", fixedAnswer(false), stable)
	def("pg_relation_is_publishable(regclass) bool", fixedAnswer(false), stable)
	def("pg_relation_is_updatable(regclass,bool) int4", fixedAnswer(int32(0)), stable)
	def("pg_column_is_updatable(regclass,int2,bool) bool", fixedAnswer(false), stable)
	for _, sig := range []string{"inet_server_port() int4", "inet_client_port() int4", "inet_server_addr() inet", "inet_client_addr() inet",
		"pg_last_xact_replay_timestamp() timestamptz", "pg_index_column_has_property(regclass,int4,text) bool"} {
		def(sig, fixedAnswer(nil), stable)
	}
	def("pg_stat_get_numscans(oid) int8", fixedAnswer(int64(0)), stable)
	def("pg_blocking_pids(int4) int4[]", fixedAnswer(types.NewArray(types.Int4, nil).Encode()), volatile)
	def("oidvectortypes(oidvector) text", rowD(func(c *Ctx, a []types.Datum) (types.Datum, error) {
		v, err := types.DecodeArray(types.Of(types.OIDOidVector), bytesOf(a[0].(string)))
		if err != nil {
			return nil, err
		}
		names := make([]string, len(v.Elems))
		for i, oid := range v.Elems {
			n, err := formatType(c, []types.Datum{oid, nil})
			if err != nil {
				return nil, err
			}
			names[i], _ = n.(string)
		}
		return strings.Join(names, ", "), nil
	}, true), stable)
	def("pg_postmaster_start_time() timestamptz", session(func(s SessionInfo) types.Datum {
		d, _ := s.Describe("pg_postmaster_start_time", nil)
		return d
	}), stable)
	for _, n := range []string{"txid_current() int8", "pg_current_xact_id() xid"} {
		def(n, row0(func(c *Ctx) int64 { return c.Now / 1000000 & math.MaxInt32 }), stable)
	}
	def("pg_advisory_unlock_all() void", fixedAnswer(""), volatile)
	signal := func(terminate bool) Kernel {
		return rowD(func(c *Ctx, a []types.Datum) (types.Datum, error) {
			s, ok := c.Session.(Signals)
			if !ok {
				return false, nil
			}
			return s.Signal(a[0].(int32), terminate)
		}, true)
	}
	def("pg_cancel_backend(int4) bool", signal(false), volatile)
	def("pg_terminate_backend(int4,int8) bool", signal(true), volatile, defaults("0"))
	def("pg_sleep(float8) void", sleepKernel(func(d types.Datum, _ int64) float64 { return d.(float64) }), volatile)
	def("pg_sleep_for(interval) void", sleepKernel(func(d types.Datum, _ int64) float64 {
		days, us := spanKey(d.([16]byte))
		return float64(days)*86400 + float64(us)/1e6
	}), volatile)
	def("pg_sleep_until(timestamptz) void", sleepKernel(func(d types.Datum, now int64) float64 { return float64(d.(int64)-now) / 1e6 }), volatile)
	for _, r := range []string{"class", "type", "proc", "procedure", "oper", "namespace", "role", "collation"} {
		def("to_reg"+r+"(text) reg"+r, toReg(mustType("reg"+r)), stable)
	}
	defSet("pg_partition_ancestors(regclass) regclass", func(_ *Ctx, args []types.Datum, emit *vec.Builder) error { return nil },
		func([]types.T) []vecField { return []vecField{{Name: "relid", Type: types.Regclass}} }, stable)
	defSet("pg_get_keywords() record", describedRows("pg_get_keywords"), func([]types.T) []vecField {
		return []vecField{{Name: "word", Type: types.Text}, {Name: "catcode", Type: types.Char}, {Name: "barelabel", Type: types.Bool},
			{Name: "catdesc", Type: types.Text}, {Name: "baredesc", Type: types.Text}}
	}, stable)
	defSet("pg_show_all_settings() record", describedRows("pg_show_all_settings"), func([]types.T) []vecField {
		cols := make([]vecField, 0, 17)
		for _, n := range strings.Fields("name setting unit category short_desc extra_desc context vartype source min_val max_val") {
			cols = append(cols, vecField{Name: n, Type: types.Text})
		}
		return append(cols, vecField{Name: "enumvals", Type: types.TextArray}, vecField{Name: "boot_val", Type: types.Text},
			vecField{Name: "reset_val", Type: types.Text}, vecField{Name: "sourcefile", Type: types.Text}, vecField{Name: "sourceline", Type: types.Int4},
			vecField{Name: "pending_restart", Type: types.Bool})
	}, stable)
	defSet("pg_options_to_table(text[]) record", optionsToTable, func([]types.T) []vecField {
		return []vecField{{Name: "option_name", Type: types.Text}, {Name: "option_value", Type: types.Text}}
	}, stable)
	defSet("aclexplode(aclitem[]) record", func(*Ctx, []types.Datum, *vec.Builder) error { return nil }, func([]types.T) []vecField {
		return []vecField{{Name: "grantor", Type: types.Oid}, {Name: "grantee", Type: types.Oid}, {Name: "privilege_type", Type: types.Text},
			{Name: "is_grantable", Type: types.Bool}}
	}, stable)
}
