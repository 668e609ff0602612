package main

import (
	"bufio"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/chzyer/readline"
)

// lineReader gives the lines that the user types. Only this file knows the
// library that edits them.
type lineReader interface {
	// line reads a line. errInterrupted says that it was given up by Ctrl-C, io.EOF that no more will come.
	line(prompt string) (string, error)
	// remember puts a statement into the history.
	remember(statement string)
	close()
}

// completer gives the ways in which the text before the cursor can go on, and how
// many characters of it they share.
type completer func(before string) (rest []string, shared int)

// isTerminal reports whether f is a terminal.
func isTerminal(f any) bool {
	file, ok := f.(*os.File)
	return ok && readline.IsTerminal(int(file.Fd()))
}

// terminalWidth gives the columns of the terminal, 80 where it does not say.
func terminalWidth() int {
	if w := readline.GetScreenWidth(); w > 0 {
		return w
	}
	return 80
}

// newLineReader edits lines on a terminal; other input is read as it is, without prompts.
func newLineReader(in io.Reader, complete completer) (lineReader, error) {
	if !isTerminal(in) {
		return &plainLines{r: bufio.NewReader(in)}, nil
	}
	rl, err := readline.NewEx(&readline.Config{
		HistoryFile:            historyFile(),
		HistoryLimit:           2000,
		DisableAutoSaveHistory: true,
		AutoComplete:           completion(complete),
		InterruptPrompt:        "^C",
		EOFPrompt:              `\q`,
	})
	if err != nil {
		return nil, err
	}
	return &editedLines{rl}, nil
}

// historyFile gives where statements are remembered, "" for nowhere.
func historyFile() string {
	if f, ok := os.LookupEnv("STREAMSQL_HISTORY"); ok {
		return f
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return ""
	}
	return filepath.Join(home, ".streamsql_history")
}

type editedLines struct{ rl *readline.Instance }

func (e *editedLines) line(prompt string) (string, error) {
	e.rl.SetPrompt(prompt)
	s, err := e.rl.Readline()
	if errors.Is(err, readline.ErrInterrupt) {
		err = errInterrupted
	}
	return s, err
}

func (e *editedLines) remember(statement string) {
	_ = e.rl.SaveHistory(strings.Join(strings.Fields(statement), " ")) // a history that cannot be written is not worth a word
}

func (e *editedLines) close() { _ = e.rl.Close() }

// completion is a completer as the library wants it.
type completion completer

// Do implements readline.AutoCompleter.
func (c completion) Do(line []rune, pos int) ([][]rune, int) {
	rest, shared := c(string(line[:pos]))
	out := make([][]rune, len(rest))
	for i, s := range rest {
		out[i] = []rune(s)
	}
	return out, shared
}

// plainLines reads lines of any length that nobody edits.
type plainLines struct{ r *bufio.Reader }

func (p *plainLines) line(string) (string, error) {
	s, err := p.r.ReadString('\n')
	if s != "" {
		return strings.TrimSuffix(s, "\n"), nil
	}
	return "", err
}

func (p *plainLines) remember(string) {}
func (p *plainLines) close()          {}
