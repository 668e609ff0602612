package difftest

// special gives one of the forms that the grammar has for a type; nil where it has none.
func (g *gen) special(typ string, depth int) *node {
	switch typ {
	case "boolean":
		return g.predicate(depth)
	case "text":
		return g.textForm(depth)
	case "numeric":
		return mk(typ, levelPrimary, "EXTRACT("+pick(g.r, "year", "month", "day", "hour", "minute", "second", "epoch", "dow", "doy", "week", "isoyear", "quarter", "century", "julian", "milliseconds", "'hour'", "timezone"),
			" FROM ", g.expr(pick(g.r, "date", "timestamp without time zone", "timestamp with time zone", "interval", "time without time zone", "time with time zone"), depth-1), ")")
	case "timestamp without time zone":
		return mk(typ, levelAt, at(levelAt, g.expr("timestamp with time zone", depth-1)), " AT TIME ZONE ", at(levelAt+1, g.zone()))
	case "timestamp with time zone":
		if g.chance(1, 4) {
			return g.formatted("to_timestamp", typ)
		}
		return mk(typ, levelAt, at(levelAt, g.expr("timestamp without time zone", depth-1)), " AT TIME ZONE ", at(levelAt+1, g.zone()))
	case "time with time zone":
		return mk(typ, levelAt, at(levelAt, g.expr("time with time zone", depth-1)), " AT TIME ZONE ", at(levelAt+1, g.zone()))
	case "date":
		return g.formatted("to_date", typ)
	case "integer":
		if g.chance(1, 2) {
			return mk(typ, levelPrimary, "position(", at(levelOther, g.expr("text", depth-1)), " IN ", at(levelOther, g.expr("text", depth-1)), ")")
		}
		return mk(typ, levelPrimary, pick(g.r, "num_nulls(", "num_nonnulls("), list(", ", g.expr(g.anyType(), depth-1), g.expr(g.anyType(), depth-1)), ")")
	case "bytea":
		return mk(typ, levelPrimary, "substring(", g.expr(typ, depth-1), " FROM ", g.small(), " FOR ", leaf("integer", pick(g.r, posInts...)), ")")
	case "interval":
		if g.chance(1, 3) {
			return leaf(typ, "interval "+pick(g.r, "'1-2' year to month", "'3 4:05:06' day to second", "'5' hour", "'4:05' hour to minute", "'1.5' second(2)", "'7' month", "(2) '1.2345 sec'"))
		}
		return mk(typ, levelPrimary, "age(", g.expr("timestamp without time zone", depth-1), ", ", g.expr("timestamp without time zone", depth-1), ")")
	case "json", "jsonb":
		return mk(typ, levelPrimary, pick(g.r, "to_", "to_")+typ+"(", g.expr(g.anyType(), depth-1), ")")
	}
	return nil
}

func (g *gen) small() *node { return leaf("integer", pick(g.r, "1", "2", "0", "3")) }

func (g *gen) zone() *node {
	switch g.r.IntN(8) {
	case 0:
		return leaf("interval", "interval '-03:30'")
	case 1:
		return leaf("text", "'america/new_york'")
	}
	return leaf("text", pick(g.r, zones...))
}

// formatted gives a call of a function that reads text by a template.
func (g *gen) formatted(name, typ string) *node {
	f := pick(g.r, [2]string{"2024-02-29", "YYYY-MM-DD"}, [2]string{"29 Feb 2024", "DD Mon YYYY"}, [2]string{"2024 060", "YYYY DDD"}, [2]string{"2024-13-01", "YYYY-MM-DD"},
		[2]string{"12:34 PM", "HH12:MI AM"}, [2]string{"2024-W09-4", "IYYY-\"W\"IW-ID"}, [2]string{"20240229123456", "YYYYMMDDHH24MISS"}, [2]string{"abc", "YYYY"}, [2]string{"44 BC", "YYYY BC"},
		[2]string{"2460000", "J"}, [2]string{"February 1, 99", "Month DD, YY"}, [2]string{"2024-02-29 12:34:56.789", "YYYY-MM-DD HH24:MI:SS.MS"}, [2]string{"2000-1-1", "FXYYYY-MM-DD"})
	return leaf(typ, name+"("+quote(f[0])+", "+quote(f[1])+")")
}

func (g *gen) textForm(depth int) *node {
	s := func() *node { return g.expr("text", depth-1) }
	switch g.r.IntN(12) {
	case 0:
		return mk("text", levelPrimary, "substring(", s(), " FROM ", g.small(), optional(" FOR ", leaf("integer", pick(g.r, posInts...))), ")")
	case 1:
		return mk("text", levelPrimary, "substring(", s(), " FROM ", leaf("text", pick(g.r, regexes...)), ")")
	case 2:
		return mk("text", levelPrimary, "substring(", s(), " SIMILAR ", leaf("text", pick(g.r, `'%#"_#"%'`, `'a#"%#"'`, `'#"a%#"b%'`)), " ESCAPE '#')")
	case 3:
		return mk("text", levelPrimary, "overlay(", s(), " PLACING ", s(), " FROM ", g.small(), optional(" FOR ", leaf("integer", pick(g.r, posInts...))), ")")
	case 4:
		return mk("text", levelPrimary, "trim("+pick(g.r, "", "both ", "leading ", "trailing "), leaf("text", pick(g.r, "'a'", "' '", "'ab'", "'é'")), " FROM ", s(), ")")
	case 5:
		return mk("text", levelPrimary, "trim("+pick(g.r, "", "both from ", "leading from ", "trailing from "), s(), ")")
	case 6:
		return mk("text", levelPrimary, "to_char(", g.expr(pick(g.r, "integer", "numeric", "double precision", "bigint", "real"), depth-1), ", ", leaf("text", pick(g.r, numFormats...)), ")")
	case 7:
		return mk("text", levelPrimary, "to_char(", g.expr(pick(g.r, "timestamp without time zone", "timestamp with time zone", "interval", "date"), depth-1), ", ", leaf("text", pick(g.r, timeFormats...)), ")")
	case 8:
		return mk("text", levelPrimary, "normalize(", s(), ", "+pick(g.r, "NFC", "NFD", "NFKC", "NFKD")+")")
	case 9:
		return mk("text", levelPrimary, pick(g.r, "pg_typeof(", "pg_typeof("), g.expr(g.anyType(), depth-1), ")::text")
	case 10:
		return mk("text", levelCollate, at(levelCollate, s()), ` COLLATE "C"`)
	}
	return mk("text", levelOther, at(levelOther, s()), " || ", at(levelAdd, g.expr(pick(g.r, "integer", "date", "boolean", "numeric", "text", "uuid", "text"), depth-1)))
}

// predicate gives one of the forms of a condition.
func (g *gen) predicate(depth int) *node {
	b := func() *node { return g.expr("boolean", depth-1) }
	t := pick(g.r, scalars...)
	for !comparable(t) {
		t = pick(g.r, scalars...)
	}
	e := func() *node {
		if g.chance(1, 6) {
			return g.literal(t, true)
		}
		return g.expr(t, depth-1)
	}
	not := pick(g.r, "", "NOT ")
	switch g.r.IntN(22) {
	case 0, 1:
		return mk("boolean", levelAnd, at(levelAnd, b()), " AND ", at(levelAnd+1, b()))
	case 2, 3:
		return mk("boolean", levelOr, at(levelOr, b()), " OR ", at(levelOr+1, b()))
	case 4:
		return mk("boolean", levelNot, "NOT ", at(levelNot, b()))
	case 5:
		return mk("boolean", levelIs, at(levelIs+1, g.expr(g.anyType(), depth-1)), " IS "+not+"NULL")
	case 6:
		return mk("boolean", levelIs, at(levelIs+1, g.expr(g.anyType(), depth-1)), pick(g.r, " ISNULL", " NOTNULL"))
	case 7:
		return mk("boolean", levelIs, at(levelIs+1, b()), " IS "+not+pick(g.r, "TRUE", "FALSE", "UNKNOWN"))
	case 8, 9:
		return mk("boolean", levelIs, at(levelIs+1, e()), " IS "+not+"DISTINCT FROM ", at(levelIs+1, e()))
	case 10, 11:
		return mk("boolean", levelIn, at(levelIn+1, e()), " "+not+"BETWEEN "+pick(g.r, "", "", "SYMMETRIC "), at(levelIn+1, e()), " AND ", at(levelIn+1, e()))
	case 12, 13:
		return mk("boolean", levelIn, at(levelIn+1, e()), " "+not+"IN (", list(", ", e(), e(), e()), ")")
	case 14:
		return mk("boolean", levelIn, at(levelIn+1, g.expr("text", depth-1)), " "+not+pick(g.r, "LIKE ", "ILIKE "), at(levelIn+1, leaf("text", pick(g.r, patterns...))), optional(" ESCAPE "+pick(g.r, "'!'", "''", `'\'`)))
	case 15:
		return mk("boolean", levelIn, at(levelIn+1, g.expr("text", depth-1)), " "+not+"SIMILAR TO ", at(levelIn+1, leaf("text", pick(g.r, similars...))))
	case 16:
		op := pick(g.r, "=", "<>", "<", ">", "<=", ">=")
		t = pick(g.r, arrays...)
		return mk("boolean", levelOther, at(levelOther, e()), " "+op+" "+pick(g.r, "ANY", "ALL", "SOME")+" (", g.expr(t+"[]", depth-1), ")")
	case 17:
		u := pick(g.r, "integer", "text", "date", "boolean")
		op := pick(g.r, "=", "<>", "<", ">", "<=", ">=", "IS DISTINCT FROM", "IS NOT DISTINCT FROM")
		return mk("boolean", levelIs, "ROW(", e(), ", ", g.expr(u, depth-1), ") "+op+" ROW(", e(), ", ", g.expr(u, depth-1), ")")
	case 18:
		u := pick(g.r, "integer", "text", "date", "boolean")
		return mk("boolean", levelIn, "(", e(), ", ", g.expr(u, depth-1), ") "+not+"IN ((", e(), ", ", g.expr(u, depth-1), "), (", e(), ", ", g.expr(u, depth-1), "))")
	case 19:
		if g.noAgg == 0 && g.sc != nil {
			return g.predicateSubquery(depth)
		}
	case 20:
		k := pick(g.r, "date", "timestamp without time zone", "timestamp with time zone", "time without time zone")
		d := func() *node { return g.expr(k, depth-1) }
		return mk("boolean", levelPrimary, "(", d(), ", ", d(), ") OVERLAPS (", d(), ", ", g.expr(pick(g.r, k, "interval"), depth-1), ")")
	}
	op := pick(g.r, "=", "<>", "!=", "<", ">", "<=", ">=")
	return mk("boolean", levelCompare, at(levelCompare+1, e()), " "+op+" ", at(levelCompare+1, e()))
}
