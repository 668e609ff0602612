package planner

import (
	"strings"

	"streamsql/sql/parser/ast"
)

// columnName gives the name of a select-list column without alias, as PostgreSQL chooses it.
func columnName(e ast.Expr) string {
	n, s := figureName(e)
	if s == 0 {
		return "?column?"
	}
	return n
}

// figureName gives a name and how good it is: 0 none, 1 that of a type, 2 a proper one.
func figureName(e ast.Expr) (string, int) {
	switch e := e.(type) {
	case *ast.ColumnRef:
		return e.Parts[len(e.Parts)-1], 2
	case *ast.FuncCall:
		return e.Name.Base(), 2
	case *ast.Cast:
		if n, s := figureName(e.X); s > 1 {
			return n, s
		}
		return e.Type.Name.Base(), 1
	case *ast.Case:
		if e.Else != nil {
			if n, s := figureName(e.Else); s > 1 {
				return n, s
			}
		}
		return "case", 1
	case *ast.ArrayExpr, *ast.ArrayQuery:
		return "array", 2
	case *ast.RowExpr:
		return "row", 2
	case *ast.Exists:
		return "exists", 2
	case *ast.Grouping:
		return "grouping", 2
	case *ast.Subscript:
		return figureName(e.X)
	case *ast.Field:
		if e.Name != "*" {
			return e.Name, 2
		}
	case *ast.Collate:
		return figureName(e.X)
	case *ast.ScalarQuery: // its column has been named already
		body := e.Query.Body
		for {
			switch q := body.(type) {
			case *ast.Query:
				body = q.Body
				continue
			case *ast.SetOp:
				body = q.L
				continue
			case *ast.Select:
				if len(q.Items) == 1 {
					if q.Items[0].Alias != "" {
						return q.Items[0].Alias, 2
					}
					return columnName(q.Items[0].Expr), 2
				}
			case *ast.Values:
				return "column1", 2
			}
			break
		}
	}
	return "", 0
}

// SplitName cuts a possibly qualified, possibly quoted name into its folded parts.
func SplitName(s string) []string {
	var parts []string
	var b strings.Builder
	quoted := false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"' && quoted && i+1 < len(s) && s[i+1] == '"':
			b.WriteByte('"')
			i++
		case c == '"':
			quoted = !quoted
		case c == '.' && !quoted:
			parts = append(parts, b.String())
			b.Reset()
		case !quoted && c >= 'A' && c <= 'Z':
			b.WriteByte(c + 'a' - 'A')
		default:
			b.WriteByte(c)
		}
	}
	return append(parts, b.String())
}
