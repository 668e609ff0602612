package catalog

import (
	"strconv"

	"streamsql/internal/types"
)

func fillSequence(v *Viewer, add func(row)) error {
	for _, r := range v.Snapshot.Relations() {
		if q := r.Sequence; q != nil {
			add(row{"seqrelid": r.OID, "seqtypid": q.Type.OID, "seqstart": q.Start, "seqincrement": q.Increment, "seqmax": q.Max, "seqmin": q.Min,
				"seqcache": q.Cache, "seqcycle": q.Cycle})
		}
	}
	return nil
}

func fillISSequences(v *Viewer, add func(row)) error {
	for _, r := range v.Snapshot.Relations() {
		q := r.Sequence
		if q == nil || q.Identity {
			continue
		}
		num := func(n int64) string { return strconv.FormatInt(n, 10) }
		bits := map[uint32]int{types.OIDInt2: 16, types.OIDInt4: 32, types.OIDInt8: 64}[q.Type.OID]
		add(row{"sequence_catalog": v.Database, "sequence_schema": r.Schema, "sequence_name": r.Name, "data_type": q.Type.Format(),
			"numeric_precision": bits, "numeric_precision_radix": 2, "numeric_scale": 0, "start_value": num(q.Start), "minimum_value": num(q.Min),
			"maximum_value": num(q.Max), "increment": num(q.Increment), "cycle_option": yesNo(q.Cycle)})
	}
	return nil
}

func fillEnum(v *Viewer, add func(row)) error {
	for _, t := range v.Snapshot.Types() {
		for _, l := range t.Labels {
			add(row{"oid": l.OID, "enumtypid": t.OID, "enumsortorder": l.Order, "enumlabel": l.Label})
		}
	}
	return nil
}

// fillUserTypes adds enums, domains and composite types, with their arrays, to pg_type.
func fillUserTypes(v *Viewer, add func(row)) {
	for _, t := range v.Snapshot.Types() {
		ns, _ := v.Snapshot.SchemaOID(t.Schema)
		o := t.Object(v.Snapshot)
		x := row{"oid": t.OID, "typacl": v.aclText(o.ACL()), "typname": t.Name, "typnamespace": ns, "typowner": v.ownerOID(t.Owner), "typtype": string(t.Kind), "typisdefined": true, "typdelim": ",",
			"typarray": t.ArrayOID, "typtypmod": -1}
		if in := types.InfoOf(types.Of(t.OID)); in != nil {
			x["typlen"], x["typbyval"], x["typcategory"], x["typalign"], x["typstorage"] = int(in.Len), in.ByVal, string(in.Category), string(in.Align), storageOf(in)
		}
		if t.Kind == 'c' {
			x["typrelid"] = t.ClassOID
		}
		if t.Kind == 'd' {
			x["typbasetype"], x["typtypmod"], x["typnotnull"], x["typcollation"] = t.Base.OID, int(t.Base.Mod), t.NotNull, collationOf(t.Base)
			if t.Over != 0 {
				x["typbasetype"], x["typtypmod"] = t.Over, -1
			}
			if t.Default != "" {
				x["typdefault"] = t.Default
			}
		}
		add(x)
		add(row{"oid": t.ArrayOID, "typname": "_" + t.Name, "typnamespace": ns, "typowner": v.ownerOID(t.Owner), "typlen": -1, "typtype": "b", "typcategory": "A",
			"typisdefined": true, "typdelim": ",", "typelem": t.OID, "typsubscript": arraySubscript.oid, "typalign": "i", "typstorage": "x", "typtypmod": -1})
	}
}

// eachConstraint calls f with every constraint, the primary keys among them, and its columns.
func eachConstraint(v *Viewer, f func(r *Relation, c *Constraint, kind string)) {
	for _, r := range v.Snapshot.Relations() {
		if r.PrimaryKey != nil {
			f(r, &Constraint{Name: r.PrimaryKeyName, Columns: r.Attnums(r.PrimaryKey)}, "PRIMARY KEY")
		}
		for _, c := range r.Constraints {
			f(r, c, map[byte]string{CheckConstraint: "CHECK", UniqueConstraint: "UNIQUE", ForeignConstraint: "FOREIGN KEY"}[c.Kind])
		}
	}
}

func fillISChecks(v *Viewer, add func(row)) error {
	one := func(schema string, c *Constraint) {
		add(row{"constraint_catalog": v.Database, "constraint_schema": schema, "constraint_name": c.Name, "check_clause": "(" + c.Expr + ")"})
	}
	eachConstraint(v, func(r *Relation, c *Constraint, kind string) {
		if kind == "CHECK" {
			one(r.Schema, c)
		}
	})
	for _, t := range v.Snapshot.Types() {
		for _, c := range t.Checks {
			one(t.Schema, c)
		}
	}
	return nil
}

func fillISUsage(v *Viewer, add func(row)) error {
	eachConstraint(v, func(r *Relation, c *Constraint, kind string) {
		of, nums := r, c.Columns
		if kind == "FOREIGN KEY" {
			of, nums = v.Snapshot.ByOID(c.Ref), c.RefColumns
		}
		if of == nil {
			return
		}
		for _, i := range of.ColumnsByNum(nums) {
			if i >= 0 {
				add(row{"table_catalog": v.Database, "table_schema": of.Schema, "table_name": of.Name, "column_name": of.Columns[i].Name,
					"constraint_catalog": v.Database, "constraint_schema": r.Schema, "constraint_name": c.Name})
			}
		}
	})
	return nil
}

func fillISReferential(v *Viewer, add func(row)) error {
	rule := func(a byte) string {
		if n := actionName(a); n != "" {
			return n
		}
		return "NO ACTION"
	}
	eachConstraint(v, func(r *Relation, c *Constraint, kind string) {
		ref := v.Snapshot.ByOID(c.Ref)
		if kind != "FOREIGN KEY" || ref == nil {
			return
		}
		x := row{"constraint_catalog": v.Database, "constraint_schema": r.Schema, "constraint_name": c.Name, "unique_constraint_catalog": v.Database,
			"unique_constraint_schema": ref.Schema, "match_option": "NONE", "update_rule": rule(c.OnUpdate), "delete_rule": rule(c.OnDelete)}
		if ix := v.Snapshot.IndexByOID(ref.keyIndex(c.RefColumns)); ix != nil {
			x["unique_constraint_name"] = ix.Name
		}
		add(x)
	})
	return nil
}
