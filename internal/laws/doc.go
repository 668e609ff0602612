// Package laws holds the properties that every plan must have, as tests of whole
// queries over random input: the answer depends neither on how rows are split into
// batches, nor on how inputs interleave, nor on restarts, and it is PostgreSQL's.
package laws
