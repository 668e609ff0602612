package laws

import (
	"os"
	"runtime/debug"
	"testing"
)

// TestMain lets the heap grow: a run makes many small graphs, and the collector would take a quarter of its time.
func TestMain(m *testing.M) {
	debug.SetGCPercent(400)
	os.Exit(m.Run())
}
