package fn

import (
	"errors"

	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/internal/vec"
)

// UserCall is a call of a function that a user has made, for those whose body the session has to run.
type UserCall struct {
	OID  uint32
	Name string
	// Args are the types of the arguments, polymorphic ones as the call has them.
	Args []types.T
	// Ret is the type of a value of the function, Rec its shape where it is a row of a known one. Without it a function that
	// returns record gives rows of whatever shape its body has.
	Ret types.T
	Rec *types.Record
	// Column names the result in FROM, where it is no row.
	Column           string
	Set              bool
	Strict, Volatile bool
	Pos              int
}

// FunctionCaller is what a session answers, beside SessionInfo, that runs the bodies of functions. emit gets the columns of Rec, or one value;
// an error of it ends the call.
type FunctionCaller interface {
	CallFunction(c *Ctx, u *UserCall, args []types.Datum, emit func(row []types.Datum) error) error
}

var errEnough = errors.New("enough rows")

func (u *UserCall) run(c *Ctx, args []types.Datum, emit func(row []types.Datum) error) error {
	s, ok := c.Session.(FunctionCaller)
	if !ok {
		return pgerr.New(pgerr.FeatureNotSupported, "function %s cannot be called here: its body is not one plain query", u.Name)
	}
	return s.CallFunction(c, u, args, emit)
}

// Func gives the function that makes the call.
func (u *UserCall) Func() *Func {
	f := &Func{OID: u.OID, Name: u.Name, Args: u.Args, Ret: u.Ret, Strict: u.Strict, Volatility: Stable, user: u}
	if u.Volatile {
		f.Volatility = Volatile
	}
	if !u.Set {
		f.Kernel = rowD(func(c *Ctx, a []types.Datum) (out types.Datum, err error) {
			err = u.run(c, a, func(row []types.Datum) error {
				if u.Rec != nil {
					out = types.EncodeRecord(u.Rec.Types, row)
				} else {
					out = row[0]
				}
				return errEnough
			})
			if err == errEnough {
				err = nil
			}
			return out, err
		}, u.Strict)
		return f
	}
	cols := []vec.Field{{Name: u.Column, Type: u.Ret}}
	if u.Rec != nil && len(u.Rec.Types) > 1 {
		cols = nil
		for i, n := range u.Rec.Names {
			cols = append(cols, vec.Field{Name: n, Type: u.Rec.Types[i]})
		}
	}
	f.Cols = func([]types.T) []vec.Field { return cols }
	f.Set = func(c *Ctx, a []types.Datum, emit *vec.Builder) error {
		return u.run(c, a, func(row []types.Datum) error {
			if u.Rec != nil && len(u.Rec.Types) <= 1 {
				row = []types.Datum{types.EncodeRecord(u.Rec.Types, row)}
			}
			emit.AppendDatums(row, vec.Insert)
			return nil
		})
	}
	return f
}

// UserCall gives the call of a user's function that f makes; nil of any other function.
func (f *Func) UserCall() *UserCall { return f.user }
