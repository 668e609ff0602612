package exec

import (
	"streamsql/sql/planner"
)

// Input is a leaf of a graph: where the rows of a Scan come in.
type Input struct {
	Scan *planner.Scan
	// Watermarked says that a Watermark operator stands behind it: rows are pushed by partition.
	Watermarked bool
}
