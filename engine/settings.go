package engine

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"streamsql/internal/pgerr"
	"streamsql/internal/types"
)

// setting describes a run-time parameter of a session.
type setting struct {
	name     string
	value    string
	report   bool // sent to the client as ParameterStatus
	readonly bool
	unit     string // of a number: "ms", "kB"
	kind     byte   // 's' string, 'b' bool, 'i' integer, 'e' enum
	enum     []string
	desc     string
}

var settings = append(sessionSettings, plannerSettings()...)

// plannerSettings are those that steer PostgreSQL's planner, executor and storage. Clients set them; here they change nothing.
func plannerSettings() []setting {
	var out []setting
	add := func(kind byte, desc string, namesAndValues ...string) {
		for i := 0; i < len(namesAndValues); i += 2 {
			out = append(out, setting{name: namesAndValues[i], value: namesAndValues[i+1], kind: kind, desc: desc})
		}
	}
	for _, plan := range []string{"async_append", "bitmapscan", "gathermerge", "hashagg", "hashjoin", "incremental_sort", "indexonlyscan", "indexscan",
		"material", "memoize", "mergejoin", "nestloop", "parallel_append", "parallel_hash", "partition_pruning", "seqscan", "sort", "tidscan"} {
		add('b', "Accepted; PostgreSQL's planner has this plan.", "enable_"+plan, "on")
	}
	const cost = "Accepted; a cost of PostgreSQL's planner."
	add('b', cost, "enable_partitionwise_aggregate", "off", "enable_partitionwise_join", "off", "geqo", "on", "jit", "off",
		"parallel_leader_participation", "on", "transaction_deferrable", "off", "default_transaction_deferrable", "off",
		"array_nulls", "on", "lo_compat_privileges", "off", "quote_all_identifiers", "off", "synchronize_seqscans", "on", "check_function_bodies", "on")
	add('s', cost, "cpu_index_tuple_cost", "0.005", "cpu_operator_cost", "0.0025", "cpu_tuple_cost", "0.01", "effective_cache_size", "4GB",
		"hash_mem_multiplier", "2", "jit_above_cost", "100000", "jit_inline_above_cost", "500000", "jit_optimize_above_cost", "500000",
		"maintenance_work_mem", "64MB", "max_stack_depth", "2MB", "min_parallel_index_scan_size", "512kB", "min_parallel_table_scan_size", "8MB",
		"parallel_setup_cost", "1000", "parallel_tuple_cost", "0.1", "random_page_cost", "4", "seq_page_cost", "1", "temp_buffers", "8MB",
		"default_table_access_method", "heap", "default_tablespace", "", "default_toast_compression", "pglz", "force_parallel_mode", "off",
		"lc_messages", "C", "lc_monetary", "C", "lc_numeric", "C", "lc_time", "C", "plan_cache_mode", "auto", "constraint_exclusion", "partition",
		"restrict_nonsystem_relation_kind", "", "session_replication_role", "origin", "timezone_abbreviations", "Default", "xmloption", "content",
		"xmlbinary", "base64", "backslash_quote", "safe_encoding", "compute_query_id", "auto", "default_text_search_config", "pg_catalog.simple",
		"local_preload_libraries", "", "dynamic_library_path", "$libdir", "gin_fuzzy_search_limit", "0", "log_statement", "none")
	add('i', cost, "default_statistics_target", "100", "effective_io_concurrency", "1", "from_collapse_limit", "8", "geqo_effort", "5",
		"geqo_threshold", "12", "join_collapse_limit", "8", "max_parallel_workers", "8", "max_parallel_workers_per_gather", "2",
		"max_parallel_maintenance_workers", "2", "log_min_duration_statement", "-1", "vacuum_cost_delay", "0", "vacuum_cost_limit", "200")
	return out
}

var sessionSettings = []setting{
	{name: "application_name", report: true, kind: 's', desc: "Sets the application name to be reported in statistics and logs."},
	{name: "bytea_output", value: "hex", kind: 'e', enum: []string{"hex", "escape"}, desc: "Sets the output format for bytea."},
	{name: "client_encoding", value: "UTF8", report: true, kind: 's', desc: "Sets the client's character set encoding."},
	{name: "client_min_messages", value: "notice", kind: 's', desc: "Sets the message levels that are sent to the client."},
	{name: "DateStyle", value: "ISO, MDY", report: true, kind: 's', desc: "Sets the display format for date and time values."},
	{name: "default_transaction_isolation", value: "read committed", kind: 's', desc: "Sets the transaction isolation level of each new transaction."},
	{name: "default_transaction_read_only", value: "off", kind: 'b', desc: "Sets the default read-only status of new transactions."},
	{name: "escape_string_warning", value: "on", kind: 'b', desc: "Warn about backslash escapes in ordinary string literals."},
	{name: "extra_float_digits", value: "1", kind: 'i', desc: "Sets the number of digits displayed for floating-point values."},
	{name: "idle_in_transaction_session_timeout", value: "0", unit: "ms", kind: 'i', desc: "Sets the maximum allowed idle time between queries, when in a transaction."},
	{name: "idle_session_timeout", value: "0", unit: "ms", kind: 'i', desc: "Sets the maximum allowed idle time between queries, when not in a transaction."},
	{name: "integer_datetimes", value: "on", report: true, readonly: true, kind: 'b', desc: "Datetimes are integer based."},
	{name: "IntervalStyle", value: "postgres", report: true, kind: 'e', enum: []string{"postgres", "postgres_verbose", "sql_standard", "iso_8601"}, desc: "Sets the display format for interval values."},
	{name: "is_superuser", value: "on", report: true, readonly: true, kind: 'b', desc: "Shows whether the current user is a superuser."},
	{name: "lc_collate", value: "C", readonly: true, kind: 's', desc: "Shows the collation order locale."},
	{name: "lc_ctype", value: "C", readonly: true, kind: 's', desc: "Shows the character classification and case conversion locale."},
	{name: "lock_timeout", value: "0", unit: "ms", kind: 'i', desc: "Sets the maximum allowed duration of any wait for a lock."},
	{name: "max_identifier_length", value: "63", readonly: true, kind: 'i', desc: "Shows the maximum identifier length."},
	{name: "max_index_keys", value: "32", readonly: true, kind: 'i', desc: "Shows the maximum number of index keys."},
	{name: "memory_limit", value: "0", readonly: true, kind: 's', desc: "Shows how much memory the server may use; 0 is without limit."},
	{name: "role", value: "none", kind: 's', desc: "Sets the current role."},
	{name: "row_security", value: "on", kind: 'b', desc: "Enable row security."},
	{name: "search_path", value: `"$user", public`, kind: 's', desc: "Sets the schema search order for names that are not schema-qualified."},
	{name: "server_encoding", value: "UTF8", report: true, readonly: true, kind: 's', desc: "Shows the server (database) character set encoding."},
	{name: "server_version", value: ServerVersion, report: true, readonly: true, kind: 's', desc: "Shows the server version."},
	{name: "server_version_num", value: "150000", readonly: true, kind: 'i', desc: "Shows the server version as an integer."},
	{name: "session_authorization", report: true, readonly: true, kind: 's', desc: "Shows the session user name."},
	{name: "standard_conforming_strings", value: "on", report: true, kind: 'b', desc: "Causes '...' strings to treat backslashes literally."},
	{name: "statement_timeout", value: "0", unit: "ms", kind: 'i', desc: "Sets the maximum allowed duration of any statement."},
	{name: "synchronous_commit", value: "on", kind: 's', desc: "Sets the current transaction's synchronization level."},
	{name: "TimeZone", value: "UTC", report: true, kind: 's', desc: "Sets the time zone for displaying and interpreting time stamps."},
	{name: "transaction_isolation", value: "read committed", kind: 's', desc: "Shows the current transaction's isolation level."},
	{name: "transaction_read_only", value: "off", kind: 'b', desc: "Shows whether the current transaction is read-only."},
	{name: "work_mem", value: "4MB", kind: 's', desc: "Sets the maximum memory to be used for query workspaces."},
}

// ServerVersion is the PostgreSQL version whose behaviour streamsql follows.
const ServerVersion = "15.0"

var settingIndex = func() map[string]int {
	m := map[string]int{}
	for i, s := range settings {
		m[strings.ToLower(s.name)] = i
	}
	return m
}()

// vars holds the settings of a session: values by lower-case name; what is missing has its default.
type vars struct {
	defaults map[string]string // from the startup packet
	values   map[string]string
	local    map[string]string // values to restore at the end of the transaction
	changed  map[string]bool
	env      types.Env
	modes    *txModes // of the transaction that is open
	// identity makes a role or session_authorization effective; nil outside of a session.
	identity func(key, value string) error
}

func newVars() *vars {
	v := &vars{defaults: map[string]string{}, values: map[string]string{}, changed: map[string]bool{}}
	for i := range settings {
		v.defaults[strings.ToLower(settings[i].name)] = settings[i].value
	}
	return v
}

func (v *vars) get(name string) (string, bool) {
	name = strings.ToLower(name)
	if strings.HasPrefix(name, "transaction_") {
		if v.modes != nil {
			if x, ok := v.modes.setting(name); ok {
				return x, true
			}
		}
		return v.get("default_" + name)
	}
	if x, ok := v.values[name]; ok {
		return x, true
	}
	x, ok := v.defaults[name]
	return x, ok
}

// set checks and stores a value; it is a session's SET.
func (v *vars) set(name, value string, local bool) error {
	key := strings.ToLower(name)
	i, known := settingIndex[key]
	if !known {
		if !strings.Contains(key, ".") {
			return pgerr.New(pgerr.UndefinedObject, "unrecognized configuration parameter \"%s\"", name)
		}
	} else {
		s := &settings[i]
		if s.readonly {
			return pgerr.New("55P02", "parameter \"%s\" cannot be changed", s.name)
		}
		var err error
		if value, err = s.check(value); err != nil {
			return err
		}
	}
	if err := v.apply(key, value); err != nil {
		return err
	}
	if local {
		if v.local == nil {
			v.local = map[string]string{}
		}
		if _, ok := v.local[key]; !ok {
			old, _ := v.get(key)
			v.local[key] = old
		}
	}
	v.values[key] = value
	if known && settings[i].report {
		v.changed[key] = true
	}
	return nil
}

// endTransaction undoes what SET LOCAL changed.
func (v *vars) endTransaction() {
	v.modes = nil
	for k, old := range v.local {
		err := v.apply(k, old)
		if err != nil && k == "role" { // it has been dropped meanwhile, or is not the user's any more
			old = "none"
			err = v.apply(k, old)
		}
		if err == nil {
			v.values[k] = old
			if i, ok := settingIndex[k]; ok && settings[i].report {
				v.changed[k] = true
			}
		}
	}
	v.local = nil
}

// reset gives a setting its default again; "all" resets every one.
func (v *vars) reset(name string) error {
	key := strings.ToLower(name)
	if key == "all" {
		for k := range maps.Clone(v.values) {
			if i, ok := settingIndex[k]; ok && !settings[i].readonly && k != "role" {
				if err := v.reset(k); err != nil {
					return err
				}
			}
		}
		return nil
	}
	d, ok := v.defaults[key]
	if !ok {
		if strings.Contains(key, ".") {
			delete(v.values, key)
			return nil
		}
		return pgerr.New(pgerr.UndefinedObject, "unrecognized configuration parameter \"%s\"", name)
	}
	if err := v.apply(key, d); err != nil {
		return err
	}
	if i := settingIndex[key]; settings[i].report && v.values[key] != d {
		v.changed[key] = true
	}
	delete(v.values, key)
	return nil
}

func (s *setting) check(value string) (string, error) {
	bad := func() error {
		return pgerr.New(pgerr.InvalidParameterValue, "invalid value for parameter \"%s\": \"%s\"", s.name, value)
	}
	switch s.kind {
	case 'b':
		switch strings.ToLower(value) {
		case "on", "true", "yes", "1", "t", "y", "tr", "tru":
			return "on", nil
		case "off", "false", "no", "0", "f", "n", "of":
			return "off", nil
		}
		return "", pgerr.New(pgerr.InvalidParameterValue, "parameter \"%s\" requires a Boolean value", s.name)
	case 'i':
		if s.unit == "ms" {
			ms, ok := parseMillis(value)
			if !ok {
				return "", bad()
			}
			return formatMillis(ms), nil
		}
		n, err := strconv.Atoi(strings.TrimSpace(value))
		if err != nil {
			return "", bad()
		}
		return strconv.Itoa(n), nil
	case 'e':
		v := strings.ToLower(value)
		if !slices.Contains(s.enum, v) {
			return "", bad().(*pgerr.Error).WithHint("Available values: %s.", strings.Join(s.enum, ", "))
		}
		return v, nil
	}
	return value, nil
}

// parseMillis reads a duration setting: a number of milliseconds or a number with a unit.
func parseMillis(s string) (int64, bool) {
	s = strings.TrimSpace(s)
	i := 0
	for i < len(s) && (s[i] >= '0' && s[i] <= '9' || s[i] == '.' || s[i] == '-') {
		i++
	}
	n, err := strconv.ParseFloat(s[:i], 64)
	if err != nil {
		return 0, false
	}
	switch strings.TrimSpace(s[i:]) {
	case "", "ms":
	case "us":
		n /= 1000
	case "s":
		n *= 1000
	case "min":
		n *= 60_000
	case "h":
		n *= 3_600_000
	case "d":
		n *= 86_400_000
	default:
		return 0, false
	}
	return int64(n), n >= 0
}

func formatMillis(ms int64) string {
	switch {
	case ms == 0:
		return "0"
	case ms%86_400_000 == 0:
		return fmt.Sprintf("%dd", ms/86_400_000)
	case ms%3_600_000 == 0:
		return fmt.Sprintf("%dh", ms/3_600_000)
	case ms%60_000 == 0:
		return fmt.Sprintf("%dmin", ms/60_000)
	case ms%1000 == 0:
		return fmt.Sprintf("%ds", ms/1000)
	}
	return fmt.Sprintf("%dms", ms)
}

// apply makes a checked value effective where input and output depend on it.
func (v *vars) apply(key, value string) error {
	switch key {
	case "role", "session_authorization":
		if v.identity != nil {
			return v.identity(key, value)
		}
	case "timezone":
		z, err := types.LoadZone(value)
		if err != nil {
			return pgerr.New(pgerr.InvalidParameterValue, "invalid value for parameter \"TimeZone\": \"%s\"", value)
		}
		v.env.Zone = z
	case "datestyle":
		v.env.DateStyle = value
	case "intervalstyle":
		v.env.IntervalStyle = value
	case "bytea_output":
		v.env.ByteaOutput = value
	case "extra_float_digits":
		n, _ := strconv.Atoi(value)
		if n < -15 || n > 3 {
			return pgerr.New(pgerr.InvalidParameterValue, "%d is outside the valid range for parameter \"extra_float_digits\" (-15 .. 3)", n)
		}
		v.env.SetExtraFloatDigits(n)
	case "client_encoding":
		switch strings.ToLower(strings.Trim(value, "'")) {
		case "utf8", "utf-8", "unicode", "auto", "sql_ascii":
		default:
			return pgerr.New(pgerr.FeatureNotSupported, "conversion between %s and UTF8 is not supported", value).
				WithHint("Use client_encoding = 'UTF8'.")
		}
	}
	return nil
}

// dateStyle merges a SET DateStyle into the present one: "SQL", "DMY", "ISO, MDY".
func dateStyle(now, set string) (string, error) {
	style, order, _ := strings.Cut(now, ", ")
	for _, w := range strings.FieldsFunc(set, func(r rune) bool { return r == ',' || r == ' ' }) {
		switch l := strings.ToLower(w); l {
		case "iso":
			style = "ISO"
		case "sql":
			style = "SQL"
		case "postgres":
			style = "Postgres"
		case "german":
			style = "German"
		case "mdy", "us", "noneuro", "noneuropean":
			order = "MDY"
		case "dmy", "euro", "european":
			order = "DMY"
		case "ymd":
			order = "YMD"
		case "default":
			style, order = "ISO", "MDY"
		default:
			return "", pgerr.New(pgerr.InvalidParameterValue, "invalid value for parameter \"DateStyle\": \"%s\"", set).
				WithDetail("Unrecognized key word: \"%s\".", l)
		}
	}
	return style + ", " + order, nil
}
