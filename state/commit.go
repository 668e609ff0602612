package state

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"

	"github.com/cockroachdb/pebble/v2"

	"streamsql/internal/crash"
	"streamsql/internal/pgerr"
)

// Commit is a set of changes that are written together. It is used by one goroutine.
//
// The database below takes what is written together as one piece of memory, of less than 4 GiB. A commit that grows large is therefore staged: what there is so
// far is written aside, piece by piece; when all pieces are there a mark, synced, makes them count, and then each is put in its place. If that is broken off it
// is done again from the beginning, from the mark, when the store is opened.
type Commit struct {
	s      *Store
	b      *pebble.Batch
	key    []byte
	pieces uint32 // that are staged
	err    error  // of staging one
}

// NewCommit begins a set of changes. Write or Close ends it.
func (s *Store) NewCommit() *Commit { return &Commit{s: s, b: s.db.NewBatch()} }

func (c *Commit) at(space Space, key []byte) []byte {
	c.key = append(append(c.key[:0], byte(space)), key...)
	return c.key
}

// Put sets a value. It keeps neither slice.
func (c *Commit) Put(space Space, key, value []byte) {
	must(c.b.Set(c.at(space, key), value, nil))
	c.grown()
}

// Delete removes a key, which need not be there.
func (c *Commit) Delete(space Space, key []byte) {
	must(c.b.Delete(c.at(space, key), nil))
	c.grown()
}

// DeletePrefix removes every key that begins with prefix.
func (c *Commit) DeletePrefix(space Space, prefix []byte) {
	from := bytes.Clone(c.at(space, prefix))
	must(c.b.DeleteRange(from, prefixEnd(from), nil))
}

// DeleteRange removes the keys from from, and before to.
func (c *Commit) DeleteRange(space Space, from, to []byte) {
	f := bytes.Clone(c.at(space, from))
	must(c.b.DeleteRange(f, c.at(space, to), nil))
}

// must stands for errors that a batch which is not indexed, and only kept in memory, does not have.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

// prefixEnd gives the first key after those that begin with prefix, which begins with the byte of a space.
func prefixEnd(prefix []byte) []byte {
	end := bytes.Clone(prefix)
	for i := len(end) - 1; ; i-- {
		if end[i]++; end[i] != 0 {
			return end[:i+1]
		}
	}
}

// Bytes gives about how much will be written that is in memory.
func (c *Commit) Bytes() int { return c.b.Len() }

// Empty says that nothing will be changed.
func (c *Commit) Empty() bool { return c.pieces == 0 && c.b.Empty() }

// stagedPiece is about how many bytes a piece has: of larger ones the database makes tables of their own in memory, and keeps several.
const stagedPiece = 2 << 20

func (c *Commit) grown() {
	if n := c.b.Len(); n > c.s.stageAt || c.pieces > 0 && n > stagedPiece {
		c.stage()
	}
}

// stage writes what there is aside.
func (c *Commit) stage() {
	if c.pieces == 0 {
		c.s.staging.Lock()
	}
	if c.b.Len() <= 2*stagedPiece {
		c.stagePiece(c.b)
	} else {
		part := c.s.db.NewBatch()
		for r := c.b.Reader(); ; {
			kind, key, value, ok, err := r.Next()
			must(err)
			if !ok {
				break
			}
			switch kind {
			case pebble.InternalKeyKindSet:
				must(part.Set(key, value, nil))
			case pebble.InternalKeyKindDelete:
				must(part.Delete(key, nil))
			case pebble.InternalKeyKindRangeDelete:
				must(part.DeleteRange(key, value, nil))
			default:
				panic("state: a change of a commit of kind " + kind.String())
			}
			if part.Len() > stagedPiece {
				c.stagePiece(part)
				part = c.s.db.NewBatch()
			}
		}
		c.stagePiece(part)
	}
	c.b.Close()
	c.b = c.s.db.NewBatch()
}

// stagePiece writes a batch aside, as the next piece.
func (c *Commit) stagePiece(b *pebble.Batch) {
	if c.err == nil {
		repr := b.Repr()
		w := c.s.db.NewBatchWithSize(len(repr) + 64)
		key := stagedKey(c.pieces)
		op := w.SetDeferred(len(key), len(repr))
		copy(op.Key, key)
		copy(op.Value, repr)
		must(op.Finish())
		c.err = c.s.commit(w, false)
	}
	if b != c.b {
		b.Close()
	}
	c.pieces++
}

// stagedEnd is the number under which, instead of a piece, the mark is that says how many there are.
const stagedEnd = math.MaxUint32

func stagedKey(n uint32) []byte {
	return binary.BigEndian.AppendUint32([]byte{byte(staged)}, n)
}

// Write makes the changes, all or none, in the order in which they were given. With sync they, and all that was written before, survive a crash
// when it has returned. An error means that the store has failed (58030, 53100), whether they are there is then known when it is opened again.
func (c *Commit) Write(sync bool) error {
	if c.pieces == 0 {
		return c.s.commit(c.b, sync)
	}
	c.stage()
	defer c.end()
	if c.err != nil {
		return c.err
	}
	if err := c.s.use(); err != nil {
		return err
	}
	defer c.s.open.RUnlock()
	w := c.s.db.NewBatch()
	must(w.Set(stagedKey(stagedEnd), binary.BigEndian.AppendUint32(nil, c.pieces), nil))
	if err := c.s.commitOpen(w, sync); err != nil {
		return err
	}
	crash.At(crash.CommitStaged)
	return c.s.applyStaged(c.pieces)
}

// Close drops the changes of a commit that is not written.
func (c *Commit) Close() {
	if c.pieces > 0 {
		if c.err == nil && c.s.use() == nil { // else they are removed when it is opened again
			_ = c.s.dropStaged()
			c.s.open.RUnlock()
		}
		c.end()
	}
	c.b.Close()
}

func (c *Commit) end() {
	c.pieces = 0
	c.s.staging.Unlock()
}

// commit writes a batch, which it closes where it could.
func (s *Store) commit(b *pebble.Batch, sync bool) error {
	if err := s.use(); err != nil {
		return err
	}
	defer s.open.RUnlock()
	return s.commitOpen(b, sync)
}

// commitOpen is commit for who knows the store to be open.
func (s *Store) commitOpen(b *pebble.Batch, sync bool) error {
	if err := s.guard.failure(); err != nil {
		return err
	}
	o := pebble.NoSync
	if sync && !s.temp {
		o = pebble.Sync
	}
	done := make(chan error, 1)
	go func() { done <- b.Commit(o) }()
	select {
	case err := <-done:
		if err != nil {
			err = storeError("write to the store in", s.dir, err)
			s.guard.fail(err)
			return err
		}
		b.Close()
		return nil
	case <-s.guard.failed:
		return s.guard.failure()
	}
}

// applyStaged puts the first n pieces in their places, in their order, and removes them. They count: the mark is there.
func (s *Store) applyStaged(n uint32) error {
	s.applying.Lock()
	defer s.applying.Unlock()
	for i := range n {
		piece, closer, err := s.db.Get(stagedKey(i))
		if err != nil {
			return storeError("read from the store in", s.dir, err)
		}
		b := s.db.NewBatch()
		err = b.SetRepr(bytes.Clone(piece))
		closer.Close()
		if err != nil {
			return storeError("read from the store in", s.dir, err)
		}
		if err := s.commitOpen(b, false); err != nil {
			return err
		}
		crash.At(crash.CommitApplied)
	}
	return s.dropStaged()
}

// dropStaged removes the pieces, and the mark.
func (s *Store) dropStaged() error {
	b := s.db.NewBatch()
	must(b.DeleteRange([]byte{byte(staged)}, []byte{byte(staged) + 1}, nil))
	return s.commitOpen(b, false)
}

// finishStaged ends, when the store is opened, a commit in pieces that was broken off: the mark decides whether it has happened.
func (s *Store) finishStaged() error {
	mark, closer, err := s.db.Get(stagedKey(stagedEnd))
	if err == nil {
		if len(mark) != 4 {
			err = pgerr.New(pgerr.DataCorrupted, "the pieces of a commit in \"%s\" cannot be read", s.dir).WithHint("Restore the data directory from a backup.")
			closer.Close()
			return err
		}
		n := binary.BigEndian.Uint32(mark)
		closer.Close()
		return s.applyStaged(n)
	}
	if !errors.Is(err, pebble.ErrNotFound) {
		return storeError("read from the store in", s.dir, err)
	}
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: []byte{byte(staged)}, UpperBound: []byte{byte(staged) + 1}})
	if err != nil {
		return storeError("read from the store in", s.dir, err)
	}
	some := it.First()
	if err := errors.Join(it.Error(), it.Close()); err != nil {
		return storeError("read from the store in", s.dir, err)
	}
	if some {
		return s.dropStaged()
	}
	return nil
}
