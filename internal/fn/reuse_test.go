package fn

import (
	"testing"

	"streamsql/internal/types"
	"streamsql/internal/vec"
)

// A column that held text and is reused for numbers must not write offsets over them.
func TestReusedColumn(t *testing.T) {
	var v vec.Vec
	v.Reset(types.KindString, 0)
	v.AppendStr("abc")
	v.Reset(types.KindInt64, 0)
	v.AppendInt64(1 << 40)
	v.AppendNull()
	if v.I64[0] != 1<<40 {
		t.Errorf("got %d", v.I64[0])
	}
	v.Release()
}
