package fn

import (
	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/internal/vec"
)

// Short names for what every kernel's signature repeats.
type (
	vecVec   = vec.Vec
	vecField = vec.Field
	datum    = types.Datum
	b16      = [16]byte
)

// Errors that many kernels share; see pgerr.AtPos, which copies before it adds a position.
var (
	errInt2Range   = pgerr.New(pgerr.NumericValueOutOfRange, "smallint out of range")
	errInt4Range   = pgerr.New(pgerr.NumericValueOutOfRange, "integer out of range")
	errInt8Range   = pgerr.New(pgerr.NumericValueOutOfRange, "bigint out of range")
	errOidRange    = pgerr.New(pgerr.NumericValueOutOfRange, "OID out of range")
	errFloat4Range = pgerr.New(pgerr.NumericValueOutOfRange, "value out of range: overflow")
	errOverflow    = errFloat4Range
	errUnderflow   = pgerr.New(pgerr.NumericValueOutOfRange, "value out of range: underflow")
	errDivZero     = pgerr.New(pgerr.DivisionByZero, "division by zero")
	errDate        = pgerr.New(pgerr.DatetimeFieldOverflow, "date out of range")
	errInterval    = pgerr.New(pgerr.DatetimeFieldOverflow, "interval out of range")
)
