// Package difftest compares the engine with PostgreSQL 15 on random queries: seeded schemas, data and type-correct
// queries without redundant parentheses over every function and operator that both know. Values, column names, type
// OIDs and SQLSTATEs must agree; what does not is shrunk and printed with its seed. docs/differences.md holds what may differ.
package difftest
