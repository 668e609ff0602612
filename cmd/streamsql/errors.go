package main

import (
	"fmt"
	"io"
	"strings"

	"streamsql/internal/pgerr"
)

// printError prints err as psql does: the message, the line of sql that it is
// about with a caret under the place, then detail and hint. where goes first, if
// it is not empty ("file.sql:3").
func printError(w io.Writer, where, sql string, err error) {
	e := pgerr.From(err)
	severity := e.Severity
	if severity == "" {
		severity = "ERROR"
	}
	printMessage(w, where, sql, severity, e)
}

// printNotice prints a message that did not end the statement.
func printNotice(w io.Writer, where, sql string, e *pgerr.Error) {
	severity := e.Severity
	if severity == "" {
		severity = "NOTICE"
	}
	printMessage(w, where, sql, severity, e)
}

func printMessage(w io.Writer, where, sql, severity string, e *pgerr.Error) {
	if where != "" {
		where += ": "
	}
	fmt.Fprintf(w, "%s%s:  %s\n", where, severity, e.Message)
	if e.Position > 0 {
		printCaret(w, sql, e.Position)
	}
	for _, x := range []struct{ label, text string }{{"DETAIL", e.Detail}, {"HINT", e.Hint}, {"CONTEXT", e.Where}} {
		if x.text != "" {
			fmt.Fprintf(w, "%s:  %s\n", x.label, x.text)
		}
	}
}

// caretWidth is how much of a long line is shown around the place of an error.
const caretWidth = 60

// printCaret prints the line of sql that holds character pos (from 1) and a caret under it.
func printCaret(w io.Writer, sql string, pos int) {
	text := []rune(sql)
	if pos > len(text)+1 {
		return
	}
	at := pos - 1
	start, end, line := at, at, 1
	for start > 0 && text[start-1] != '\n' {
		start--
	}
	for end < len(text) && text[end] != '\n' {
		end++
	}
	for _, r := range text[:start] {
		if r == '\n' {
			line++
		}
	}
	column := at - start
	shown := []rune(strings.Map(func(r rune) rune {
		if r == '\t' || r == '\r' {
			return ' '
		}
		return r
	}, string(text[start:end])))
	before, after := "", ""
	if len(shown) > caretWidth {
		if cut := column - caretWidth/2; cut > 0 {
			shown, column, before = shown[cut:], column-cut, "..."
		}
		if len(shown) > caretWidth {
			shown, after = shown[:caretWidth], "..."
		}
	}
	head := fmt.Sprintf("LINE %d: %s", line, before)
	fmt.Fprintf(w, "%s%s%s\n", head, string(shown), after)
	fmt.Fprintf(w, "%s^\n", strings.Repeat(" ", textWidth(head)+textWidth(string(shown[:min(column, len(shown))]))))
}
