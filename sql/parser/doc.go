// Package parser turns the text of statements into the tree of package ast.
//
// The way of a statement: text -> tokens by PostgreSQL's rules (lexer.go) ->
// recursive descent over the tokens. Statements around queries are built at
// once (stmt_*.go). Queries and expressions go through the dialect stage
// (lower_*.go): it finds their structure by PostgreSQL's grammar and
// precedence and writes a skeleton of them that TiDB's grammar reads the same
// way. TiDB's tree is then converted into ours (fill.go).
//
// A skeleton holds no text of the user. Every leaf is a number, every operator
// and call a function `x__(number, ..)`, every relation `r<number>`; the number
// indexes a side table with the literal, the name, the operator and its
// position. So nothing can be read differently by the two grammars: TiDB's
// keywords, comments, escapes, operators and precedences never meet what the
// user wrote, and error positions point into the user's text because the
// dialect stage is the one that reports them.
//
//	SELECT a || 'x' FROM t WHERE b > 1
//	(SELECT 0,op__(1,2,3) FROM r4 WHERE op__(5,6,7) ORDER BY 8)
//
// (Names that begin with an underscore would be looked up as character sets.)
// The numbers in ORDER BY, and HAVING's carrier, lead to what MySQL's grammar
// has no place for: DISTINCT ON, LIMIT with expressions, EMIT, WINDOW.
package parser
