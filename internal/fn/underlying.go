package fn

import (
	"slices"
	"strings"

	"streamsql/internal/types"
)

// opFunctions names the functions that PostgreSQL has behind its operators, which SQL may call: the name, the operator
// and the operand types. A family in capitals stands for the six comparisons, with the name's ending in their place.
const opFunctions = `
	bool~ ~ bool bool|int2~ ~ int2 int2|int4~ ~ int4 int4|int8~ ~ int8 int8|float4~ ~ float4 float4|float8~ ~ float8 float8
	numeric_~ ~ numeric numeric|name~ ~ name name|oid~ ~ oid oid|date_~ ~ date date|time_~ ~ time time|timestamp_~ ~ timestamp timestamp
	timestamptz_~ ~ timestamptz timestamptz|interval_~ ~ interval interval|uuid_~ ~ uuid uuid|jsonb_~ ~ jsonb jsonb|bytea~ ~ bytea bytea
	timetz_~ ~ timetz timetz|array_~ ~ anyarray anyarray|bpchar~ ~ bpchar bpchar
	int2pl + int2 int2|int2mi - int2 int2|int2mul * int2 int2|int2div / int2 int2|int2mod % int2 int2|int2um - int2
	int4pl + int4 int4|int4mi - int4 int4|int4mul * int4 int4|int4div / int4 int4|int4mod % int4 int4|int4um - int4
	int8pl + int8 int8|int8mi - int8 int8|int8mul * int8 int8|int8div / int8 int8|int8mod % int8 int8|int8um - int8
	int4and & int4 int4|int4or | int4 int4|int4xor # int4 int4|int4not ~ int4|int4shl << int4 int4|int4shr >> int4 int4
	float4pl + float4 float4|float4mi - float4 float4|float4mul * float4 float4|float4div / float4 float4|float4um - float4
	float8pl + float8 float8|float8mi - float8 float8|float8mul * float8 float8|float8div / float8 float8|float8um - float8
	numeric_add + numeric numeric|numeric_sub - numeric numeric|numeric_mul * numeric numeric|numeric_div / numeric numeric
	numeric_mod % numeric numeric|numeric_uminus - numeric|numeric_power ^ numeric numeric|dpow ^ float8 float8
	date_pli + date int4|date_mii - date int4|date_mi - date date|interval_pl + interval interval|interval_mi - interval interval
	interval_um - interval|interval_mul * interval float8|interval_div / interval float8|timestamp_mi - timestamp timestamp
	timestamp_pl_interval + timestamp interval|timestamptz_pl_interval + timestamptz interval
	texteq = text text|textne <> text text|text_lt < text text|text_le <= text text|text_gt > text text|text_ge >= text text
	textcat || text text|textlike ~~ text text|textnlike !~~ text text|texticlike ~~* text text|texticnlike !~~* text text
	textregexeq ~ text text|textregexne !~ text text|texticregexeq ~* text text|texticregexne !~* text text|byteacat || bytea bytea
	jsonb_contains @> jsonb jsonb|jsonb_contained <@ jsonb jsonb|jsonb_exists_any ?| jsonb text[]|jsonb_exists_all ?& jsonb text[]
	jsonb_concat || jsonb jsonb|jsonb_delete - jsonb text|jsonb_delete - jsonb int4|jsonb_delete - jsonb text[]|jsonb_delete_path #- jsonb text[]
	jsonb_object_field -> jsonb text|jsonb_object_field_text ->> jsonb text|jsonb_array_element -> jsonb int4
	jsonb_array_element_text ->> jsonb int4|json_object_field -> json text|json_object_field_text ->> json text
	json_array_element -> json int4|json_array_element_text ->> json int4
	arraycontains @> anyarray anyarray|arraycontained <@ anyarray anyarray|arrayoverlap && anyarray anyarray
	jsonb_path_exists_opr @? jsonb jsonpath|jsonb_path_match_opr @@ jsonb jsonpath`

// comparisons are the six operators with the endings of their functions' names.
var comparisonFunctions = []struct{ symbol, ending string }{{"=", "eq"}, {"<>", "ne"}, {"<", "lt"}, {"<=", "le"}, {">", "gt"}, {">=", "ge"}}

// The functions of opFunctions are registered when every operator is: files are initialised by their names.
func init() {
	// The operands | and || contain what separates entries, so entries are cut where a name follows.
	for line := range strings.SplitSeq(strings.TrimSpace(opFunctions), "\n") {
		for _, entry := range splitEntries(strings.TrimSpace(line)) {
			w := strings.Fields(entry)
			if w[1] != "~" || !strings.HasSuffix(w[0], "~") {
				nameOperator(w[0], w[1], w[2:])
				continue
			}
			for _, c := range comparisonFunctions {
				nameOperator(strings.TrimSuffix(w[0], "~")+c.ending, c.symbol, w[2:])
			}
		}
	}
}

// splitEntries cuts at each | that has no space on either side.
func splitEntries(line string) (out []string) {
	at := 0
	for i := 1; i+1 < len(line); i++ {
		if line[i] == '|' && line[i-1] != ' ' && line[i+1] != ' ' && line[i-1] != '|' && line[i+1] != '|' && line[i-1] != '?' {
			out = append(out, line[at:i])
			at = i + 1
		}
	}
	return append(out, line[at:])
}

func nameOperator(name, symbol string, args []string) {
	var ts []types.T
	for _, a := range args {
		ts = append(ts, mustType(a))
	}
	same := func(f *Func) bool { return slices.EqualFunc(f.Args, ts, types.T.Is) }
	if slices.ContainsFunc(funcs[name], same) {
		return
	}
	i := slices.IndexFunc(ops[symbol], same)
	if i < 0 {
		panic("fn: no operator " + symbol + " for " + name)
	}
	f := *ops[symbol][i]
	f.Name, f.IsOp, f.Commute, f.Negate, f.OID = name, false, "", "", 0
	f.OID = procOIDs[f.oidKey()]
	funcs[name] = append(funcs[name], &f)
	allFuncs = append(allFuncs, &f)
}
