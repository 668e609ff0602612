package main

import (
	"regexp"
	"strings"
)

// file is one of PostgreSQL's scripts.
type file struct {
	name  string
	group string
	// needs names the scripts that make what it works on; they are run before it and not counted.
	needs []string
}

// The groups of files that are judged.
const (
	types      = "types"
	queries    = "queries"
	statements = "statements"
	// more holds scripts beside the list that is judged; they are run when asked for.
	more = "more"
)

// files lists the scripts that concern what a streaming SQL engine answers.
var files = []file{
	{name: "boolean", group: types}, {name: "char", group: types}, {name: "name", group: types}, {name: "varchar", group: types},
	{name: "text", group: types}, {name: "int2", group: types}, {name: "int4", group: types}, {name: "int8", group: types},
	{name: "oid", group: types}, {name: "float4", group: types}, {name: "float8", group: types}, {name: "numeric", group: types},
	{name: "uuid", group: types}, {name: "enum", group: types}, {name: "strings", group: types}, {name: "date", group: types},
	{name: "time", group: types}, {name: "timetz", group: types}, {name: "timestamp", group: types}, {name: "timestamptz", group: types},
	{name: "interval", group: types}, {name: "json", group: types}, {name: "jsonb", group: types}, {name: "json_encoding", group: types},
	{name: "jsonpath", group: types}, {name: "jsonpath_encoding", group: types}, {name: "jsonb_jsonpath", group: types},
	{name: "arrays", group: types}, {name: "regex", group: types},

	{name: "case", group: queries}, {name: "join", group: queries, needs: []string{"create_misc"}}, {name: "select", group: queries},
	{name: "select_distinct", group: queries, needs: []string{"create_misc"}}, {name: "select_distinct_on", group: queries},
	{name: "select_having", group: queries}, {name: "select_implicit", group: queries}, {name: "aggregates", group: queries, needs: []string{"create_aggregate"}},
	{name: "groupingsets", group: queries}, {name: "window", group: queries}, {name: "subselect", group: queries},
	{name: "union", group: queries}, {name: "with", group: queries, needs: []string{"create_misc"}}, {name: "limit", group: queries},
	{name: "rowtypes", group: queries}, {name: "rangefuncs", group: queries},

	{name: "select_into", group: statements}, {name: "insert", group: statements}, {name: "insert_conflict", group: statements},
	{name: "update", group: statements}, {name: "delete", group: statements}, {name: "domain", group: statements},
	{name: "sequence", group: statements}, {name: "identity", group: statements}, {name: "prepare", group: statements},
	{name: "transactions", group: statements}, {name: "portals", group: statements},

	{name: "numerology", group: more}, {name: "horology", group: more, needs: []string{"date", "time", "timetz", "timestamp", "timestamptz", "interval"}},
	{name: "expressions", group: more}, {name: "tsrf", group: more}, {name: "returning", group: more}, {name: "unicode", group: more},
	{name: "comments", group: more}, {name: "truncate", group: more}, {name: "merge", group: more}, {name: "temp", group: more},
	{name: "matview", group: more}, {name: "create_view", group: more}, {name: "copy2", group: more}, {name: "copyselect", group: more},
	{name: "errors", group: more}, {name: "namespace", group: more}, {name: "generated", group: more}, {name: "constraints", group: more},
}

// outside lists what is no part of a streaming SQL engine. A statement that a pattern fits, or that names something made
// by such a statement, is left out of the second share; it stays in the first.
var outside = []struct {
	reason  string
	pattern *regexp.Regexp
}{
	{"PostgreSQL's own plans", regexp.MustCompile(`(?is)^explain\b|\bexplain_\w+\s*\(`)},
	{"PL/pgSQL and other procedural languages", regexp.MustCompile(`(?is)\blanguage\s+'?(plpgsql|internal|c)\b|^do\b|\blanguage_handler\b`)},
	{"triggers and rules", regexp.MustCompile(`(?is)^(create|alter|drop)\s+(or\s+replace\s+)?(constraint\s+|event\s+)?(trigger|rule)\b|\b(disable|enable)\s+(trigger|rule)\b`)},
	{"partitions", regexp.MustCompile(`(?is)\bpartition\s+(of|by\s+(list|range|hash)\b)|\b(attach|detach)\s+partition\b`)},
	{"inheritance of tables", regexp.MustCompile(`(?is)\)\s*inherits\s*\(|\bno\s+inherit\b|^alter\s+table\s.*\binherit\b`)},
	{"operators, aggregates, casts, classes and procedures that a user defines", regexp.MustCompile(
		`(?is)^(create|alter|drop)\s+(or\s+replace\s+)?(operator|aggregate|cast|procedure|transform|conversion|access\s+method|text\s+search|statistics|collation)\b`)},
	{"geometric, network, text search, range, bit, money and XML types", regexp.MustCompile(
		`(?is)\b(point|lseg|box|path|polygon|circle|macaddr8?|tsvector|to_tsvector|jsonb?_to_tsvector|ts_headline|to_tsquery|tsquery|int4range|int8range|numrange|daterange|tsrange|tstzrange|int4multirange|bit|varbit|money|xml|xid|xid8|pg_lsn|txid_snapshot|pg_snapshot)\b`)},
	{"row security, roles and grants", regexp.MustCompile(`(?is)^(grant|revoke|reassign)\b|^(create|alter|drop)\s+(user|role|policy|group)\b|\brow\s+level\s+security\b|^(re)?set\s+(session\s+authorization|role)\b`)},
	{"prepared transactions, locks and large objects", regexp.MustCompile(`(?is)^(prepare\s+transaction|commit\s+prepared|rollback\s+prepared|lock)\b|\blo_\w+\s*\(`)},
	{"storage: ANALYZE, CLUSTER, VACUUM, TABLESPACE, tuple headers", regexp.MustCompile(`(?is)^(analyze|cluster|vacuum|checkpoint)\b|\btablespace\b|\b(ctid|xmin|xmax|cmin|cmax)\b|\bpg_(relation|column|table)_\w+\s*\(`)},
}

var creates = regexp.MustCompile(`(?is)^create\s+(?:or\s+replace\s+)?(?:(?:global|local|temp|temporary|unlogged|recursive)\s+)*` +
	`(?:table|view|materialized\s+view|function|procedure|aggregate|type|domain|role|user|sequence|index)\s+(?:if\s+not\s+exists\s+)?"?([\w.]+)`)

// scope tells the statements of one script that are outside.
type scope struct {
	made map[string]string // the reason why what bears the name could not be made
}

// reason says why a statement is outside, "" where it is not.
func (s *scope) reason(sql string) string {
	why := ""
	for _, o := range outside {
		if o.pattern.MatchString(sql) {
			why = o.reason
			break
		}
	}
	if why == "" && len(s.made) > 0 {
		for _, w := range words.FindAllString(strings.ToLower(sql), -1) {
			if r, ok := s.made[w]; ok {
				why = r
				break
			}
		}
	}
	if m := creates.FindStringSubmatch(sql); m != nil && why != "" {
		name := strings.ToLower(m[1])
		s.made[name[strings.LastIndexByte(name, '.')+1:]] = why
	} else if m != nil {
		delete(s.made, strings.ToLower(m[1]))
	}
	return why
}

var words = regexp.MustCompile(`\w+`)
