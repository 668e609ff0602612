package types

import (
	"strconv"
)

// JSONPathOp is what an item of a jsonpath does.
type JSONPathOp byte

// The items of a path. Those that take operands have them in Left and Right (one operand: Left).
const (
	PathNull JSONPathOp = iota
	PathBool
	PathNumeric
	PathString
	PathVariable
	PathRoot
	PathCurrent
	PathLast
	PathKey
	PathAnyKey
	PathAnyArray
	PathIndexArray
	PathAny // .**{First to Last}
	PathFilter
	PathAnd
	PathOr
	PathNot
	PathIsUnknown
	PathExists
	PathEqual
	PathNotEqual
	PathLess
	PathGreater
	PathLessOrEqual
	PathGreaterOrEqual
	PathStartsWith
	PathLikeRegex
	PathAdd
	PathSub
	PathMul
	PathDiv
	PathMod
	PathPlus
	PathMinus
	PathMethod   // Str names it: type, size, abs, floor, ceiling, double, keyvalue
	PathDatetime // Left is the template, or nil
)

// PathDeepest is the level that the last of .**{..} means.
const PathDeepest = ^uint32(0)

// JSONPathItem is a step of a path, an operator or a literal. Next is the accessor that follows.
type JSONPathItem struct {
	Op          JSONPathOp
	Next        *JSONPathItem
	Left, Right *JSONPathItem
	Str         string // key, name of a variable or method, string, pattern of like_regex
	Flags       string // of like_regex
	Num         Decimal
	Bool        bool
	Subscripts  []JSONPathRange
	First, Last uint32
}

// JSONPathRange is a subscript: From, or From to To.
type JSONPathRange struct{ From, To *JSONPathItem }

// JSONPath is a parsed jsonpath.
type JSONPath struct {
	Strict bool
	Root   *JSONPathItem
}

// pathSymbols are the operators as they are written.
var pathSymbols = map[JSONPathOp]string{
	PathAnd: "&&", PathOr: "||", PathEqual: "==", PathNotEqual: "!=", PathLess: "<", PathGreater: ">",
	PathLessOrEqual: "<=", PathGreaterOrEqual: ">=", PathAdd: "+", PathSub: "-", PathMul: "*", PathDiv: "/", PathMod: "%",
	PathPlus: "+", PathMinus: "-", PathStartsWith: "starts with",
}

// String gives an operator as it is written, as error messages name it.
func (o JSONPathOp) String() string { return pathSymbols[o] }

// priority decides where parentheses are printed.
func (o JSONPathOp) priority() int {
	switch o {
	case PathOr:
		return 0
	case PathAnd:
		return 1
	case PathEqual, PathNotEqual, PathLess, PathGreater, PathLessOrEqual, PathGreaterOrEqual, PathStartsWith:
		return 2
	case PathAdd, PathSub:
		return 3
	case PathMul, PathDiv, PathMod:
		return 4
	case PathPlus, PathMinus:
		return 5
	}
	return 6
}

// String prints the path as PostgreSQL does.
func (p *JSONPath) String() string {
	var b []byte
	if p.Strict {
		b = append(b, "strict "...)
	}
	return string(p.Root.append(b, false, true))
}

func (v *JSONPathItem) append(b []byte, inKey, brackets bool) []byte {
	operand := func(x *JSONPathItem) { b = x.append(b, false, x.Op.priority() <= v.Op.priority()) }
	dot := func() {
		if inKey {
			b = append(b, '.')
		}
	}
	opening := func() {
		if brackets {
			b = append(b, '(')
		}
	}
	closing := func() {
		if brackets {
			b = append(b, ')')
		}
	}
	switch v.Op {
	case PathNull:
		b = append(b, "null"...)
	case PathBool:
		b = strconv.AppendBool(b, v.Bool)
	case PathNumeric:
		if v.Next != nil {
			b = append(v.Num.AppendString(append(b, '(')), ')')
		} else {
			b = v.Num.AppendString(b)
		}
	case PathString:
		b = AppendJSONString(b, v.Str)
	case PathVariable:
		b = AppendJSONString(append(b, '$'), v.Str)
	case PathRoot:
		b = append(b, '$')
	case PathCurrent:
		b = append(b, '@')
	case PathLast:
		b = append(b, "last"...)
	case PathKey:
		dot()
		b = AppendJSONString(b, v.Str)
	case PathAnyKey:
		dot()
		b = append(b, '*')
	case PathAnyArray:
		b = append(b, "[*]"...)
	case PathIndexArray:
		b = append(b, '[')
		for i, s := range v.Subscripts {
			if i > 0 {
				b = append(b, ',')
			}
			b = s.From.append(b, false, false)
			if s.To != nil {
				b = s.To.append(append(b, " to "...), false, false)
			}
		}
		b = append(b, ']')
	case PathAny:
		dot()
		b = append(b, "**"...)
		level := func(n uint32) {
			if n == PathDeepest {
				b = append(b, "last"...)
			} else {
				b = strconv.AppendUint(b, uint64(n), 10)
			}
		}
		if v.First != 0 || v.Last != PathDeepest {
			b = append(b, '{')
			level(v.First)
			if v.First != v.Last {
				b = append(b, " to "...)
				level(v.Last)
			}
			b = append(b, '}')
		}
	case PathFilter:
		b = append(v.Left.append(append(b, "?("...), false, false), ')')
	case PathNot:
		b = append(v.Left.append(append(b, "!("...), false, false), ')')
	case PathIsUnknown:
		b = append(v.Left.append(append(b, '('), false, false), ") is unknown"...)
	case PathExists:
		b = append(v.Left.append(append(b, "exists ("...), false, false), ')')
	case PathLikeRegex:
		opening()
		operand(v.Left)
		b = AppendJSONString(append(b, " like_regex "...), v.Str)
		if v.Flags != "" {
			b = append(append(append(b, ` flag "`...), v.Flags...), '"')
		}
		closing()
	case PathPlus, PathMinus:
		opening()
		b = append(b, pathSymbols[v.Op]...)
		operand(v.Left)
		closing()
	case PathMethod:
		b = append(append(append(b, '.'), v.Str...), "()"...)
	case PathDatetime:
		b = append(b, ".datetime("...)
		if v.Left != nil {
			b = v.Left.append(b, false, false)
		}
		b = append(b, ')')
	default:
		opening()
		operand(v.Left)
		b = append(append(append(b, ' '), pathSymbols[v.Op]...), ' ')
		operand(v.Right)
		closing()
	}
	if v.Next != nil {
		b = v.Next.append(b, true, true)
	}
	return b
}
