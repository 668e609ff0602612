package exec

import (
	"streamsql/internal/pgerr"
	"streamsql/sql/planner"
	"streamsql/window"
)

func newWindowTVF(n *planner.WindowTVF) (Operator, error) {
	if n.Spec.Kind == window.Session {
		return nil, pgerr.New(pgerr.FeatureNotSupported, "SESSION windows are not supported here")
	}
	return nil, pgerr.New(pgerr.FeatureNotSupported, "window functions are not supported here")
}
