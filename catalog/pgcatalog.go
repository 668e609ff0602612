package catalog

import (
	"maps"
	"slices"

	"streamsql/internal/fn"
	"streamsql/internal/types"
)

// DatabaseOID is the OID of the one database.
const DatabaseOID uint32 = 16383

const defaultCollation = 100

// Collations are the names of pg_collation by OID; all compare bytes.
var Collations = map[uint32]string{defaultCollation: "default", 950: "C", 951: "POSIX"}

var systemRelations = []systemRelation{
	{"pg_catalog", "pg_namespace", 'r', "oid oid, nspname name, nspowner oid, nspacl _aclitem?", fillNamespace, false},
	{"pg_catalog", "pg_class", 'r', "oid oid, relname name, relnamespace oid, reltype oid, reloftype oid, relowner oid, relam oid, relfilenode oid, reltablespace oid, relpages int4, reltuples float4, relallvisible int4, reltoastrelid oid, relhasindex bool, relisshared bool, relpersistence char1, relkind char1, relnatts int2, relchecks int2, relhasrules bool, relhastriggers bool, relhassubclass bool, relrowsecurity bool, relforcerowsecurity bool, relispopulated bool, relreplident char1, relispartition bool, relrewrite oid, relfrozenxid xid, relminmxid xid, relacl _aclitem?, reloptions _text?, relpartbound pg_node_tree?", fillClass, false},
	{"pg_catalog", "pg_attribute", 'r', "attrelid oid, attname name, atttypid oid, attstattarget int4, attlen int2, attnum int2, attndims int4, attcacheoff int4, atttypmod int4, attbyval bool, attalign char1, attstorage char1, attcompression char1, attnotnull bool, atthasdef bool, atthasmissing bool, attidentity char1, attgenerated char1, attisdropped bool, attislocal bool, attinhcount int4, attcollation oid, attacl _aclitem?, attoptions _text?, attfdwoptions _text?, attmissingval text?", fillAttribute, false},
	{"pg_catalog", "pg_type", 'r', "oid oid, typname name, typnamespace oid, typowner oid, typlen int2, typbyval bool, typtype char1, typcategory char1, typispreferred bool, typisdefined bool, typdelim char1, typrelid oid, typsubscript regproc, typelem oid, typarray oid, typinput regproc, typoutput regproc, typreceive regproc, typsend regproc, typmodin regproc, typmodout regproc, typanalyze regproc, typalign char1, typstorage char1, typnotnull bool, typbasetype oid, typtypmod int4, typndims int4, typcollation oid, typdefaultbin pg_node_tree?, typdefault text?, typacl _aclitem?", fillType, false},
	{"pg_catalog", "pg_attrdef", 'r', "oid oid, adrelid oid, adnum int2, adbin pg_node_tree", fillAttrdef, false},
	{"pg_catalog", "pg_index", 'r', "indexrelid oid, indrelid oid, indnatts int2, indnkeyatts int2, indisunique bool, indnullsnotdistinct bool, indisprimary bool, indisexclusion bool, indimmediate bool, indisclustered bool, indisvalid bool, indcheckxmin bool, indisready bool, indislive bool, indisreplident bool, indkey int2vector, indcollation oidvector, indclass oidvector, indoption int2vector, indexprs pg_node_tree?, indpred pg_node_tree?", fillIndex, false},
	{"pg_catalog", "pg_constraint", 'r', "oid oid, conname name, connamespace oid, contype char1, condeferrable bool, condeferred bool, convalidated bool, conrelid oid, contypid oid, conindid oid, conparentid oid, confrelid oid, confupdtype char1, confdeltype char1, confmatchtype char1, conislocal bool, coninhcount int4, connoinherit bool, conkey _int2?, confkey _int2?, conpfeqop _oid?, conppeqop _oid?, conffeqop _oid?, confdelsetcols _int2?, conexclop _oid?, conbin pg_node_tree?", fillConstraint, false},
	{"pg_catalog", "pg_description", 'r', "objoid oid, classoid oid, objsubid int4, description text", fillDescription, false},
	{"pg_catalog", "pg_am", 'r', "oid oid, amname name, amhandler regproc, amtype char1", func(_ *Viewer, add func(row)) error {
		add(row{"oid": 2, "amname": "heap", "amtype": "t"})
		add(row{"oid": 403, "amname": "btree", "amtype": "i"})
		return nil
	}, false},
	{"pg_catalog", "pg_proc", 'r', "oid oid, proname name, pronamespace oid, proowner oid, prolang oid, procost float4, prorows float4, provariadic oid, prosupport regproc, prokind char1, prosecdef bool, proleakproof bool, proisstrict bool, proretset bool, provolatile char1, proparallel char1, pronargs int2, pronargdefaults int2, prorettype oid, proargtypes oidvector, proallargtypes _oid?, proargmodes _char?, proargnames _text?, proargdefaults pg_node_tree?, protrftypes _oid?, prosrc text, probin text?, prosqlbody pg_node_tree?, proconfig _text?, proacl _aclitem?", fillProc, false},
	{"pg_catalog", "pg_aggregate", 'r', "aggfnoid regproc, aggkind char1, aggnumdirectargs int2, aggtransfn regproc, aggfinalfn regproc, aggcombinefn regproc, aggserialfn regproc, aggdeserialfn regproc, aggmtransfn regproc, aggminvtransfn regproc, aggmfinalfn regproc, aggfinalextra bool, aggmfinalextra bool, aggfinalmodify char1, aggmfinalmodify char1, aggsortop oid, aggtranstype oid, aggtransspace int4, aggmtranstype oid, aggmtransspace int4, agginitval text?, aggminitval text?", fillAggregate, false},
	{"pg_catalog", "pg_operator", 'r', "oid oid, oprname name, oprnamespace oid, oprowner oid, oprkind char1, oprcanmerge bool, oprcanhash bool, oprleft oid, oprright oid, oprresult oid, oprcom oid, oprnegate oid, oprcode regproc, oprrest regproc, oprjoin regproc", fillOperator, false},
	{"pg_catalog", "pg_cast", 'r', "oid oid, castsource oid, casttarget oid, castfunc oid, castcontext char1, castmethod char1", fillCast, false},
	{"pg_catalog", "pg_database", 'r', "oid oid, datname name, datdba oid, encoding int4, datlocprovider char1, datistemplate bool, datallowconn bool, datconnlimit int4, datfrozenxid xid, datminmxid xid, dattablespace oid, datcollate text, datctype text, daticulocale text?, datcollversion text?, datacl _aclitem?", func(v *Viewer, add func(row)) error {
		o := v.Snapshot.DatabaseObject(v.Database)
		add(row{"oid": DatabaseOID, "datname": v.Database, "datdba": o.Owner, "datacl": v.aclText(o.ACL()), "encoding": 6, "datlocprovider": "c", "datallowconn": true,
			"datconnlimit": -1, "dattablespace": 1663, "datcollate": "C", "datctype": "C"})
		return nil
	}, false},
	{"pg_catalog", "pg_roles", 'v', "rolname name, rolsuper bool, rolinherit bool, rolcreaterole bool, rolcreatedb bool, rolcanlogin bool, rolreplication bool, rolconnlimit int4, rolpassword text?, rolvaliduntil timestamptz?, rolbypassrls bool, rolconfig _text?, oid oid", fillRoles, false},
	{"pg_catalog", "pg_user", 'v', "usename name, usesysid oid, usecreatedb bool, usesuper bool, userepl bool, usebypassrls bool, passwd text?, valuntil timestamptz?, useconfig _text?", fillUser, false},
	{"pg_catalog", "pg_tablespace", 'r', "oid oid, spcname name, spcowner oid, spcacl _aclitem?, spcoptions _text?", func(_ *Viewer, add func(row)) error {
		add(row{"oid": 1663, "spcname": "pg_default", "spcowner": OwnerOID})
		return nil
	}, false},
	{"pg_catalog", "pg_collation", 'r', "oid oid, collname name, collnamespace oid, collowner oid, collprovider char1, collisdeterministic bool, collencoding int4, collcollate text?, collctype text?, colliculocale text?, collversion text?", func(_ *Viewer, add func(row)) error {
		for _, oid := range slices.Sorted(maps.Keys(Collations)) {
			add(row{"oid": oid, "collname": Collations[oid], "collnamespace": PgCatalogOID, "collowner": OwnerOID, "collprovider": "c", "collisdeterministic": true,
				"collencoding": -1, "collcollate": "C", "collctype": "C"})
		}
		return nil
	}, false},
	{"pg_catalog", "pg_language", 'r', "oid oid, lanname name, lanowner oid, lanispl bool, lanpltrusted bool, lanplcallfoid oid, laninline oid, lanvalidator oid, lanacl _aclitem?", func(_ *Viewer, add func(row)) error {
		add(row{"oid": 12, "lanname": "internal", "lanowner": OwnerOID})
		add(row{"oid": 14, "lanname": "sql", "lanowner": OwnerOID, "lanpltrusted": true})
		return nil
	}, false},
	{"pg_catalog", "pg_tables", 'v', "schemaname name, tablename name, tableowner name, tablespace name?, hasindexes bool, hasrules bool, hastriggers bool, rowsecurity bool", func(v *Viewer, add func(row)) error {
		for _, r := range v.Snapshot.Relations() {
			if relkind(r) == "r" {
				add(row{"schemaname": r.Schema, "tablename": r.Name, "tableowner": v.ownerName(r.Owner), "hasindexes": len(r.AllIndexes()) > 0})
			}
		}
		return nil
	}, false},
	{"pg_catalog", "pg_views", 'v', "schemaname name, viewname name, viewowner name, definition text", func(v *Viewer, add func(row)) error {
		for _, r := range v.Snapshot.Relations() {
			if r.Kind == View {
				add(row{"schemaname": r.Schema, "viewname": r.Name, "viewowner": v.ownerName(r.Owner), "definition": r.Definition})
			}
		}
		return nil
	}, false},
	{"pg_catalog", "pg_matviews", 'v', "schemaname name, matviewname name, matviewowner name, tablespace name?, hasindexes bool, ispopulated bool, definition text", func(v *Viewer, add func(row)) error {
		for _, r := range v.Snapshot.Relations() {
			if r.Kind == MatView {
				add(row{"schemaname": r.Schema, "matviewname": r.Name, "matviewowner": v.ownerName(r.Owner), "ispopulated": true, "definition": r.Definition})
			}
		}
		return nil
	}, false},
	{"pg_catalog", "pg_indexes", 'v', "schemaname name, tablename name, indexname name, tablespace name?, indexdef text", func(v *Viewer, add func(row)) error {
		for _, r := range v.Snapshot.Relations() {
			for _, x := range r.AllIndexes() {
				add(row{"schemaname": r.Schema, "tablename": r.Name, "indexname": x.Name, "indexdef": x.Definition()})
			}
		}
		return nil
	}, false},
	{"pg_catalog", "pg_settings", 'v', "name text, setting text?, unit text?, category text?, short_desc text?, extra_desc text?, context text?, vartype text?, source text?, min_val text?, max_val text?, enumvals _text?, boot_val text?, reset_val text?, sourcefile text?, sourceline int4?, pending_restart bool?", nil, true},
	{"pg_catalog", "pg_stat_activity", 'v', "datid oid?, datname name?, pid int4, leader_pid int4?, usesysid oid?, usename name?, application_name text?, client_addr inet?, client_hostname text?, client_port int4?, backend_start timestamptz?, xact_start timestamptz?, query_start timestamptz?, state_change timestamptz?, wait_event_type text?, wait_event text?, state text?, backend_xid xid?, backend_xmin xid?, query_id int8?, query text?, backend_type text?", nil, true},
	{"pg_catalog", "pg_cursors", 'v', "name text, statement text, is_holdable bool, is_binary bool, is_scrollable bool, creation_time timestamptz", nil, true},
	{"pg_catalog", "pg_prepared_statements", 'v', "name text, statement text, prepare_time timestamptz, parameter_types _regtype?, from_sql bool, generic_plans int8, custom_plans int8", nil, true},
	{"pg_catalog", "pg_foreign_table", 'r', "ftrelid oid, ftserver oid, ftoptions _text?", fillForeignTable, false},
	{"pg_catalog", "pg_foreign_server", 'r', "oid oid, srvname name, srvowner oid, srvfdw oid, srvtype text?, srvversion text?, srvacl _aclitem?, srvoptions _text?", func(_ *Viewer, add func(row)) error {
		add(row{"oid": foreignServerOID, "srvname": "streamsql", "srvowner": OwnerOID, "srvfdw": foreignServerOID + 1})
		return nil
	}, false},
	{"pg_catalog", "pg_foreign_data_wrapper", 'r', "oid oid, fdwname name, fdwowner oid, fdwhandler oid, fdwvalidator oid, fdwacl _aclitem?, fdwoptions _text?", func(_ *Viewer, add func(row)) error {
		add(row{"oid": foreignServerOID + 1, "fdwname": "connector", "fdwowner": OwnerOID})
		return nil
	}, false},

	{"information_schema", "schemata", 'v', "catalog_name name, schema_name name, schema_owner name, default_character_set_catalog name?, default_character_set_schema name?, default_character_set_name name?, sql_path varchar?", fillSchemata, false},
	{"information_schema", "tables", 'v', "table_catalog name, table_schema name, table_name name, table_type varchar, self_referencing_column_name name?, reference_generation varchar?, user_defined_type_catalog name?, user_defined_type_schema name?, user_defined_type_name name?, is_insertable_into varchar, is_typed varchar, commit_action varchar?", fillISTables, false},
	{"information_schema", "columns", 'v', "table_catalog name, table_schema name, table_name name, column_name name, ordinal_position int4, column_default varchar?, is_nullable varchar, data_type varchar, character_maximum_length int4?, character_octet_length int4?, numeric_precision int4?, numeric_precision_radix int4?, numeric_scale int4?, datetime_precision int4?, interval_type varchar?, interval_precision int4?, character_set_catalog name?, character_set_schema name?, character_set_name name?, collation_catalog name?, collation_schema name?, collation_name name?, domain_catalog name?, domain_schema name?, domain_name name?, udt_catalog name, udt_schema name, udt_name name, scope_catalog name?, scope_schema name?, scope_name name?, maximum_cardinality int4?, dtd_identifier name, is_self_referencing varchar, is_identity varchar, identity_generation varchar?, identity_start varchar?, identity_increment varchar?, identity_maximum varchar?, identity_minimum varchar?, identity_cycle varchar, is_generated varchar, generation_expression varchar?, is_updatable varchar", fillISColumns, false},
	{"information_schema", "views", 'v', "table_catalog name, table_schema name, table_name name, view_definition varchar?, check_option varchar, is_updatable varchar, is_insertable_into varchar, is_trigger_updatable varchar, is_trigger_deletable varchar, is_trigger_insertable_into varchar", fillISViews, false},
	{"information_schema", "table_constraints", 'v', "constraint_catalog name, constraint_schema name, constraint_name name, table_catalog name, table_schema name, table_name name, constraint_type varchar, is_deferrable varchar, initially_deferred varchar, enforced varchar, nulls_distinct varchar?", fillISConstraints, false},
	{"information_schema", "key_column_usage", 'v', "constraint_catalog name, constraint_schema name, constraint_name name, table_catalog name, table_schema name, table_name name, column_name name, ordinal_position int4, position_in_unique_constraint int4?", fillISKeys, false},
}

const foreignServerOID = 11990

// relkind gives pg_class.relkind of a relation.
func relkind(r *Relation) string {
	switch r.Kind {
	case Table:
		return "r"
	case Source, Sink:
		return "f"
	case View:
		return "v"
	case MatView:
		return "m"
	case SequenceKind:
		return "S"
	}
	return string(r.SystemKind)
}

func nsOID(v *Viewer, r *Relation) uint32 {
	oid, _ := v.Snapshot.SchemaOID(r.Schema)
	return oid
}

func fillNamespace(v *Viewer, add func(row)) error {
	for _, n := range v.Snapshot.Schemas() {
		oid, _ := v.Snapshot.SchemaOID(n)
		o := v.Snapshot.SchemaObject(n, oid)
		add(row{"oid": oid, "nspname": n, "nspowner": o.Owner, "nspacl": v.aclText(o.ACL())})
	}
	return nil
}

func fillClass(v *Viewer, add func(row)) error {
	for _, r := range v.Snapshot.Relations() {
		am := 2
		if k := relkind(r); k == "v" || k == "f" || k == "S" {
			am = 0
		}
		persistence, all, checks, o := "p", r.AllIndexes(), 0, r.Object(v.Snapshot)
		if r.Temp {
			persistence = "t"
		}
		for _, c := range r.Constraints {
			if c.Kind == CheckConstraint {
				checks++
			}
		}
		add(row{"oid": r.OID, "relname": r.Name, "relnamespace": nsOID(v, r), "reltype": r.TypeOID, "relowner": o.Owner, "relacl": v.aclText(o.ACL()), "relam": am,
			"reltuples": -1, "relhasindex": len(all) > 0, "relpersistence": persistence, "relkind": relkind(r), "relnatts": int(r.NextNum()) - 1, "relchecks": checks,
			"relispopulated": true, "relreplident": "d"})
		for _, x := range all {
			add(row{"oid": x.OID, "relname": x.Name, "relnamespace": nsOID(v, r), "relowner": o.Owner, "relam": amOID(x.Method),
				"relpersistence": persistence, "relkind": "i", "relnatts": len(x.Columns), "relispopulated": true, "relreplident": "n"})
		}
	}
	for _, t := range v.Snapshot.Types() {
		if t.Kind == 'c' {
			ns, _ := v.Snapshot.SchemaOID(t.Schema)
			add(row{"oid": t.ClassOID, "relname": t.Name, "relnamespace": ns, "reltype": t.OID, "relowner": v.ownerOID(t.Owner), "relpersistence": "p", "relkind": "c",
				"relnatts": len(t.Attrs), "relispopulated": true, "relreplident": "n"})
		}
	}
	return nil
}

func collationOf(t types.T) int {
	if e, ok := t.Elem(); ok {
		t = e
	}
	switch {
	case !t.Collatable():
		return 0
	case t.OID == types.OIDName:
		return 950
	}
	return defaultCollation
}

func fillAttribute(v *Viewer, add func(row)) error {
	one := func(rel uint32, num int, c *Column, key bool, watermark string, acl ACL) {
		in := types.InfoOf(c.Type)
		if in == nil { // of a type that is gone
			in = types.InfoOf(types.Text)
		}
		ndims := 0
		if c.Type.IsArray() {
			ndims = 1
		}
		gen := ""
		if c.Generated != "" {
			gen = "s"
		}
		identity := ""
		if c.Identity != "" && !key {
			identity = map[string]string{"always": "a", "by default": "d"}[c.Identity]
		}
		x := row{"attrelid": rel, "attname": c.Name, "atttypid": c.Type.OID, "attstattarget": -1, "attlen": int(in.Len), "attnum": num,
			"attndims": ndims, "attcacheoff": -1, "atttypmod": int(c.Type.Mod), "attbyval": in.ByVal, "attalign": string(in.Align), "attstorage": storageOf(in),
			"attnotnull": c.NotNull && !key, "atthasdef": (v.Snapshot.DefaultText(c, nil) != "" || c.Generated != "") && !key, "attidentity": identity, "attgenerated": gen, "attislocal": true,
			"attcollation": collationOf(c.Type)}
		if watermark != "" {
			x["attfdwoptions"] = []string{"watermark=" + watermark}
		}
		if c.Domain != 0 {
			x["atttypid"] = c.Domain
		}
		x["attacl"] = v.aclText(acl)
		add(x)
	}
	for _, t := range v.Snapshot.Types() {
		for i, a := range t.Attrs {
			one(t.ClassOID, i+1, &Column{Name: a.Name, Type: a.Type, Domain: a.Domain}, false, "", nil)
		}
	}
	for _, r := range v.Snapshot.Relations() {
		o := r.Object(v.Snapshot)
		for i := range r.Columns {
			watermark := "" // shown with the columns of a source, as options of a foreign table's column are
			if w := r.Watermark; w != nil && w.Column == i && relkind(r) == "f" {
				if watermark = w.Expr; watermark == "" {
					watermark = fn.QuoteIdent(r.Columns[i].Name)
				}
			}
			one(r.OID, int(r.Attnum(i)), &r.Columns[i], false, watermark, o.ColumnACL(r.Attnum(i)))
		}
		for _, x := range r.AllIndexes() {
			for i, c := range x.Columns {
				col := Column{Name: "expr", Type: types.Text}
				if c >= 0 {
					col = r.Columns[c]
				}
				one(x.OID, i+1, &col, true, "", nil)
			}
		}
	}
	return nil
}

func fillType(v *Viewer, add func(row)) error {
	for _, in := range types.All() {
		t := types.Of(in.OID)
		elem := uint32(0)
		if e, ok := t.Elem(); ok {
			elem = e.OID
		}
		typeKind := string(in.Type)
		r := row{"oid": in.OID, "typname": in.Name, "typnamespace": PgCatalogOID, "typowner": OwnerOID, "typlen": int(in.Len), "typbyval": in.ByVal,
			"typtype": typeKind, "typcategory": string(in.Category), "typispreferred": in.Preferred, "typisdefined": true, "typdelim": ",",
			"typelem": elem, "typarray": in.Array, "typalign": string(in.Align), "typstorage": storageOf(in), "typtypmod": -1, "typcollation": collationOf(t)}
		for i, p := range ioOf(in) {
			r[ioColumns[i]] = p.oid
		}
		switch {
		case in.Category == 'A' && in.OID != types.OIDAnyarray:
			r["typsubscript"] = arraySubscript.oid
		case in.OID == types.OIDName:
			r["typsubscript"] = rawArraySubscript.oid
		case in.OID == types.OIDJSONB:
			r["typsubscript"] = jsonbSubscript.oid
		}
		add(r)
	}
	fillUserTypes(v, add)
	for _, r := range v.Snapshot.Relations() {
		if r.Kind == SequenceKind {
			continue
		}
		add(row{"oid": r.TypeOID, "typname": r.Name, "typnamespace": nsOID(v, r), "typowner": v.ownerOID(r.Owner), "typlen": -1, "typtype": "c",
			"typcategory": "C", "typisdefined": true, "typdelim": ",", "typrelid": r.OID, "typarray": r.ArrayOID, "typalign": "d", "typstorage": "x", "typtypmod": -1})
		if r.ArrayOID != 0 {
			add(row{"oid": r.ArrayOID, "typname": "_" + r.Name, "typnamespace": nsOID(v, r), "typowner": v.ownerOID(r.Owner), "typlen": -1, "typtype": "b", "typcategory": "A",
				"typisdefined": true, "typdelim": ",", "typelem": r.TypeOID, "typsubscript": arraySubscript.oid, "typalign": "d", "typstorage": "x", "typtypmod": -1})
		}
	}
	return nil
}

// storageOf gives pg_type.typstorage.
func storageOf(in *types.Info) string {
	switch {
	case in.OID == types.OIDNumeric || in.OID == types.OIDInet:
		return "m"
	case in.Len == -1 && in.OID != types.OIDInt2Vector && in.OID != types.OIDOidVector:
		return "x"
	}
	return "p"
}

func fillAttrdef(v *Viewer, add func(row)) error {
	for _, r := range v.Snapshot.Relations() {
		for i := range r.Columns {
			text := v.Snapshot.DefaultText(&r.Columns[i], v.Path)
			if g := r.Columns[i].Generated; g != "" {
				text = g
			}
			if text != "" {
				add(row{"oid": r.OID*64 + uint32(i), "adrelid": r.OID, "adnum": int(r.Attnum(i)), "adbin": text})
			}
		}
	}
	return nil
}

func amOID(method string) int {
	switch method {
	case "hash":
		return 405
	case "gist":
		return 783
	case "gin":
		return 2742
	case "spgist":
		return 4000
	case "brin":
		return 3580
	}
	return 403
}

func ints(nums []int16) []int {
	out := make([]int, len(nums))
	for i, n := range nums {
		out[i] = int(n)
	}
	return out
}

func fillIndex(v *Viewer, add func(row)) error {
	for _, r := range v.Snapshot.Relations() {
		for _, x := range r.AllIndexes() {
			zeros, colls, key := make([]int, len(x.Columns)), make([]int, len(x.Columns)), make([]int, len(x.Columns))
			for i, c := range x.Columns {
				if c >= 0 {
					colls[i], key[i] = collationOf(r.Columns[c].Type), int(r.Attnum(c))
				}
			}
			y := row{"indexrelid": x.OID, "indrelid": r.OID, "indnatts": len(key), "indnkeyatts": len(key), "indisunique": x.Unique,
				"indisprimary": x.Primary, "indimmediate": true, "indisvalid": true, "indisready": true, "indislive": true,
				"indkey": key, "indcollation": colls, "indclass": zeros, "indoption": zeros}
			if x.Where != "" {
				y["indpred"] = x.Where
			}
			add(y)
		}
	}
	return nil
}

func fillConstraint(v *Viewer, add func(row)) error {
	for _, r := range v.Snapshot.Relations() {
		if r.PrimaryKey != nil {
			add(row{"oid": r.PrimaryKeyConOID(), "conname": r.PrimaryKeyName, "connamespace": nsOID(v, r), "contype": "p", "convalidated": true,
				"conrelid": r.OID, "conindid": r.PrimaryKeyOID, "confupdtype": " ", "confdeltype": " ", "confmatchtype": " ", "conislocal": true,
				"connoinherit": true, "conkey": ints(r.Attnums(r.PrimaryKey))})
		}
		for _, c := range r.Constraints {
			x := row{"oid": c.OID, "conname": c.Name, "connamespace": nsOID(v, r), "contype": string(c.Kind), "convalidated": !c.NotValid,
				"condeferrable": c.Deferrable, "condeferred": c.Deferred, "conrelid": r.OID, "conindid": c.IndexOID,
				"confupdtype": " ", "confdeltype": " ", "confmatchtype": " ", "conislocal": true, "connoinherit": c.Kind != CheckConstraint}
			if len(c.Columns) > 0 {
				x["conkey"] = ints(c.Columns)
			}
			switch c.Kind {
			case ForeignConstraint:
				x["confrelid"], x["confkey"] = c.Ref, ints(c.RefColumns)
				x["confupdtype"], x["confdeltype"], x["confmatchtype"] = string(c.OnUpdate), string(c.OnDelete), string(c.Match)
				if ref := v.Snapshot.ByOID(c.Ref); ref != nil {
					x["conindid"] = ref.keyIndex(c.RefColumns)
				}
			case CheckConstraint:
				x["conbin"] = c.Expr
			}
			add(x)
		}
	}
	for _, t := range v.Snapshot.Types() {
		ns, _ := v.Snapshot.SchemaOID(t.Schema)
		for _, c := range t.Checks {
			add(row{"oid": c.OID, "conname": c.Name, "connamespace": ns, "contype": "c", "convalidated": !c.NotValid, "contypid": t.OID,
				"confupdtype": " ", "confdeltype": " ", "confmatchtype": " ", "conislocal": true, "conbin": c.Expr})
		}
	}
	return nil
}

func fillDescription(v *Viewer, add func(row)) error {
	for _, r := range v.Snapshot.Relations() {
		if r.Comment != "" {
			add(row{"objoid": r.OID, "classoid": knownOIDs["pg_class"], "description": r.Comment})
		}
		for i, c := range r.Columns {
			if c.Comment != "" {
				add(row{"objoid": r.OID, "classoid": knownOIDs["pg_class"], "objsubid": int(r.Attnum(i)), "description": c.Comment})
			}
		}
		constraint := func(oid uint32, text string) {
			if text != "" {
				add(row{"objoid": oid, "classoid": knownOIDs["pg_constraint"], "description": text})
			}
		}
		constraint(r.PrimaryKeyConOID(), r.KeyComment)
		for _, c := range r.Constraints {
			constraint(c.OID, c.Comment)
		}
		for _, x := range r.AllIndexes() {
			if x.Comment != "" {
				add(row{"objoid": x.OID, "classoid": knownOIDs["pg_class"], "description": x.Comment})
			}
		}
	}
	for _, f := range v.Snapshot.Functions() {
		if f.Comment != "" {
			add(row{"objoid": f.OID, "classoid": knownOIDs["pg_proc"], "description": f.Comment})
		}
	}
	for _, n := range v.Snapshot.Schemas() {
		if oid, _ := v.Snapshot.SchemaOID(n); v.Snapshot.Comment(oid) != "" {
			add(row{"objoid": oid, "classoid": knownOIDs["pg_namespace"], "description": v.Snapshot.Comment(oid)})
		}
	}
	return nil
}

func oids(ts []types.T) []int {
	out := make([]int, len(ts))
	for i, t := range ts {
		out[i] = int(t.OID)
	}
	return out
}

func fillOperator(_ *Viewer, add func(row)) error {
	for _, f := range fn.AllOps() {
		if f.OID == 0 {
			continue
		}
		kind, left, right := "b", uint32(0), f.Args[len(f.Args)-1].OID
		if len(f.Args) == 1 {
			kind = "l"
		} else {
			left = f.Args[0].OID
		}
		add(row{"oid": f.OID, "oprname": f.Name, "oprnamespace": PgCatalogOID, "oprowner": OwnerOID, "oprkind": kind, "oprcanhash": f.Name == "=",
			"oprcanmerge": f.Name == "=", "oprleft": left, "oprright": right, "oprresult": f.Ret.OID})
	}
	return nil
}

func fillCast(_ *Viewer, add func(row)) error {
	for i, c := range fn.AllCasts() {
		method := "f"
		if c.Binary {
			method = "b"
		}
		add(row{"oid": 11000 + i, "castsource": c.From.OID, "casttarget": c.To.OID, "castcontext": string(c.Context), "castmethod": method})
	}
	return nil
}

func fillForeignTable(v *Viewer, add func(row)) error {
	for _, r := range v.Snapshot.Relations() {
		if relkind(r) == "f" {
			opts := make([]string, 0, len(r.Options))
			for _, o := range r.Options {
				opts = append(opts, o.Name+"="+o.Value)
			}
			add(row{"ftrelid": r.OID, "ftserver": foreignServerOID, "ftoptions": opts})
		}
	}
	return nil
}
