package main

import (
	"slices"
	"strings"

	"streamsql/catalog"
	"streamsql/sql/parser"
)

// relationWords are the keywords after which the name of a relation comes.
var relationWords = []string{"from", "join", "into", "update", "table", "view", "source", "tumble(", "hop(", "session(", "cumulate(", "copy", "describe"}

// complete gives the ways in which the word before the cursor can go on: backslash commands,
// keywords, and the names of relations and their columns.
func (s *shell) complete(before string) (rest []string, shared int) {
	start := len(before)
	for start > 0 && (isWord(before[start-1]) || before[start-1] == '.') {
		start--
	}
	word := before[start:]
	if strings.HasPrefix(before, `\`) && !strings.Contains(before, " ") {
		return suffixes(metaCommands, before), len([]rune(before))
	}
	if dot := strings.LastIndexByte(word, '.'); dot >= 0 { // a column of a relation
		word = word[dot+1:]
		start += dot + 1
		return suffixes(s.columns(before[:start-1]), word), len([]rune(word))
	}
	previous := strings.ToLower(strings.TrimRight(before[:start], " \t"))
	var names []string
	for _, r := range s.relations(catalog.Table, catalog.Source, catalog.View, catalog.MatView) {
		if r.Schema == "public" {
			names = append(names, r.Name)
		} else {
			names = append(names, r.Schema+"."+r.Name)
		}
	}
	if strings.HasPrefix(before, `\d`) || slices.ContainsFunc(relationWords, func(w string) bool { return strings.HasSuffix(previous, w) }) {
		return suffixes(names, word), len([]rune(word))
	}
	names = append(names, s.columns("")...)
	for _, k := range parser.Keywords() {
		if word == strings.ToUpper(word) { // as the user writes keywords
			k = strings.ToUpper(k)
		}
		names = append(names, k)
	}
	return suffixes(names, word), len([]rune(word))
}

// columns gives the column names of the relation whose name text ends in, of all relations if it is empty.
func (s *shell) columns(text string) (names []string) {
	for _, r := range s.relations(catalog.Table, catalog.Source, catalog.View, catalog.MatView) {
		if text == "" || strings.HasSuffix(strings.ToLower(text), r.Name) {
			for _, c := range r.Columns {
				names = append(names, c.Name)
			}
		}
	}
	return names
}

// suffixes gives what follows prefix in the words that start with it, each once.
func suffixes(words []string, prefix string) (out []string) {
	for _, w := range words {
		if len(w) > len(prefix) && strings.EqualFold(w[:len(prefix)], prefix) {
			out = append(out, w[len(prefix):])
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
