package engine

import (
	"encoding/binary"
	"encoding/json"
	"maps"
	"slices"

	"streamsql/catalog"
	"streamsql/internal/crash"
	"streamsql/internal/pgerr"
	"streamsql/state"
)

// catalogChange is a change of the catalog: what is put, what is dropped. It is the one description of such a change: applied to
// the catalog in memory, and written to the store object by object (see records). What is new in the
// catalog is a field here, a line in apply, in records and in read.
type catalogChange struct {
	Put         []*catalog.Relation
	Drop        []uint32
	PutSchemas  map[string]uint32
	DropSchemas []string
	// Functions are put before relations, whose definitions may call them, and dropped with them.
	PutFunctions  []*catalog.Function
	DropFunctions []uint32
	// Rewrite lists tables among Put whose rows begin anew: what the same transaction writes is all that they hold.
	Rewrite []uint32
	// Sequences are values that sequences have reached (see sequence.stored): what they give next is beyond.
	Sequences map[uint32]sequenceValue
	// PutTypes and DropTypes are of enums and domains; types are put before the relations that use them.
	PutTypes  []*catalog.Type
	DropTypes []uint32
	// Comments are of schemas and types; "" takes one away.
	Comments map[uint32]string
	// PutRoles and DropRoles are of roles, Access of what has been granted on objects; nil takes it all away. What is granted on a relation, function
	// or type goes with it.
	PutRoles  []*catalog.Role
	DropRoles []uint32
	Access    map[uint32]*catalog.Access
}

func (ch *catalogChange) apply(c *catalog.Snapshot) *catalog.Snapshot {
	for name, oid := range ch.PutSchemas {
		c = c.WithSchema(name, oid)
	}
	if len(ch.Drop) > 0 {
		c = c.Without(ch.Drop...)
	}
	for _, n := range ch.DropSchemas {
		c = c.WithoutSchema(n)
	}
	if len(ch.DropFunctions) > 0 {
		c = c.WithoutFunctions(ch.DropFunctions...)
	}
	if len(ch.DropTypes) > 0 {
		c = c.WithoutTypes(ch.DropTypes...)
	}
	for _, t := range ch.PutTypes {
		c = c.WithType(t)
	}
	for _, f := range ch.PutFunctions {
		c = c.WithFunction(f)
	}
	for _, r := range ch.Put {
		r.RegisterRow()
		c = c.With(r)
	}
	for oid, text := range ch.Comments {
		c = c.WithComment(oid, text)
	}
	if len(ch.DropRoles) > 0 {
		c = c.WithoutRoles(ch.DropRoles...)
	}
	for _, r := range ch.PutRoles {
		c = c.WithRole(r)
	}
	ch.droppedAccess(func(oid uint32) {
		if c.Access(oid) != nil {
			c = c.WithAccess(oid, nil)
		}
	})
	for oid, a := range ch.Access {
		c = c.WithAccess(oid, a)
	}
	return c
}

// droppedAccess calls f with the objects that the change drops and that may have had privileges.
func (ch *catalogChange) droppedAccess(f func(oid uint32)) {
	for _, oids := range [][]uint32{ch.Drop, ch.DropFunctions, ch.DropTypes} {
		for _, oid := range oids {
			f(oid)
		}
	}
}

// durable gives what of a change survives the end of the process: temporary relations do not. nil is nothing.
func (ch *catalogChange) durable() *catalogChange {
	out := *ch
	out.Put = slices.DeleteFunc(slices.Clone(ch.Put), func(r *catalog.Relation) bool { return r.Temp })
	out.PutSchemas = maps.Clone(ch.PutSchemas)
	maps.DeleteFunc(out.PutSchemas, func(name string, _ uint32) bool { return isTempSchema(name) })
	out.DropSchemas = slices.DeleteFunc(slices.Clone(ch.DropSchemas), isTempSchema)
	if len(out.Put)+len(out.Drop)+len(out.PutSchemas)+len(out.DropSchemas)+len(out.PutFunctions)+len(out.DropFunctions)+
		len(out.Sequences)+len(out.PutTypes)+len(out.DropTypes)+len(out.Comments)+len(out.PutRoles)+len(out.DropRoles)+len(out.Access) == 0 {
		return nil
	}
	return &out
}

// lastOID gives the highest OID that the change takes.
func (ch *catalogChange) lastOID() uint32 {
	last := uint32(0)
	for _, oid := range ch.PutSchemas {
		last = max(last, oid)
	}
	for _, t := range ch.PutTypes {
		last = max(last, t.LastOID())
	}
	for _, f := range ch.PutFunctions {
		last = max(last, f.OID)
	}
	for _, r := range ch.Put {
		last = max(last, lastOID(r))
	}
	for _, r := range ch.PutRoles {
		last = max(last, r.OID)
	}
	return last
}

// Kinds of objects of the catalog in the store, the first byte of their keys.
const (
	schemaObject   = 's' // and the name -> the OID
	relationObject = 'r' // and the OID -> catalog.Relation
	functionObject = 'f' // and the OID -> catalog.Function
	typeObject     = 't' // and the OID -> catalog.Type
	sequenceObject = 'q' // and the OID of the relation -> sequenceValue
	commentObject  = 'k' // and the OID of a schema or type -> text
	roleObject     = 'u' // and the OID -> catalog.Role
	accessObject   = 'a' // and the OID of an object -> catalog.Access
)

func oidKey(kind byte, oid uint32) []byte { return binary.BigEndian.AppendUint32([]byte{kind}, oid) }

// records gives the objects that the change puts, and with a nil value the keys of those that it drops, in the order in which they are to be
// written. A value is written as JSON.
func (ch *catalogChange) records(put func(key []byte, value any)) {
	for _, oid := range ch.Drop {
		put(oidKey(relationObject, oid), nil)
		put(oidKey(sequenceObject, oid), nil)
	}
	for _, n := range ch.DropSchemas {
		put(append([]byte{schemaObject}, n...), nil)
	}
	for _, oid := range ch.DropFunctions {
		put(oidKey(functionObject, oid), nil)
	}
	for _, oid := range ch.DropTypes {
		put(oidKey(typeObject, oid), nil)
	}
	for n, oid := range ch.PutSchemas {
		put(append([]byte{schemaObject}, n...), oid)
	}
	for _, t := range ch.PutTypes {
		put(oidKey(typeObject, t.OID), t)
	}
	for _, f := range ch.PutFunctions {
		put(oidKey(functionObject, f.OID), f)
	}
	for _, r := range ch.Put {
		put(oidKey(relationObject, r.OID), r)
	}
	for oid, v := range ch.Sequences {
		put(oidKey(sequenceObject, oid), v)
	}
	for oid, text := range ch.Comments {
		if text == "" {
			put(oidKey(commentObject, oid), nil)
		} else {
			put(oidKey(commentObject, oid), text)
		}
	}
	for _, oid := range ch.DropRoles {
		put(oidKey(roleObject, oid), nil)
	}
	for _, r := range ch.PutRoles {
		put(oidKey(roleObject, r.OID), r)
	}
	ch.droppedAccess(func(oid uint32) { put(oidKey(accessObject, oid), nil) })
	for oid, a := range ch.Access {
		if a == nil {
			put(oidKey(accessObject, oid), nil)
		} else {
			put(oidKey(accessObject, oid), a)
		}
	}
}

// read adds a stored object to what the change puts.
func (ch *catalogChange) read(key, value []byte) error {
	var err error
	switch key[0] {
	case schemaObject:
		if ch.PutSchemas == nil {
			ch.PutSchemas = map[string]uint32{}
		}
		var oid uint32
		err = json.Unmarshal(value, &oid)
		ch.PutSchemas[string(key[1:])] = oid
	case functionObject:
		f := &catalog.Function{}
		err = json.Unmarshal(value, f)
		ch.PutFunctions = append(ch.PutFunctions, f)
	case typeObject:
		t := &catalog.Type{}
		err = json.Unmarshal(value, t)
		ch.PutTypes = append(ch.PutTypes, t)
	case sequenceObject:
		var v sequenceValue
		err = json.Unmarshal(value, &v)
		if ch.Sequences == nil {
			ch.Sequences = map[uint32]sequenceValue{}
		}
		ch.Sequences[binary.BigEndian.Uint32(key[1:])] = v
	case commentObject:
		var text string
		err = json.Unmarshal(value, &text)
		if ch.Comments == nil {
			ch.Comments = map[uint32]string{}
		}
		ch.Comments[binary.BigEndian.Uint32(key[1:])] = text
	case roleObject:
		r := &catalog.Role{}
		err = json.Unmarshal(value, r)
		ch.PutRoles = append(ch.PutRoles, r)
	case accessObject:
		a := &catalog.Access{}
		err = json.Unmarshal(value, a)
		if ch.Access == nil {
			ch.Access = map[uint32]*catalog.Access{}
		}
		ch.Access[binary.BigEndian.Uint32(key[1:])] = a
	case relationObject:
		r := &catalog.Relation{}
		err = json.Unmarshal(value, r)
		ch.Put = append(ch.Put, r)
	default:
		return pgerr.New(pgerr.DataCorrupted, "the stored catalog has an object of unknown kind %q", key[0])
	}
	if err != nil {
		return pgerr.New(pgerr.DataCorrupted, "an object of the stored catalog cannot be read").WithCause(err)
	}
	return nil
}

// write adds the change to a commit of the store.
func (ch *catalogChange) write(c *state.Commit) error {
	var failed error
	ch.records(func(key []byte, value any) {
		if value == nil {
			c.Delete(state.Catalog, key)
			return
		}
		b, err := json.Marshal(value)
		if err != nil {
			failed = err
			return
		}
		c.Put(state.Catalog, key, b)
	})
	return failed
}

// changeCatalog publishes a change in an epoch of its own and waits until it is durable; runtime
// runs inside the cut. The caller holds e.write.
func (e *Engine) changeCatalog(ch *catalogChange, runtime func()) error {
	if err := e.canWrite(); err != nil {
		return err
	}
	ch.passes(false)
	k := &commit{alone: true, ddl: func() {
		e.applyCatalog(ch)
		if runtime != nil {
			runtime()
		}
	}}
	e.coord.enqueue(k)
	err := <-k.done
	if err == nil {
		ch.passes(true)
	}
	return err
}

// passes tells the tests of crashes that the change is about to become durable, or has done so.
func (ch *catalogChange) passes(durable bool) {
	switch {
	case len(ch.Drop) > 0 && durable:
		crash.At(crash.DropAfter)
	case len(ch.Drop) > 0:
		crash.At(crash.DropBefore)
	case len(ch.Put) > 0 && durable:
		crash.At(crash.DefineAfter)
	case len(ch.Put) > 0:
		crash.At(crash.DefineBefore)
	}
}

// applyCatalog makes a change of the catalog visible, and part of the next durable epoch. The caller holds coordinator.step and e.cut.
func (e *Engine) applyCatalog(ch *catalogChange) {
	e.cat = ch.apply(e.cat)
	e.persist.catalogChanged(ch)
}
