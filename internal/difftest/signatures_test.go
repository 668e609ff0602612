package difftest

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"streamsql/internal/fn"
	"streamsql/internal/types"
)

// signature is a function, operator, aggregate or cast that PostgreSQL and we both have.
type signature struct {
	name     string
	kind     byte // f function, s set-returning, a aggregate, o ordered-set aggregate, p operator, c cast
	args     []string
	ret      string
	variadic bool
	defaults int
	context  byte // of a cast
}

func (s *signature) String() string {
	return fmt.Sprintf("%c %s(%s) %s", s.kind, s.name, strings.Join(s.args, ", "), s.ret)
}

// signatures is what the generator draws from.
type signatures struct {
	all   []*signature
	byRet map[byte]map[string][][]*signature // by kind and result, grouped by name
	casts map[string][]*signature            // by target
}

// volatileOrOwn matches functions whose results differ between two servers, or are about the server itself.
var volatileOrOwn = regexp.MustCompile(`^(pg_.*|_pg.*|has_.*|inet_.*|current_.*|session_user|user|version|now|statement_timestamp|transaction_timestamp|local.*|` +
	`to_reg.*|oidvectortypes|col_description|.*obj_description|txid.*|format_type|getdatabaseencoding|set_config|aclexplode|bt.*cmp|row_security_active|` +
	`getpgusername|lastval|currval|nextval|setval|age|unnest|generate_.*|row_to_json|json_populate.*|jsonb_populate.*|json_to_record.*|jsonb_to_record.*)$`)

func known(typ string) bool {
	if e, ok := elemOf(typ); ok {
		return e != typ && (slices.Contains(arrays, e) || values[e] != nil)
	}
	switch typ {
	case "anyelement", "anyarray", "anynonarray", "anycompatible", "anycompatiblearray", "anycompatiblenonarray", `"any"`:
		return true
	}
	return values[typ] != nil
}

func isPoly(typ string) bool { return strings.HasPrefix(typ, "any") || typ == `"any"` }

// loadSignatures asks PostgreSQL what it has, and keeps what we have too.
func loadSignatures(c *pgconn.PgConn) (*signatures, error) {
	s := &signatures{byRet: map[byte]map[string][][]*signature{}, casts: map[string][]*signature{}}
	ours := map[string]bool{}
	for _, f := range fn.All() {
		ours["f"+sigKey(f.Name, f.Args)] = true
		ours["f#"+strconv.Itoa(int(f.OID))] = f.OID != 0
	}
	for _, a := range fn.AllAggs() {
		ours["f#"+strconv.Itoa(int(a.OID))] = a.OID != 0
	}
	for _, f := range fn.AllOps() {
		ours["p"+sigKey(f.Name, f.Args)] = true
		ours["p#"+strconv.Itoa(int(f.OID))] = f.OID != 0
	}
	rows, err := c.Exec(context.Background(), `
		SELECT CASE WHEN a.aggkind IN ('o', 'h') THEN 'o' WHEN p.prokind = 'a' THEN 'a' WHEN proretset THEN 's' ELSE 'f' END, proname::text, prorettype::regtype,
			(SELECT string_agg(x::regtype::text, ';' ORDER BY n) FROM unnest(proargtypes) WITH ORDINALITY u(x, n)), provariadic <> 0, pronargdefaults, p.oid, ''
			FROM pg_proc p LEFT JOIN pg_aggregate a ON a.aggfnoid = p.oid
			WHERE pronamespace = 'pg_catalog'::regnamespace AND prokind IN ('f', 'a') AND provolatile <> 'v' AND p.oid NOT IN (SELECT oprcode FROM pg_operator)
		UNION ALL SELECT 'p', oprname::text, oprresult::regtype, concat_ws(';', nullif(oprleft, 0)::regtype, oprright::regtype), false, 0, oid, '' FROM pg_operator
			WHERE oprnamespace = 'pg_catalog'::regnamespace
		UNION ALL SELECT 'c', '', casttarget::regtype, castsource::regtype::text, false, 0, oid, castcontext::text FROM pg_cast
		ORDER BY 1, 2, 3, 4`).ReadAll()
	if err != nil {
		return nil, err
	}
	groups := map[string]int{}
	for _, r := range rows[0].Rows {
		sig := &signature{kind: r[0][0], name: string(r[1]), ret: string(r[2]), variadic: string(r[4]) == "t"}
		if len(r[3]) > 0 {
			sig.args = strings.Split(string(r[3]), ";")
		}
		sig.defaults, _ = strconv.Atoi(string(r[5]))
		if len(r[7]) > 0 {
			sig.context = r[7][0]
		}
		ok := known(sig.ret)
		for _, a := range sig.args {
			ok = ok && known(a)
		}
		oid := string(r[6])
		switch sig.kind {
		case 'p':
			ok = ok && (ours["p#"+oid] || ours["p"+pgKey(sig)])
		case 'c':
			if ok && fn.FindCast(mustType(sig.args[0]), mustType(sig.ret)) == nil {
				ok = false
			}
		default:
			ok = ok && (ours["f#"+oid] || ours["f"+pgKey(sig)]) && !volatileOrOwn.MatchString(sig.name)
		}
		if !ok {
			continue
		}
		s.add(sig, groups)
	}
	return s, nil
}

// ownSignatures gives our own registry as signatures, for tests that need no PostgreSQL.
func ownSignatures(t *testing.T) *signatures {
	s := &signatures{byRet: map[byte]map[string][][]*signature{}, casts: map[string][]*signature{}}
	groups := map[string]int{}
	add := func(kind byte, name string, args []types.T, ret types.T, variadic bool) {
		sig := &signature{kind: kind, name: name, ret: ret.Format(), variadic: variadic}
		ok := known(sig.ret) && !volatileOrOwn.MatchString(name)
		for _, a := range args {
			sig.args = append(sig.args, a.Format())
			ok = ok && known(a.Format())
		}
		if n := len(sig.args); variadic && n > 0 && sig.args[n-1] != `"any"` {
			sig.args[n-1] += "[]"
		}
		if ok {
			s.add(sig, groups)
		}
	}
	for _, f := range fn.All() {
		if f.Set == nil && f.Volatility != fn.Volatile && f.OID != 0 {
			add('f', f.Name, f.Args, f.Ret, f.Variadic)
		}
	}
	for _, f := range fn.AllOps() {
		add('p', f.Name, f.Args, f.Ret, false)
	}
	for _, a := range fn.AllAggs() {
		kind := byte('a')
		if a.WithinGroup {
			kind = 'o'
		}
		if a.OID != 0 {
			add(kind, a.Name, a.Args, a.Ret, a.Variadic)
		}
	}
	for _, c := range fn.AllCasts() {
		add('c', "", []types.T{c.From}, c.To, false)
	}
	if len(s.all) < 500 {
		t.Fatalf("only %d signatures", len(s.all))
	}
	return s
}

func (s *signatures) add(sig *signature, groups map[string]int) {
	s.all = append(s.all, sig)
	if sig.kind == 'c' {
		s.casts[sig.ret] = append(s.casts[sig.ret], sig)
		return
	}
	m := s.byRet[sig.kind]
	if m == nil {
		m = map[string][][]*signature{}
		s.byRet[sig.kind] = m
	}
	key := string(sig.kind) + sig.ret + " " + sig.name
	at, ok := groups[key]
	if !ok {
		at = len(m[sig.ret])
		groups[key] = at
		m[sig.ret] = append(m[sig.ret], nil)
	}
	m[sig.ret][at] = append(m[sig.ret][at], sig)
}

func mustType(name string) types.T {
	if e, ok := elemOf(name); ok {
		t, _ := mustType(e).ArrayOf()
		return t
	}
	t, ok := types.Lookup(strings.Trim(name, `"`))
	if !ok {
		panic("difftest: no type " + name)
	}
	return t
}

func sigKey(name string, args []types.T) string {
	for _, a := range args {
		name += ";" + a.Format()
	}
	return name
}

func pgKey(s *signature) string { return strings.Join(append([]string{s.name}, s.args...), ";") }
