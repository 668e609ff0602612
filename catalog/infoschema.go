package catalog

import (
	"strings"

	"streamsql/internal/types"
)

func fillSchemata(v *Viewer, add func(row)) error {
	for _, n := range v.Snapshot.Schemas() {
		add(row{"catalog_name": v.Database, "schema_name": n, "schema_owner": v.RoleName(v.schemaOwner(n))})
	}
	return nil
}

func yesNo(b bool) string {
	if b {
		return "YES"
	}
	return "NO"
}

// tableType gives information_schema.tables.table_type. Materialized views are listed as views, unlike in PostgreSQL,
// because tools that know only this schema would not find them otherwise.
func tableType(r *Relation) string {
	switch relkind(r) {
	case "r":
		return "BASE TABLE"
	case "f":
		return "FOREIGN"
	}
	return "VIEW"
}

func fillISTables(v *Viewer, add func(row)) error {
	for _, r := range v.Snapshot.Relations() {
		add(row{"table_catalog": v.Database, "table_schema": r.Schema, "table_name": r.Name, "table_type": tableType(r),
			"is_insertable_into": yesNo(r.Kind == Table), "is_typed": "NO"})
	}
	return nil
}

func fillISColumns(v *Viewer, add func(row)) error {
	for _, r := range v.Snapshot.Relations() {
		for i, c := range r.Columns {
			x := row{"table_catalog": v.Database, "table_schema": r.Schema, "table_name": r.Name, "column_name": c.Name, "ordinal_position": int(r.Attnum(i)),
				"is_nullable": yesNo(!c.NotNull), "data_type": c.Type.Bare().Format(), "udt_catalog": v.Database, "udt_schema": "pg_catalog",
				"udt_name": c.Type.Name(), "dtd_identifier": string(types.AppendInt(nil, int64(r.Attnum(i)))), "is_self_referencing": "NO", "is_identity": "NO",
				"identity_cycle": "NO", "is_generated": "NEVER", "is_updatable": yesNo(r.Kind == Table)}
			if d := v.Snapshot.DefaultText(&c, v.Path); d != "" {
				x["column_default"] = d
			}
			if c.Identity != "" {
				x["is_identity"], x["identity_generation"] = "YES", strings.ToUpper(c.Identity)
				if q := v.Snapshot.ByOID(c.Sequence); q != nil {
					num := func(n int64) string { return string(types.AppendInt(nil, n)) }
					x["identity_start"], x["identity_increment"] = num(q.Sequence.Start), num(q.Sequence.Increment)
					x["identity_maximum"], x["identity_minimum"] = num(q.Sequence.Max), num(q.Sequence.Min)
				}
			}
			if u := v.Snapshot.TypeByOID(c.Type.OID); u != nil {
				x["data_type"], x["udt_schema"] = "USER-DEFINED", u.Schema
			}
			if u := v.Snapshot.TypeByOID(c.Domain); u != nil {
				x["domain_catalog"], x["domain_schema"], x["domain_name"] = v.Database, u.Schema, u.Name
			}
			if c.Generated != "" {
				x["is_generated"], x["generation_expression"] = "ALWAYS", c.Generated
			}
			describeType(x, c.Type)
			if c.Type.IsArray() {
				x["data_type"] = "ARRAY"
			}
			add(x)
		}
	}
	return nil
}

// describeType fills the columns of information_schema that tell about the modifiers of a type.
func describeType(x row, t types.T) {
	switch t.OID {
	case types.OIDVarchar, types.OIDBpchar:
		if t.Mod >= 4 {
			x["character_maximum_length"] = int(t.Mod - 4)
			x["character_octet_length"] = int(t.Mod-4) * 4
		} else {
			x["character_octet_length"] = 1 << 30
		}
	case types.OIDText:
		x["character_octet_length"] = 1 << 30
	case types.OIDInt2:
		x["numeric_precision"], x["numeric_precision_radix"], x["numeric_scale"] = 16, 2, 0
	case types.OIDInt4:
		x["numeric_precision"], x["numeric_precision_radix"], x["numeric_scale"] = 32, 2, 0
	case types.OIDInt8:
		x["numeric_precision"], x["numeric_precision_radix"], x["numeric_scale"] = 64, 2, 0
	case types.OIDFloat4:
		x["numeric_precision"], x["numeric_precision_radix"] = 24, 2
	case types.OIDFloat8:
		x["numeric_precision"], x["numeric_precision_radix"] = 53, 2
	case types.OIDNumeric:
		x["numeric_precision_radix"] = 10
		if p, s, ok := types.NumericPrecScale(t.Mod); ok {
			x["numeric_precision"], x["numeric_scale"] = p, s
		}
	case types.OIDDate:
		x["datetime_precision"] = 0
	case types.OIDTime, types.OIDTimestamp, types.OIDTimestamptz, types.OIDInterval, types.OIDTimetz:
		x["datetime_precision"] = 6
		if t.Mod >= 0 && t.Mod <= 6 {
			x["datetime_precision"] = int(t.Mod)
		}
	}
}

func fillISDomains(v *Viewer, add func(row)) error {
	for _, t := range v.Snapshot.Types() {
		if t.Kind != 'd' {
			continue
		}
		x := row{"domain_catalog": v.Database, "domain_schema": t.Schema, "domain_name": t.Name, "data_type": t.Base.Bare().Format(), "udt_catalog": v.Database,
			"udt_schema": "pg_catalog", "udt_name": t.Base.Name(), "dtd_identifier": "1"}
		u := v.Snapshot.TypeByOID(t.Over)
		if u == nil {
			u = v.Snapshot.TypeByOID(t.Base.OID)
			if u != nil {
				x["data_type"] = "USER-DEFINED"
			}
		}
		if u != nil {
			x["udt_schema"], x["udt_name"] = u.Schema, u.Name
		}
		if t.Default != "" {
			x["domain_default"] = t.Default
		}
		describeType(x, t.Base)
		add(x)
	}
	return nil
}

func fillISDomainConstraints(v *Viewer, add func(row)) error {
	for _, t := range v.Snapshot.Types() {
		for _, c := range t.Checks {
			add(row{"constraint_catalog": v.Database, "constraint_schema": t.Schema, "constraint_name": c.Name, "domain_catalog": v.Database,
				"domain_schema": t.Schema, "domain_name": t.Name, "is_deferrable": "NO", "initially_deferred": "NO"})
		}
	}
	return nil
}

func fillISViews(v *Viewer, add func(row)) error {
	for _, r := range v.Snapshot.Relations() {
		if r.Kind == View || r.Kind == MatView {
			add(row{"table_catalog": v.Database, "table_schema": r.Schema, "table_name": r.Name, "view_definition": r.Definition, "check_option": "NONE",
				"is_updatable": "NO", "is_insertable_into": "NO", "is_trigger_updatable": "NO", "is_trigger_deletable": "NO", "is_trigger_insertable_into": "NO"})
		}
	}
	return nil
}

func fillISConstraints(v *Viewer, add func(row)) error {
	eachConstraint(v, func(r *Relation, c *Constraint, kind string) {
		add(row{"constraint_catalog": v.Database, "constraint_schema": r.Schema, "constraint_name": c.Name, "table_catalog": v.Database,
			"table_schema": r.Schema, "table_name": r.Name, "constraint_type": kind, "is_deferrable": yesNo(c.Deferrable),
			"initially_deferred": yesNo(c.Deferred), "enforced": "YES"})
	})
	return nil
}

func fillISKeys(v *Viewer, add func(row)) error {
	eachConstraint(v, func(r *Relation, c *Constraint, kind string) {
		if kind == "CHECK" {
			return
		}
		for i, k := range r.ColumnsByNum(c.Columns) {
			if k < 0 {
				continue
			}
			x := row{"constraint_catalog": v.Database, "constraint_schema": r.Schema, "constraint_name": c.Name, "table_catalog": v.Database,
				"table_schema": r.Schema, "table_name": r.Name, "column_name": r.Columns[k].Name, "ordinal_position": i + 1}
			if kind == "FOREIGN KEY" {
				x["position_in_unique_constraint"] = i + 1
			}
			add(x)
		}
	})
	return nil
}
