package catalog

import (
	"slices"
	"strings"

	"streamsql/internal/types"
	"streamsql/internal/vec"
)

// row is a row of a system relation by column names. A column that is missing is NULL where
// the relation's definition marks it with "?", else zero, false or empty.
type row map[string]types.Datum

// systemRelation defines one relation: its columns as "name type" pairs, and who fills it. fill nil
// leaves it empty; live asks the running engine for its rows.
type systemRelation struct {
	schema, name string
	kind         byte // pg_class.relkind: r or v
	columns      string
	fill         func(v *Viewer, add func(row)) error
	live         bool
}

// firstSystemOID numbers the relations whose OIDs nobody knows by heart.
const firstSystemOID = 12000

// knownOIDs are those of pg_catalog's tables, which clients know.
var knownOIDs = map[string]uint32{
	"pg_aggregate": 2600, "pg_am": 2601, "pg_amop": 2602, "pg_amproc": 2603, "pg_attrdef": 2604, "pg_attribute": 1249,
	"pg_auth_members": 1261, "pg_authid": 1260, "pg_cast": 2605, "pg_class": 1259, "pg_collation": 3456,
	"pg_constraint": 2606, "pg_conversion": 2607, "pg_database": 1262, "pg_db_role_setting": 2964,
	"pg_default_acl": 826, "pg_depend": 2608, "pg_description": 2609, "pg_enum": 3501, "pg_event_trigger": 3466,
	"pg_extension": 3079, "pg_foreign_data_wrapper": 2328, "pg_foreign_server": 1417, "pg_foreign_table": 3118,
	"pg_index": 2610, "pg_inherits": 2611, "pg_init_privs": 3394, "pg_language": 2612, "pg_largeobject": 2613,
	"pg_largeobject_metadata": 2995, "pg_namespace": 2615, "pg_opclass": 2616, "pg_operator": 2617, "pg_opfamily": 2753,
	"pg_parameter_acl": 6243, "pg_partitioned_table": 3350, "pg_policy": 3256, "pg_proc": 1255, "pg_publication": 6104,
	"pg_publication_namespace": 6237, "pg_publication_rel": 6106, "pg_range": 3541, "pg_replication_origin": 6000,
	"pg_rewrite": 2618, "pg_seclabel": 3596, "pg_sequence": 2224, "pg_shdepend": 1214, "pg_shdescription": 2396,
	"pg_shseclabel": 3592, "pg_statistic": 2619, "pg_statistic_ext": 3381, "pg_statistic_ext_data": 3429,
	"pg_subscription": 6100, "pg_subscription_rel": 6102, "pg_tablespace": 1213, "pg_transform": 3576,
	"pg_trigger": 2620, "pg_ts_config": 3602, "pg_ts_config_map": 3603, "pg_ts_dict": 3600, "pg_ts_parser": 3601,
	"pg_ts_template": 3764, "pg_type": 1247, "pg_user_mapping": 1418,
}

// SystemRelations makes the relations of pg_catalog, information_schema and sys.
func SystemRelations() []*Relation {
	var out []*Relation
	for i, d := range slices.Concat(systemRelations, absentRelations, sysRelations) {
		r := &Relation{OID: firstSystemOID + uint32(i)*2, TypeOID: firstSystemOID + uint32(i)*2 + 1,
			Schema: d.schema, Name: d.name, Kind: System, Bounded: true, Owner: "streamsql"}
		if oid, ok := knownOIDs[d.name]; ok && d.schema == "pg_catalog" {
			r.OID = oid
		}
		var optional []bool
		for _, c := range strings.Split(d.columns, ",") {
			name, typ, _ := strings.Cut(strings.TrimSpace(c), " ")
			opt := strings.HasSuffix(typ, "?")
			typ = strings.TrimSuffix(typ, "?")
			if typ == "char1" { // "char", whose name would need quotes here
				typ = "char"
			}
			t, ok := types.Lookup(typ)
			if !ok {
				panic("catalog: " + d.name + "." + name + " has unknown type " + typ)
			}
			r.Columns = append(r.Columns, Column{Name: name, Type: t, NotNull: !opt})
			optional = append(optional, opt)
		}
		if text, ok := sysComments[d.name]; ok && d.schema == "sys" {
			r.Comment = text[""]
			for i := range r.Columns {
				r.Columns[i].Comment = text[r.Columns[i].Name]
			}
		}
		r.SystemKind = d.kind
		fill, live, name := d.fill, d.live, d.name
		r.Fill = func(v *Viewer, b *vec.Builder) error {
			if live {
				if v.Live == nil {
					return nil
				}
				return v.Live(name, b)
			}
			if fill == nil {
				return nil
			}
			return fill(v, func(x row) {
				for i, f := range b.Schema.Fields {
					d, ok := x[f.Name]
					if !ok && !optional[i] {
						d = zero(f.Type)
					}
					b.Cols[i].AppendDatum(convert(f.Type, d))
				}
			})
		}
		out = append(out, r)
	}
	return out
}

// zero is the value of a NOT NULL column that a row does not name.
func zero(t types.T) types.Datum {
	switch t.Kind() {
	case types.KindBool:
		return false
	case types.KindInt16:
		return int16(0)
	case types.KindInt32:
		return int32(0)
	case types.KindInt64:
		return int64(0)
	case types.KindFloat32:
		return float32(0)
	case types.KindFloat64:
		return float64(0)
	case types.KindFixed16:
		return [16]byte{}
	case types.KindBytes:
		if t.IsArray() {
			e, _ := t.Elem()
			return types.Array{Elem: e}.Encode()
		}
	}
	return ""
}

// convert lets rows be written with Go's int, uint32 and slices.
func convert(t types.T, d types.Datum) types.Datum {
	switch x := d.(type) {
	case int:
		switch t.Kind() {
		case types.KindInt16:
			return int16(x)
		case types.KindInt32:
			return int32(x)
		case types.KindFloat32:
			return float32(x)
		case types.KindFloat64:
			return float64(x)
		}
		return int64(x)
	case uint32:
		return int64(x)
	case []int:
		e, _ := t.Elem()
		a := types.Array{Elem: e}
		lower := int32(1)
		if t.OID == types.OIDInt2Vector || t.OID == types.OIDOidVector {
			lower = 0
		}
		if len(x) > 0 {
			a.Dims = []types.Dim{{Len: int32(len(x)), Lower: lower}}
		}
		for _, i := range x {
			a.Elems = append(a.Elems, convert(e, i))
		}
		return a.Encode()
	case []string:
		e, _ := t.Elem()
		a := types.Array{Elem: e}
		if len(x) > 0 {
			a.Dims = []types.Dim{{Len: int32(len(x)), Lower: 1}}
		}
		for _, s := range x {
			a.Elems = append(a.Elems, s)
		}
		return a.Encode()
	}
	return d
}
