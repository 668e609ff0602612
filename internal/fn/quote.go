package fn

import "strings"

// quotedWords are the key words that an identifier must be quoted to be: all but the unreserved ones.
var quotedWords = func() map[string]bool {
	m := map[string]bool{}
	for _, w := range strings.Fields(reserved) {
		m[w] = true
	}
	return m
}()

const reserved = "" +
	"all analyse analyze and any array as asc asymmetric authorization between bigint binary bit boolean both case cast char character check coalesce " +
	"collate collation column concurrently constraint create cross current_catalog current_date current_role current_schema current_time current_timestamp " +
	"current_user dec decimal default deferrable desc distinct do else end except exists extract false fetch float for foreign freeze from full grant " +
	"greatest group grouping having ilike in initially inner inout int integer intersect interval into is isnull join lateral leading least left like " +
	"limit localtime localtimestamp national natural nchar none normalize not notnull null nullif numeric offset on only or order out outer overlaps " +
	"overlay placing position precision primary real references returning right row select session_user setof similar smallint some substring symmetric " +
	"table tablesample then time timestamp to trailing treat trim true union unique user using values varchar variadic verbose when where window with " +
	"xmlattributes xmlconcat xmlelement xmlexists xmlforest xmlnamespaces xmlparse xmlpi xmlroot xmlserialize xmltable"

// QuoteIdent gives a name as it is written in SQL: quoted where it would not be read as itself.
func QuoteIdent(s string) string {
	plain := s != "" && !quotedWords[s]
	for i := 0; i < len(s) && plain; i++ {
		c := s[i]
		plain = c >= 'a' && c <= 'z' || c == '_' || i > 0 && c >= '0' && c <= '9'
	}
	if plain {
		return s
	}
	return `"` + strings.ReplaceAll(s, `"`, `""`) + `"`
}

// QuoteLiteral gives text as a SQL string literal, with E where there are backslashes.
func QuoteLiteral(s string) string {
	q := "'" + strings.ReplaceAll(s, "'", "''") + "'"
	if strings.Contains(s, `\`) {
		return "E" + strings.ReplaceAll(q, `\`, `\\`)
	}
	return q
}
