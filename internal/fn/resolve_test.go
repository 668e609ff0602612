package fn

import (
	"strings"
	"testing"

	"streamsql/internal/pgerr"
	"streamsql/internal/types"
)

func ts(names ...string) []types.T {
	out := make([]types.T, len(names))
	for i, n := range names {
		out[i] = mustType(n)
	}
	return out
}

// The expectations were read off PostgreSQL 15 (pg_typeof, and the errors).
func TestResolveOp(t *testing.T) {
	for _, c := range []struct{ sym, args, want string }{
		{"+", "int4 int4", "integer + integer -> integer"},
		{"+", "int4 int8", "integer + bigint -> bigint"},
		{"+", "int4 numeric", "numeric + numeric -> numeric"},
		{"+", "int4 unknown", "integer + integer -> integer"},
		{"+", "int4 float4", "double precision + real -> double precision"},
		{"+", "numeric float8", "double precision + double precision -> double precision"},
		{"+", "date unknown", "42725 operator is not unique: date + unknown"},
		{"-", "date unknown", "date - date -> integer"},
		{"-", "timestamp unknown", "timestamp without time zone - timestamp without time zone -> interval"},
		{"+", "timestamp interval", "timestamp without time zone + interval -> timestamp without time zone"},
		{"+", "int4 text", "42883 operator does not exist: integer + text"},
		{"+", "unknown unknown", "42725 operator is not unique: unknown + unknown"},
		{"||", "unknown unknown", "text || text -> text"},
		{"||", "text int4", "text || integer -> text"},
		{"||", "int4 unknown", "integer || text -> text"},
		{"||", "varchar varchar", "text || text -> text"},
		{"||", "_int4 int4", "integer[] || integer -> integer[]"},
		{"||", "int4 _int4", "integer || integer[] -> integer[]"},
		{"||", "_int4 _int8", "bigint[] || bigint[] -> bigint[]"},
		{"||", "int4 int4", "42883 operator does not exist: integer || integer"},
		{"=", "varchar text", "text = text -> boolean"},
		{"=", "bpchar unknown", "character = character -> boolean"},
		{"=", "json json", "42883 operator does not exist: json = json"},
		{"=", "int4 bool", "42883 operator does not exist: integer = boolean"},
		{"<", "timestamp unknown", "timestamp without time zone < timestamp without time zone -> boolean"},
		{"=", "_text _text", "text[] = text[] -> boolean"},
		{"=", "regclass oid", "oid = oid -> boolean"},
		{"=", "oid int4", "oid = oid -> boolean"},
		{"~~", "name text", "name ~~ text -> boolean"},
		{"-", "int4", "integer -> integer"},
		{"-", "unknown", "42725 operator is not unique: - unknown"},
		{"@", "text", "42883 operator does not exist: @ text"},
		{"*", "interval int4", "interval * double precision -> interval"},
		{"->", "jsonb unknown", "jsonb -> text -> jsonb"},
		{"->>", "json int4", "json ->> integer -> text"},
		{"-", "jsonb unknown", "jsonb - text -> jsonb"},
		{"!!!", "int4 int4", "42883 operator does not exist: integer !!! integer"},
	} {
		r, err := ResolveOp(c.sym, ts(strings.Fields(c.args)...))
		got := ""
		if err != nil {
			got = pgerr.Code(err) + " " + err.Error()
		} else {
			var a []string
			for _, x := range r.Args {
				a = append(a, x.Format())
			}
			got = strings.Join(a, " "+c.sym+" ") + " -> " + r.Ret.Format()
		}
		if got != c.want {
			t.Errorf("%s %s: got %s, want %s", c.sym, c.args, got, c.want)
		}
	}
}

func TestSelectCommonType(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"int4 unknown", "integer"},
		{"unknown unknown", "text"},
		{"int4 numeric", "numeric"},
		{"numeric int4 float8", "double precision"},
		{"text int4", "UNION types text and integer cannot be matched"},
		{"varchar text", "character varying"},
		{"varchar unknown", "character varying"},
		{"date timestamptz", "timestamp with time zone"},
		{"timestamp date", "timestamp without time zone"},
	} {
		got, err := SelectCommonType(ts(strings.Fields(c.args)...))
		s := got.Format()
		if err != nil {
			s = err.(*CommonTypeError).For("UNION").Error()
		}
		if s != c.want {
			t.Errorf("%s: got %s, want %s", c.args, s, c.want)
		}
	}
}
