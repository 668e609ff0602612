package fn

import (
	"streamsql/internal/pgerr"
	"streamsql/internal/types"
)

// Sequences is what a session that has sequences answers, beside SessionInfo.
type Sequences interface {
	NextVal(oid uint32) (int64, error)
	CurrVal(oid uint32) (int64, error)
	LastVal() (int64, error)
	// SetVal makes the sequence go on from v: after it where called is set, else with it.
	SetVal(oid uint32, v int64, called bool) error
}

// sequenceFn makes the kernel of a sequence function. Outside a session (in what a view maintains) there are no sequences.
func sequenceFn(f func(s Sequences, a []types.Datum) (int64, error)) Kernel {
	return rowD(func(c *Ctx, a []types.Datum) (types.Datum, error) {
		s, ok := c.Session.(Sequences)
		if !ok {
			return nil, pgerr.New(pgerr.FeatureNotSupported, "sequence functions cannot be used in a continuous query")
		}
		v, err := f(s, a)
		if err != nil {
			return nil, err
		}
		return v, nil
	}, true)
}

func init() {
	for sig, oid := range map[string]uint32{"nextval regclass": 1574, "currval regclass": 1575, "setval regclass,int8": 1576,
		"setval regclass,int8,bool": 1765, "lastval": 2559} {
		procOIDs[sig] = oid
	}
	def("nextval(regclass) int8", sequenceFn(func(s Sequences, a []types.Datum) (int64, error) {
		return s.NextVal(uint32(a[0].(int64)))
	}), volatile)
	def("currval(regclass) int8", sequenceFn(func(s Sequences, a []types.Datum) (int64, error) {
		return s.CurrVal(uint32(a[0].(int64)))
	}), volatile)
	def("lastval() int8", sequenceFn(func(s Sequences, _ []types.Datum) (int64, error) { return s.LastVal() }), volatile)
	def("setval(regclass,int8) int8", sequenceFn(func(s Sequences, a []types.Datum) (int64, error) {
		return a[1].(int64), s.SetVal(uint32(a[0].(int64)), a[1].(int64), true)
	}), volatile)
	def("setval(regclass,int8,bool) int8", sequenceFn(func(s Sequences, a []types.Datum) (int64, error) {
		return a[1].(int64), s.SetVal(uint32(a[0].(int64)), a[1].(int64), a[2].(bool))
	}), volatile)
}
