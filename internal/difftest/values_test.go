package difftest

import (
	"math/rand/v2"
	"strings"
)

// values are what literals and rows are made of: ordinary values first, the edges after them.
var values = map[string][]string{
	"boolean":                     {"t", "f", "true", "no", "on"},
	"smallint":                    {"0", "1", "2", "3", "-1", "7", "32767", "-32768"},
	"integer":                     {"0", "1", "2", "3", "-1", "5", "10", "100", "-7", "2147483647", "-2147483648"},
	"bigint":                      {"0", "1", "2", "3", "-1", "42", "10", "-13", "4294967296", "9223372036854775807", "-9223372036854775808"},
	"numeric":                     {"0", "1", "2.50", "-1.5", "0.1", "10", "3.14159", "100.00", "-0.001", "1e10", "99999999999999999999.999", "0.00000000000000001", "NaN", "Infinity", "-Infinity"},
	"real":                        {"0", "1", "-1", "0.5", "2.5", "3.25", "0.1", "1e10", "-0", "NaN", "Infinity", "-Infinity", "1e-30", "3.4e38"},
	"double precision":            {"0", "1", "-1", "0.5", "2.5", "-3.75", "0.1", "1e10", "-0", "NaN", "Infinity", "-Infinity", "1e-300", "1.7e308", "123456.789"},
	"text":                        {"", "a", "b", "abc", "Abc", "hello world", " x ", "a,b,c", "12", "éß", "ÀÉ日本", "😀x", "a%b_c", `\n`, "it's", `"q"`, "foo.bar", "A1b2"},
	"character varying":           {"", "a", "B", "abc", "xyz ", "Ünï", "10", "a b"},
	"character":                   {"a", "b", "x", "Z"},
	`"char"`:                      {"a", "b", "1", "Z"},
	"name":                        {"a", "abc", "pg_type", "Some Name"},
	"oid":                         {"0", "1", "16", "23", "4294967295"},
	"bytea":                       {"", `\x00`, `\xdeadbeef`, "abc", `\x616263`, `\xff`},
	"date":                        {"2024-02-29", "2023-12-31", "2000-01-01", "1999-07-15", "2024-03-10", "1969-12-31", "infinity", "-infinity", "4713-01-01 BC", "0044-03-15 BC", "5874897-12-31"},
	"time without time zone":      {"00:00:00", "12:34:56", "23:59:59.999999", "04:05:06.789", "24:00:00"},
	"time with time zone":         {"00:00:00+00", "12:34:56-07", "23:59:59.5+05:30", "04:05:06+00"},
	"timestamp without time zone": {"2024-02-29 12:34:56", "2000-01-01 00:00:00", "1999-12-31 23:59:59.999999", "2024-03-10 02:30:00", "2024-11-03 01:30:00", "1970-01-01 00:00:00", "294246-12-31 23:59:59", "infinity", "-infinity", "0001-01-01 00:00:00 BC"},
	"timestamp with time zone":    {"2024-02-29 12:34:56+00", "2000-01-01 00:00:00-08", "1999-12-31 23:59:59.999999+00", "2024-03-10 10:00:00+00", "2024-11-03 06:30:00+00", "1970-01-01 00:00:00+00", "infinity", "-infinity", "0044-03-15 10:00:00+00 BC"},
	"interval":                    {"0", "1 day", "1 mon", "-1 year", "01:02:03", "1 day -02:00", "36:00:00.5", "1 year 2 mons 3 days 04:05:06.789", "-1 day +02:00", "1 week", "P1Y2M3DT4H5M6S", "178000 years"},
	"uuid":                        {"00000000-0000-0000-0000-000000000000", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "ffffffff-ffff-ffff-ffff-ffffffffffff"},
	"json":                        {`null`, `1`, `"a"`, `{"a": 1, "b": [1, 2, {"c": null}]}`, `[1, "x", null, true]`, `{}`, `[]`, ` {"a":  1, "a": 2} `, `{"x": "é", "y": 1.50}`},
	"jsonb":                       {`null`, `1`, `"a"`, `{"a": 1, "b": [1, 2, {"c": null}]}`, `[1, "x", null, true]`, `{}`, `[]`, `{"b": 1, "aa": 2, "a": 3}`, `[[1, 2], {"a": "b"}]`, `{"x": "é", "y": 1.50}`, `1e2`, `true`},
	"jsonpath":                    {`$`, `$.a`, `$.b[*]`, `$.b[0]`, `$.*`, `$[*]`, `$[*] ? (@ > 1)`, `$.** ? (@.c == null)`, `$.a + 1`, `strict $.a`, `$.b.size()`, `$.a.type()`, `exists($.a)`, `$.a == 1`, `$.x like_regex "^."`, `$[last]`, `-$.a`, `$.y.floor()`, `$.keyvalue()`, `$ ? (@.a == 1 && @.x starts with "é")`},
}

// plain is the literal that shrinking prefers for a type.
var plain = map[string]string{
	"boolean": "true", "integer": "1", "bigint": "1::bigint", "smallint": "1::smallint", "numeric": "1.0", "double precision": "1::double precision",
	"real": "1::real", "text": "'a'::text", "date": "'2000-01-01'::date", "timestamp without time zone": "'2000-01-01'::timestamp without time zone",
	"timestamp with time zone": "'2000-01-01'::timestamp with time zone", "interval": "'1 day'::interval", "jsonb": "'{}'::jsonb", "json": "'{}'::json",
}

// scalars are the types of columns, the frequent ones more than once.
var scalars = []string{
	"boolean", "smallint", "integer", "integer", "integer", "bigint", "bigint", "numeric", "numeric", "real", "double precision", "double precision",
	"text", "text", "text", "character varying", "character", "bytea", "date", "date", "time without time zone", "time with time zone",
	"timestamp without time zone", "timestamp without time zone", "timestamp with time zone", "timestamp with time zone", "interval", "interval",
	"uuid", "json", "jsonb", "jsonb",
}

// rare are types of expressions, not of columns.
var rare = []string{`"char"`, "name", "oid"}

// arrays are the element types of array columns and expressions.
var arrays = []string{"integer", "integer", "text", "text", "numeric", "bigint", "double precision", "boolean", "date", "timestamp without time zone", "jsonb", "interval", "uuid", "bytea"}

func elemOf(typ string) (string, bool) { return strings.CutSuffix(typ, "[]") }

func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// value gives the input text of a random value that is not NULL; calm ones are not at the edges of their type.
func value(r *rand.Rand, typ string, calm bool) string {
	if e, ok := elemOf(typ); ok {
		n := r.IntN(4)
		if r.IntN(12) == 0 && n > 0 { // two dimensions
			return "{" + arrayText(r, e, n, calm) + "," + arrayText(r, e, n, calm) + "}"
		}
		return arrayText(r, e, n, calm)
	}
	vs := values[typ]
	if calm && len(vs) > 6 {
		n := len(vs) / 2
		return vs[r.IntN(n)]
	}
	if r.IntN(3) > 0 {
		switch typ {
		case "integer", "bigint", "smallint":
			return itoa(r.IntN(40) - 15)
		case "numeric":
			return itoa(r.IntN(4000)-1500) + "." + itoa(r.IntN(1000))
		case "double precision", "real":
			return itoa(r.IntN(400)-150) + "." + itoa(r.IntN(100))
		}
	}
	return vs[r.IntN(len(vs))]
}

func arrayText(r *rand.Rand, elem string, n int, calm bool) string {
	var b strings.Builder
	b.WriteByte('{')
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		if r.IntN(6) == 0 {
			b.WriteString("NULL")
			continue
		}
		v := value(r, elem, calm)
		b.WriteString(`"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(v) + `"`)
	}
	b.WriteByte('}')
	return b.String()
}

// hints are the arguments that some functions need to do anything but fail: literals by function and position.
var hints = map[string][]string{
	"date_trunc 0": fields, "date_part 0": fields, "extract 0": fields,
	"encode 1": {"'hex'", "'base64'", "'escape'", "'HEX'"}, "decode 1": {"'hex'", "'base64'", "'escape'"},
	"decode 0": {"'deadbeef'", "'YWJj'", `'a\000b'`, "''", "'abc'"},
	"repeat 1": smallInts, "lpad 1": smallInts, "rpad 1": smallInts, "left 1": smallInts, "right 1": smallInts,
	"substr 1": smallInts, "substr 2": posInts, "substring 1": smallInts, "substring 2": posInts, "overlay 2": posInts, "overlay 3": posInts,
	"split_part 2": smallInts, "chr 0": {"65", "97", "233", "8364", "128512", "0", "1114112", "-1"},
	"get_bit 1": posInts, "get_byte 1": posInts, "set_bit 1": posInts, "set_bit 2": {"0", "1", "1", "2"}, "set_byte 1": posInts, "set_byte 2": {"0", "255", "300", "65"},
	"factorial 0": {"0", "1", "5", "20", "30", "-1"},
	"round 1":     smallInts, "trunc 1": smallInts, "array_length 1": posInts, "array_lower 1": posInts, "array_upper 1": posInts,
	"trim_array 1": {"0", "1", "1", "2"}, "array_fill 1": {"ARRAY[2]", "ARRAY[2,2]", "'{1}'", "'{}'"}, "array_fill 2": {"ARRAY[2]", "ARRAY[0,1]"},
	"regexp_match 1": regexes, "regexp_matches 1": regexes, "regexp_replace 1": regexes, "regexp_split_to_array 1": regexes, "regexp_split_to_table 1": regexes,
	"regexp_count 1": regexes, "regexp_instr 1": regexes, "regexp_like 1": regexes, "regexp_substr 1": regexes,
	"regexp_match 2": flags, "regexp_matches 2": flags, "regexp_replace 2": {`'<\&>'`, "'X'", "''", `'\1'`, `'[\2\\]'`}, "regexp_replace 3": flags, "regexp_split_to_array 2": flags,
	"regexp_split_to_table 2": flags, "regexp_like 2": flags, "regexp_count 2": posInts, "regexp_count 3": flags, "regexp_instr 2": posInts,
	"regexp_instr 3": posInts, "regexp_instr 4": {"0", "1", "2"}, "regexp_instr 5": flags, "regexp_instr 6": {"0", "1"}, "regexp_substr 2": posInts, "regexp_substr 3": posInts,
	"regexp_substr 4": flags, "regexp_substr 5": {"0", "1"}, "regexp_replace 4": posInts, "regexp_replace 5": flags,
	"timezone 0": zones, "date_trunc 2": zones, "convert_from 1": encodings, "convert_to 1": encodings, "length 1": encodings, "convert 1": encodings, "convert 2": encodings,
	"width_bucket 3": {"5", "1", "10", "0"}, "make_date 0": years, "make_date 1": {"1", "2", "12", "13"}, "make_date 2": {"1", "28", "29", "31", "32"},
	"make_time 0": {"0", "12", "23", "24"}, "make_time 1": {"0", "59", "60"}, "make_time 2": {"0", "59.5", "60"},
	"make_timestamp 0": years, "make_timestamp 1": {"1", "2", "12"}, "make_timestamp 2": {"1", "28", "29"}, "make_timestamp 3": {"0", "23"}, "make_timestamp 4": {"0", "59"}, "make_timestamp 5": {"0", "59.5", "60"},
	"make_timestamptz 0": years, "make_timestamptz 1": {"1", "2", "12"}, "make_timestamptz 2": {"1", "28", "29"}, "make_timestamptz 3": {"0", "23"}, "make_timestamptz 4": {"0", "59"}, "make_timestamptz 5": {"0", "59.5", "60"}, "make_timestamptz 6": zones,
	"make_interval 0": posInts, "make_interval 1": posInts, "make_interval 2": posInts, "make_interval 3": posInts, "make_interval 4": posInts, "make_interval 5": posInts, "make_interval 6": {"0", "1.5"},
	"date_bin 0":          {"'15 minutes'", "interval '1 day'", "'1 mon'", "'2 days 3 hours'", "'-1 day'", "'0'"},
	"json_extract_path 1": keys, "jsonb_extract_path 1": keys, "json_extract_path_text 1": keys, "jsonb_extract_path_text 1": keys,
	"json_extract_path 2": keys, "jsonb_extract_path 2": keys, "json_extract_path_text 2": keys, "jsonb_extract_path_text 2": keys,
	"jsonb_set 1": paths, "jsonb_insert 1": paths, "jsonb_delete_path 1": paths, "jsonb_set_lax 1": paths, "jsonb_exists 1": keys,
	"-> 1": keysOrIndex, "->> 1": keysOrIndex, "#> 1": paths, "#>> 1": paths, "#- 1": paths, "? 1": keys, "?| 1": {"'{a,b}'", "'{}'", "'{x,NULL}'"}, "?& 1": {"'{a,b}'", "'{}'", "'{a}'"},
	"jsonb_set_lax 4": {"'use_json_null'", "'raise_exception'", "'delete_key'", "'return_target'"},
	"power 1":         {"0", "1", "2", "3", "0.5", "-1", "-2"}, "pow 1": {"0", "2", "0.5", "-1"}, "^ 1": {"0", "2", "3", "0.5", "-1"}, "dpow 1": {"2", "0.5"},
	"exp 0": {"0", "1", "-1", "2.5", "10"}, "<< 1": posInts, ">> 1": posInts,
	"~ 1": regexes, "!~ 1": regexes, "~* 1": regexes, "!~* 1": regexes, "~~ 1": patterns, "!~~ 1": patterns, "~~* 1": patterns, "!~~* 1": patterns, "like 1": patterns, "notlike 1": patterns,
	"texticlike 1": patterns, "texticnlike 1": patterns, "like_escape 1": {"'!'", "''", "'#'"}, "similar_to_escape 0": patterns, "similar_to_escape 1": {"'!'", "''"},
	"format 0":    {"'%s'", "'%s-%s'", "'%I %L'", "'%1$s %1$L'", "'%10s|'", "'%-5s|'", "'%%'", "'x'", "'%*s'", "'%2$s'"},
	"translate 1": {"'abc'", "'é1'"}, "translate 2": {"'xy'", "''", "'ABCD'"},
	"to_hex 0": {"0", "255", "-1"}, "unistr 0": {`'\0041'`, `'d\0061t\+000061'`, `'\u00e9'`, `'\x'`}, "parse_ident 0": {"'a.b'", `'"A".b'`, "'1a'", "'a.'"},
	"normalize 1": {"'NFC'", "'NFD'", "'NFKC'", "'NFKD'"}, "is_normalized 1": {"'NFC'", "'NFD'", "'NFKC'", "'NFKD'"},
	"string_to_array 1": {"','", "''", "NULL", "'b'", "' '"}, "array_to_string 1": {"','", "'; '", "''"}, "string_to_table 1": {"','", "''", "NULL"},
	"generate_series 0": smallInts, "generate_series 1": smallInts, "generate_series 2": {"1", "2", "-1", "3"}, "generate_subscripts 1": {"1", "1", "2"},
	"percentile_cont 0": fractions, "percentile_disc 0": fractions, "string_agg 1": {"','", "''", "NULL", "'; '"},
	"sinh 0": {"0", "1", "-0.5"}, "cosh 0": {"0", "1", "-0.5"}, "lag 1": posInts, "lead 1": posInts, "nth_value 1": {"1", "2", "3"}, "ntile 0": {"1", "2", "3", "4"},
}

var (
	fields      = []string{"'year'", "'month'", "'week'", "'day'", "'hour'", "'minute'", "'second'", "'quarter'", "'decade'", "'century'", "'millennium'", "'milliseconds'", "'microseconds'", "'dow'", "'isodow'", "'doy'", "'isoyear'", "'epoch'", "'julian'", "'timezone'", "'timezone_hour'", "'fortnight'"}
	smallInts   = []string{"0", "1", "2", "3", "5", "-1", "-2", "10"}
	posInts     = []string{"0", "1", "1", "2", "3", "4"}
	years       = []string{"2024", "2023", "1", "-44", "0", "1970"}
	regexes     = []string{"'a'", "'[a-c]+'", "'(b)(c)?'", "'^.'", "'x*'", "'o|l'", `'\d+'`, `'\w+$'`, "'é'", "'(?i)ABC'", "'['", "''", `'(a)\1'`, "'b.'", `'\s'`, "'.*?b'", `'a(?=b)'`, `'(?<!b)c.*'`, `'(\w)\1'`, `'\mb'`, `'(a|ab)(c|bcd)?'`}
	flags       = []string{"''", "'g'", "'i'", "'gi'", "'n'", "'x'", "'z'"}
	zones       = []string{"'UTC'", "'America/New_York'", "'Europe/Berlin'", "'+05:30'", "'EST'", "'Asia/Kolkata'", "'PST8PDT'", "'nowhere'"}
	encodings   = []string{"'UTF8'", "'utf-8'", "'LATIN1'", "'SQL_ASCII'", "'nope'"}
	keys        = []string{"'a'", "'b'", "'x'", "'0'", "'1'", "'-1'", "'zz'"}
	keysOrIndex = []string{"'a'", "'b'", "0", "1", "-1", "'x'", "2"}
	paths       = []string{"'{a}'", "'{b,0}'", "'{b,2,c}'", "'{0}'", "'{}'", "'{-1}'", "'{zz}'", "'{b,-1}'", "ARRAY['a']", "'{1,a}'", "'{a,NULL}'"}
	patterns    = []string{"'a%'", "'%b%'", "'_'", "'a_c'", "''", "'%'", `'\%'`, "'é%'", "'A%'", `'%\_%'`, `'a\'`}
	similars    = []string{"'a%'", "'(a|b)%'", "'_+'", "'[a-c]*'", "'%(b|d)%'", "'a{2}'", "''", "'a?bc'"}
	fractions   = []string{"0", "0.5", "1", "0.25", "0.9", "NULL"}
	numFormats  = []string{"'999'", "'FM9999.00'", "'S99'", "'9,999.99'", "'000'", "'RN'", "'FMRN'", "'MI99'", "'PL9'", "'9.99EEEE'", "'99V99'", "'L99'", "'99PR'", "'0.9'", "'TH99'", "'99th'", "'B99'", "'FM99D9'", "'SG9'", "'x9\"y\"9'", "''"}
	timeFormats = []string{"'YYYY-MM-DD HH24:MI:SS'", "'Day, DD Month YYYY'", "'FMDay FMDD FMMonth'", "'HH12:MI:SS.US AM'", "'Q WW IW ID IYYY'", "'J'", "'CC BC'", "'Dy Mon RM'", "'DDD D W'", "'MS SSSS'", "'TZ OF'", "'YY-mm-ddth'", "'DDTH'", "'Y,YYY'", "'FF3 FF6'", "'tzh:tzm'", "'a.d. p.m.'", "'\"quoted\" YYYY'", "'iyy iw idy'", "'SSSSS'"}
)
