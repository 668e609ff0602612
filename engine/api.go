// Package engine runs SQL: sessions, statements and portals, definition and
// change of relations, continuously maintained views and the epochs that keep
// them consistent. It is the embeddable Go API; wire and the command serve it.
package engine

import (
	"context"

	"streamsql/internal/pgerr"
	"streamsql/internal/types"
	"streamsql/internal/vec"
	"streamsql/sql/parser/ast"
)

// Column describes a result column as RowDescription needs it.
type Column struct {
	Name string
	Type types.T
	// Table and Attr are the OID and column number of the base column, 0 where it is an expression.
	Table uint32
	Attr  int16
}

// Parsed is one statement of a query string.
type Parsed struct {
	Stmt ast.Stmt
	Text string // its own text
	// Offset is where Text begins in the query string, in characters: statement positions refer to the whole string.
	Offset int
}

// Portal is a statement that is being executed. It is used by one goroutine at a time.
// For a statement without a result Fetch runs it and returns no batch.
type Portal interface {
	// Columns is nil for a statement that returns no rows.
	Columns() []Column
	// Fetch gives at most max rows (0: as many as are at hand) and reports whether the
	// portal is at its end. It blocks until there are rows, the end comes, or ctx is
	// done: then it returns 57014 and the portal stays usable. A continuous query's
	// batch is returned as soon as there are rows. The caller releases the batch.
	Fetch(ctx context.Context, max int) (b *vec.Batch, done bool, err error)
	// Tag is the command tag once done ("SELECT 5", "INSERT 0 1"); rows is the number of rows that were sent.
	Tag(rows int64) string
	// CopyOut and CopyIn are set for COPY: how rows go to, or data comes from, the client.
	CopyOut() *CopyFormat
	CopyIn() *CopyIn
	// Continuous says that the portal ends only when its input does: rows must be flushed as they come.
	Continuous() bool
	Close()
}

// CopyFormat says how COPY writes or reads rows.
type CopyFormat struct {
	Format                  string // "text", "csv", "binary"
	Delimiter               byte
	Null                    string
	Header                  bool
	Match                   bool // HEADER MATCH
	Quote                   byte
	Escape                  byte
	ForceQuote              []bool // parallel to the columns
	ForceNull, ForceNotNull []bool
}

// Notice is a message that does not end the statement; Severity is WARNING, NOTICE, INFO, LOG or DEBUG.
type Notice = pgerr.Error

// Progress is what a portal can tell of its query while it runs; portals of queries implement it. It may be asked between
// calls of Fetch.
type Progress interface {
	// Progress gives how many rows the query has read from its inputs (a row that two scans read counts twice) and how
	// many rows and groups its operators keep now.
	Progress() (read, kept int64)
}
