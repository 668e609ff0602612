package ast

import (
	"reflect"
	"sort"
	"strconv"
	"strings"
)

// Format gives a tree as an S-expression: the node's type, then its fields that
// are set, without positions. Equal trees give equal texts.
func Format(node any) string {
	var b strings.Builder
	format(&b, reflect.ValueOf(node), "")
	return b.String()
}

func format(b *strings.Builder, v reflect.Value, field string) {
	switch v.Kind() {
	case reflect.Interface, reflect.Pointer:
		if v.IsNil() {
			b.WriteString("nil")
			return
		}
		if v.Kind() == reflect.Pointer && v.Elem().Kind() == reflect.Struct {
			switch n := v.Interface().(type) {
			case *Literal:
				if n.Kind == LitString {
					b.WriteString(quote(n.Text))
				} else if n.Kind == LitBits {
					b.WriteString("B" + quote(n.Text))
				} else {
					b.WriteString(n.Text)
				}
				return
			case *ColumnRef:
				b.WriteString(dotted(n.Parts))
				return
			case *Param:
				b.WriteString("$" + strconv.Itoa(n.N))
				return
			}
		}
		format(b, v.Elem(), field)
	case reflect.Struct:
		formatStruct(b, v)
	case reflect.Slice:
		b.WriteByte('[')
		for i := range v.Len() {
			if i > 0 {
				b.WriteByte(' ')
			}
			format(b, v.Index(i), "")
		}
		b.WriteByte(']')
	case reflect.Map:
		b.WriteByte('{')
		keys := v.MapKeys()
		names := make([]string, len(keys))
		for i, k := range keys {
			names[i] = k.String()
		}
		sort.Strings(names)
		for i, k := range names {
			if i > 0 {
				b.WriteByte(' ')
			}
			b.WriteString(k + ":")
			format(b, v.MapIndex(reflect.ValueOf(k)), "")
		}
		b.WriteByte('}')
	case reflect.String:
		b.WriteString(quote(v.String()))
	case reflect.Bool:
		b.WriteString(strconv.FormatBool(v.Bool()))
	case reflect.Uint8:
		if s, ok := v.Interface().(interface{ String() string }); ok {
			b.WriteString(s.String())
			return
		}
		b.WriteString(strconv.FormatUint(v.Uint(), 10))
	default:
		b.WriteString(strconv.FormatInt(v.Int(), 10))
	}
}

func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

func dotted(parts []string) string {
	for _, p := range parts {
		if strings.IndexFunc(p, func(r rune) bool { return r != '_' && (r < 'a' || r > 'z') && (r < '0' || r > '9') }) >= 0 {
			out := make([]string, len(parts))
			for i, p := range parts {
				out[i] = `"` + p + `"`
			}
			return strings.Join(out, ".")
		}
	}
	return strings.Join(parts, ".")
}

// formatStruct writes (type field:value ..); operators are written as their symbol.
func formatStruct(b *strings.Builder, v reflect.Value) {
	t := v.Type()
	if n, ok := v.Interface().(Name); ok {
		b.WriteString(dotted(n.Parts))
		return
	}
	b.WriteByte('(')
	b.WriteString(strings.ToLower(t.Name()))
	formatFields(b, v)
	b.WriteByte(')')
}

func formatFields(b *strings.Builder, v reflect.Value) {
	t := v.Type()
	for i := range t.NumField() {
		f, fv := t.Field(i), v.Field(i)
		if f.Name == "At" || strings.HasSuffix(f.Name, "Pos") || fv.IsZero() {
			continue
		}
		if f.Anonymous {
			formatFields(b, fv)
			continue
		}
		b.WriteByte(' ')
		switch {
		case f.Name == "Op" && (t.Name() == "Binary" || t.Name() == "Unary" || t.Name() == "Quantified"):
			b.WriteString(fv.String())
			continue
		case f.Type.Kind() == reflect.Bool:
			b.WriteString(strings.ToLower(f.Name))
			continue
		case f.Name == "L" || f.Name == "R" || f.Name == "X" || f.Name == "Args" || f.Name == "Elems" || f.Name == "Body" || f.Name == "Expr":
		default:
			b.WriteString(strings.ToLower(f.Name) + ":")
		}
		format(b, fv, f.Name)
	}
}
