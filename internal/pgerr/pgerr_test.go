package pgerr

import (
	"errors"
	"fmt"
	"testing"
)

func TestNearest(t *testing.T) {
	words := []string{"path", "format", "columns", "follow", "delimiter"}
	for name, want := range map[string]string{"pth": "path", "paht": "path", "fromat": "format", "colums": "columns", "xyz": "", "f": "", "delimeter": "delimiter"} {
		if got := Nearest(name, words); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", name, got, want)
		}
	}
	for _, c := range []struct {
		a, b string
		d    int
	}{{"", "", 0}, {"a", "", 1}, {"kitten", "sitting", 3}, {"ab", "ba", 1}} {
		if got := EditDistance(c.a, c.b); got != c.d {
			t.Errorf("EditDistance(%q, %q) = %d, want %d", c.a, c.b, got, c.d)
		}
	}
}

func TestErrors(t *testing.T) {
	base := New(UndefinedColumn, "column %q does not exist", "a").WithHint("h").At(3)
	wrapped := fmt.Errorf("while planning: %w", base)
	if From(wrapped) != base || Code(wrapped) != UndefinedColumn || Code(errors.New("x")) != InternalError || Code(nil) != "" {
		t.Error("an error does not keep its code through wrapping")
	}
	// Kernels share one error value between rows and statements: placing it must not change it.
	shared := New(DivisionByZero, "division by zero")
	if placed := From(AtPos(shared, 7)); placed.Position != 7 || shared.Position != 0 {
		t.Errorf("AtPos changed the shared error: %d, %d", placed.Position, shared.Position)
	}
	if From(AtPos(base, 9)).Position != 3 {
		t.Error("AtPos moved a position that was set")
	}
}
