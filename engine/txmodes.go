package engine

import (
	"streamsql/internal/pgerr"
	"streamsql/sql/parser/ast"
)

// txModes are the characteristics of a transaction. Every isolation level is served as its statements see it; its name is only shown.
type txModes struct {
	isolation            string
	readOnly, deferrable bool
}

// defaultModes are those that a transaction begins with.
func (s *Session) defaultModes() txModes {
	iso, _ := s.vars.get("default_transaction_isolation")
	ro, _ := s.vars.get("default_transaction_read_only")
	def, _ := s.vars.get("default_transaction_deferrable")
	return txModes{isolation: iso, readOnly: ro == "on", deferrable: def == "on"}
}

// readOnly tells whether what is executed now must not change anything.
func (s *Session) readOnly() bool {
	if s.tx != nil {
		return s.tx.modes.readOnly
	}
	return s.defaultModes().readOnly
}

func errReadOnly(what string) error {
	return pgerr.New(pgerr.ReadOnlySQLTransaction, "cannot execute %s in a read-only transaction", what)
}

// setTxModes executes SET TRANSACTION and the modes of BEGIN. What a query may already have relied on cannot change.
func (s *Session) setTxModes(t *ast.Transaction) error {
	m, sub := &s.tx.modes, len(s.tx.savepoints) > 0
	refuse := func(why string) error { return pgerr.New(pgerr.ActiveSQLTransaction, "%s", why) }
	if t.Isolation != "" && t.Isolation != m.isolation {
		switch {
		case s.tx.queried:
			return refuse("SET TRANSACTION ISOLATION LEVEL must be called before any query")
		case sub:
			return refuse("SET TRANSACTION ISOLATION LEVEL must not be called in a subtransaction")
		}
		m.isolation = t.Isolation
	}
	if t.ReadOnly != nil {
		if m.readOnly && !*t.ReadOnly {
			switch {
			case sub:
				return refuse("cannot set transaction read-write mode inside a read-only transaction")
			case s.tx.queried:
				return refuse("transaction read-write mode must be set before any query")
			}
		}
		m.readOnly = *t.ReadOnly
	}
	if t.Deferrable != nil {
		switch {
		case sub:
			return refuse("SET TRANSACTION [NOT] DEFERRABLE cannot be called within a subtransaction")
		case s.tx.queried:
			return refuse("SET TRANSACTION [NOT] DEFERRABLE must be called before any query")
		}
		m.deferrable = *t.Deferrable
	}
	return nil
}

// setting gives transaction_isolation and its kin.
func (m txModes) setting(name string) (string, bool) {
	switch name {
	case "transaction_isolation":
		return m.isolation, true
	case "transaction_read_only":
		return onOff(m.readOnly), true
	case "transaction_deferrable":
		return onOff(m.deferrable), true
	}
	return "", false
}

// modeSetting makes SET transaction_isolation and its kin the modes that SET TRANSACTION would name; nil for other settings.
func modeSetting(name, value string) *ast.Transaction {
	t := &ast.Transaction{Kind: "set transaction"}
	on := value == "on"
	switch name {
	case "transaction_isolation":
		t.Isolation = value
	case "transaction_read_only":
		t.ReadOnly = &on
	case "transaction_deferrable":
		t.Deferrable = &on
	default:
		return nil
	}
	return t
}
