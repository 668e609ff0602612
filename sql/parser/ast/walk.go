package ast

import "reflect"

var exprType = reflect.TypeFor[Expr]()

// WalkExpr calls f for an expression and, while f gives true, for those that it is made of, queries within it included.
func WalkExpr(e Expr, f func(Expr) bool) { walk(reflect.ValueOf(e), f) }

func walk(v reflect.Value, f func(Expr) bool) {
	switch v.Kind() {
	case reflect.Interface:
		if !v.IsNil() {
			walk(v.Elem(), f)
		}
	case reflect.Pointer:
		if v.IsNil() {
			return
		}
		if v.Type().Implements(exprType) && !f(v.Interface().(Expr)) {
			return
		}
		walk(v.Elem(), f)
	case reflect.Struct:
		for i := range v.NumField() {
			walk(v.Field(i), f)
		}
	case reflect.Slice:
		for i := range v.Len() {
			walk(v.Index(i), f)
		}
	}
}
