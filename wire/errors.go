package wire

import (
	"context"
	"errors"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgproto3/v2"

	"streamsql/internal/pgerr"
)

// The causes of a cancelled context, in PostgreSQL's words.
var (
	errUserCancel = pgerr.New(pgerr.QueryCanceled, "canceling statement due to user request")
	errTimeout    = pgerr.New(pgerr.QueryCanceled, "canceling statement due to statement timeout")
	errIdle       = pgerr.New("57P05", "terminating connection due to idle-session timeout")
	// errIdleInTransaction ends a session that holds up others.
	errIdleInTransaction = pgerr.New("25P03", "terminating connection due to idle-in-transaction timeout")
	errShutdown          = pgerr.New(pgerr.AdminShutdown, "terminating connection due to administrator command")
)

// cancelled gives err its cause: whoever noticed that ctx is done knows only that it is.
func cancelled(ctx context.Context, err error) error {
	if err == nil || ctx.Err() == nil {
		return err
	}
	if pgerr.Code(err) == pgerr.QueryCanceled || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return context.Cause(ctx)
	}
	return err
}

// fatal reports whether err ends the connection and not only the statement.
func fatal(err error) bool {
	if errors.Is(err, errGone) || errors.Is(err, errShutdown) {
		return true
	}
	e := pgerr.From(err)
	return e.Severity == "FATAL" || e.Severity == "PANIC"
}

func errorResponse(e *pgerr.Error, severity string) *pgproto3.ErrorResponse {
	return &pgproto3.ErrorResponse{
		Severity:            severity,
		SeverityUnlocalized: severity,
		Code:                e.Code,
		Message:             clean(e.Message),
		Detail:              clean(e.Detail),
		Hint:                clean(e.Hint),
		Position:            int32(e.Position),
		Where:               clean(e.Where),
		SchemaName:          e.Schema,
		TableName:           e.Table,
		ColumnName:          e.Column,
		DataTypeName:        e.DataType,
		ConstraintName:      e.Constraint,
	}
}

// clean makes text fit for a field: a NUL would end it early, and clients expect UTF-8.
func clean(s string) string {
	if utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 {
		return s
	}
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

// sendError appends an ErrorResponse. An error that is no *pgerr.Error is shown as XX000.
func (w *writer) sendError(err error, severity string) {
	e := pgerr.From(err)
	if severity == "" {
		severity = e.Severity
	}
	if severity == "" {
		severity = "ERROR"
	}
	w.send(errorResponse(e, severity))
}

// sendNotice appends a NoticeResponse.
func (w *writer) sendNotice(e *pgerr.Error) {
	severity, code := e.Severity, e.Code
	if severity == "" {
		severity = "NOTICE"
	}
	if code == "" {
		code = pgerr.SuccessfulCompletion
		if severity == "WARNING" {
			code = pgerr.Warning
		}
	}
	m := pgproto3.NoticeResponse(*errorResponse(e, severity))
	m.Code = code
	w.send(&m)
}
