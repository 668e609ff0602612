// Package pgerr is the one error type of streamsql. An Error carries what the
// PostgreSQL protocol can show: SQLSTATE, message, detail, hint and the
// position in the statement's text. Every package reports user-visible
// failures with it; anything else that reaches a client is shown as XX000.
package pgerr

import (
	"errors"
	"fmt"
)

// SQLSTATE codes used by streamsql, named as PostgreSQL's errcodes.txt names them.
const (
	SuccessfulCompletion          = "00000"
	Warning                       = "01000"
	NoData                        = "02000"
	ConnectionException           = "08000"
	ProtocolViolation             = "08P01"
	FeatureNotSupported           = "0A000"
	CardinalityViolation          = "21000"
	DataException                 = "22000"
	StringDataRightTruncation     = "22001"
	NumericValueOutOfRange        = "22003"
	NullValueNotAllowed           = "22004"
	InvalidDatetimeFormat         = "22007"
	DatetimeFieldOverflow         = "22008"
	SubstringError                = "22011"
	DivisionByZero                = "22012"
	IntervalFieldOverflow         = "22015"
	InvalidFrameOffset            = "22013"
	InvalidArgumentForNtile       = "22014"
	InvalidArgumentForNthValue    = "22016"
	InvalidArgumentForLogarithm   = "2201E"
	InvalidArgumentForPower       = "2201F"
	InvalidArgumentForWidthBucket = "2201G"
	InvalidRegularExpression      = "2201B"
	InvalidRowCountInLimit        = "2201W"
	InvalidRowCountInOffset       = "2201X"
	CharacterNotInRepertoire      = "22021"
	InvalidParameterValue         = "22023"
	InvalidEscapeSequence         = "22025"
	ArraySubscriptError           = "2202E"
	InvalidTextRepresentation     = "22P02"
	InvalidBinaryRepresentation   = "22P03"
	BadCopyFileFormat             = "22P04"
	UntranslatableCharacter       = "22P05"
	NotNullViolation              = "23502"
	UniqueViolation               = "23505"
	ForeignKeyViolation           = "23503"
	CheckViolation                = "23514"
	InvalidCursorState            = "24000"
	ActiveSQLTransaction          = "25001"
	NoActiveSQLTransaction        = "25P01"
	ReadOnlySQLTransaction        = "25006"
	InFailedSQLTransaction        = "25P02"
	InvalidSQLStatementName       = "26000"
	InvalidAuthorization          = "28000"
	InvalidPassword               = "28P01"
	DependentObjectsStillExist    = "2BP01"
	InvalidCursorName             = "34000"
	InvalidCatalogName            = "3D000"
	InvalidSchemaName             = "3F000"
	SnapshotTooOld                = "72000"
	SerializationFailure          = "40001"
	SyntaxError                   = "42601"
	InsufficientPrivilege         = "42501"
	CannotCoerce                  = "42846"
	GroupingError                 = "42803"
	WindowingError                = "42P20"
	InvalidRecursion              = "42P19"
	InvalidForeignKey             = "42830"
	InvalidName                   = "42602"
	NameTooLong                   = "42622"
	DatatypeMismatch              = "42804"
	IndeterminateDatatype         = "42P18"
	WrongObjectType               = "42809"
	UndefinedColumn               = "42703"
	UndefinedFunction             = "42883"
	UndefinedTable                = "42P01"
	UndefinedParameter            = "42P02"
	UndefinedObject               = "42704"
	DuplicateColumn               = "42701"
	DuplicateCursor               = "42P03"
	DuplicateDatabase             = "42P04"
	DuplicatePreparedStatement    = "42P05"
	DuplicateSchema               = "42P06"
	DuplicateTable                = "42P07"
	DuplicateAlias                = "42712"
	DuplicateObject               = "42710"
	ReservedName                  = "42939"
	InvalidGrantOperation         = "0LP01"
	PrivilegeNotGranted           = "01007"
	PrivilegeNotRevoked           = "01006"
	AmbiguousColumn               = "42702"
	AmbiguousFunction             = "42725"
	AmbiguousParameter            = "42P08"
	InvalidColumnReference        = "42P10"
	InvalidColumnDefinition       = "42611"
	InvalidTableDefinition        = "42P16"
	InvalidObjectDefinition       = "42P17"
	InvalidFunctionDefinition     = "42P13"
	DuplicateFunction             = "42723"
	OutOfMemory                   = "53200"
	DiskFull                      = "53100"
	TooManyConnections            = "53300"
	ConfigurationLimitExceeded    = "53400"
	ProgramLimitExceeded          = "54000"
	StatementTooComplex           = "54001"
	ObjectNotInPrerequisiteState  = "55000"
	ObjectInUse                   = "55006"
	QueryCanceled                 = "57014"
	AdminShutdown                 = "57P01"
	CannotConnectNow              = "57P03"
	SystemError                   = "58000"
	IOError                       = "58030"
	UndefinedFile                 = "58P01"
	ConfigFileError               = "F0000"
	InternalError                 = "XX000"
	DataCorrupted                 = "XX001"
)

// Error is a failure as a PostgreSQL client sees it. Position is the 1-based
// index, in characters, into the text of the statement; 0 means none.
type Error struct {
	Code, Message, Detail, Hint string
	Severity                    string // "" means ERROR
	Position                    int
	Where                       string
	Schema, Table, Column       string
	DataType, Constraint        string
	Cause                       error
}

func (e *Error) Error() string {
	return e.Message
}

// Unwrap gives the underlying error, if any, to errors.Is and errors.As.
func (e *Error) Unwrap() error { return e.Cause }

// New makes an error with a SQLSTATE and a message as PostgreSQL words it.
func New(code, format string, args ...any) *Error {
	if len(args) == 0 {
		return &Error{Code: code, Message: format}
	}
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// WithHint sets the hint and returns e.
func (e *Error) WithHint(format string, args ...any) *Error {
	e.Hint = sprintf(format, args)
	return e
}

// WithDetail sets the detail and returns e.
func (e *Error) WithDetail(format string, args ...any) *Error {
	e.Detail = sprintf(format, args)
	return e
}

func sprintf(format string, args []any) string {
	if len(args) == 0 {
		return format
	}
	return fmt.Sprintf(format, args...)
}

// At sets the position (1-based, in characters) unless one is set, and returns e.
func (e *Error) At(pos int) *Error {
	if e.Position == 0 && pos > 0 {
		e.Position = pos
	}
	return e
}

// WithCause records the error that led to e and returns e.
func (e *Error) WithCause(err error) *Error {
	e.Cause = err
	return e
}

// From gives err as an *Error: itself where it is or wraps one, else XX000 with its text.
func From(err error) *Error {
	if err == nil {
		return nil
	}
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return &Error{Code: InternalError, Message: err.Error(), Cause: err}
}

// Code gives the SQLSTATE of err, XX000 where it carries none, "" for nil.
func Code(err error) string {
	if err == nil {
		return ""
	}
	return From(err).Code
}

// AtPos gives err with the position set where it is an *Error without one. The
// error is copied: kernels share one error value between rows and statements.
func AtPos(err error, pos int) error {
	var e *Error
	if pos <= 0 || !errors.As(err, &e) || e.Position != 0 {
		return err
	}
	c := *e
	c.Position = pos
	return &c
}
