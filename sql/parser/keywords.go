package parser

import (
	"sort"
	"strings"
)

// category is a keyword's class in PostgreSQL's grammar; it decides where the
// word may stand as a name without quotes.
type category uint8

const (
	notKeyword   category = iota
	unreserved            // a name anywhere
	colName               // a column, table or alias, but no function or type
	typeFuncName          // a function or type, but no column or table
	reserved              // never
)

// PostgreSQL 15's keywords by class; a trailing ! marks a word that cannot be a
// column label without AS.
const (
	unreservedWords = `abort absolute access action add admin after aggregate also alter always asensitive assertion
assignment at atomic attach attribute backward before begin breadth by cache call called cascade cascaded catalog chain
characteristics checkpoint class close cluster columns comment comments commit committed compression configuration
conflict connection constraints content continue conversion copy cost csv cube current cursor cycle data database day!
deallocate declare defaults deferred definer delete delimiter delimiters depends depth detach dictionary disable discard
document domain double drop each enable encoding encrypted enum escape event exclude excluding exclusive execute explain
expression extension external family filter! finalize first following force forward function functions generated global
granted groups handler header hold hour! identity if immediate immutable implicit import include including increment
index indexes inherit inherits inline input insensitive insert instead invoker isolation key label language large last
leakproof level listen load local location lock locked logged mapping match matched materialized maxvalue merge method
minute! minvalue mode month! move name names new next nfc nfd nfkc nfkd no normalized nothing notify nowait nulls object
of off oids old operator option options ordinality others over! overriding owned owner parallel parameter parser partial
partition passing password plans policy preceding prepare prepared preserve prior privileges procedural procedure
procedures program publication quote range read reassign recheck recursive ref referencing refresh reindex relative
release rename repeatable replace replica reset restart restrict return returns revoke role rollback rollup routine
routines rows rule savepoint schema schemas scroll search second! security sequence sequences serializable server
session set sets share show simple skip snapshot sql stable standalone start statement statistics stdin stdout storage
stored strict strip subscription support sysid system tables tablespace temp template temporary text ties transaction
transform trigger truncate trusted type types uescape unbounded uncommitted unencrypted unknown unlisten unlogged until
update vacuum valid validate validator value varying! version view views volatile whitespace within! without! work
wrapper write xml year! yes zone`
	colNameWords = `between bigint bit boolean char! character! coalesce dec decimal exists extract float greatest
grouping inout int integer interval least national nchar none normalize nullif numeric out overlay position precision!
real row setof smallint substring time timestamp treat trim values varchar xmlattributes xmlconcat xmlelement xmlexists
xmlforest xmlnamespaces xmlparse xmlpi xmlroot xmlserialize xmltable`
	typeFuncNameWords = `authorization binary collation concurrently cross current_schema freeze full ilike inner is
isnull! join left like natural notnull! outer overlaps! right similar tablesample verbose`
	reservedWords = `all analyse analyze and any array! as! asc asymmetric both case cast check collate column
constraint create! current_catalog current_date current_role current_time current_timestamp current_user default
deferrable desc distinct do else end except! false fetch! for! foreign from! grant! group! having! in initially
intersect! into! lateral leading limit! localtime localtimestamp not null offset! on! only or order! placing primary
references returning! select session_user some symmetric table then to! trailing true union! unique user using variadic
when where! window! with!`
)

type keyword struct {
	cat       category
	bareLabel bool
}

var keywords = func() map[string]keyword {
	m := map[string]keyword{}
	for _, c := range []struct {
		cat   category
		words string
	}{{unreserved, unreservedWords}, {colName, colNameWords}, {typeFuncName, typeFuncNameWords}, {reserved, reservedWords}} {
		for _, w := range strings.Fields(c.words) {
			name := strings.TrimSuffix(w, "!")
			m[name] = keyword{cat: c.cat, bareLabel: name == w}
		}
	}
	return m
}()

// streamWords are the words that the streaming clauses add. None is reserved.
var streamWords = []string{
	"append", "allowed", "changelog", "changes", "close", "cumulate", "delay", "descriptor", "emit", "final", "gap", "hop",
	"late", "lateness", "max_span", "periodic", "progress", "repeat", "sink", "size", "slide", "source", "sources", "sinks",
	"step", "stream", "subscribe", "timeout", "timezone", "tumble", "upsert", "watermark",
}

// Keywords gives the words of the grammar in lower case and sorted: PostgreSQL's and those of the streaming clauses.
func Keywords() []string {
	out := make([]string, 0, len(keywords)+len(streamWords))
	for w := range keywords {
		out = append(out, w)
	}
	for _, w := range streamWords {
		if _, ok := keywords[w]; !ok {
			out = append(out, w)
		}
	}
	sort.Strings(out)
	return out
}

// KeywordCategory gives the class of a keyword as pg_get_keywords shows it: its
// code (U, C, T, R) and whether it may be a column label without AS; ok is
// false for a word that is none. The streaming words are unreserved.
func KeywordCategory(word string) (code byte, bareLabel, ok bool) {
	if k, found := keywords[word]; found {
		return " UCTR"[k.cat], k.bareLabel, true
	}
	for _, w := range streamWords {
		if w == word {
			return 'U', true, true
		}
	}
	return 0, false, false
}
