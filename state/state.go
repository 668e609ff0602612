// Package state holds what the engine remembers: the codec that operators
// write their state with at a barrier, versioned tables of rows with consistent
// snapshots, and (with --data) the durable store.
package state
