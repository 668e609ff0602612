// Package laws holds the properties that every plan must have, as tests of whole
// queries over random input: the answer depends neither on how rows are split into
// batches, nor on how inputs interleave, nor on restarts, and it is PostgreSQL's.
// TestEngineLaws does the same through a whole engine with random scripts: definitions, transactions of several sessions,
// clients that follow changes and break off, sinks, restarts.
package laws
