package exec

import (
	"streamsql/internal/pgerr"
	"streamsql/sql/planner"
)

func newSessionAggregate(*planner.Aggregate) (Operator, error) {
	return nil, pgerr.New(pgerr.FeatureNotSupported, "SESSION windows are not supported here")
}
