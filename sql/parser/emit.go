package parser

import (
	"streamsql/internal/pgerr"
	"streamsql/sql/parser/ast"
)

// emitAhead says whether an EMIT clause begins here. EMIT is no reserved word:
// it needs one of its own words after it, and ON two, because a table may be
// called emit in JOIN emit ON ...
func (p *parser) emitAhead() bool {
	if !p.is("emit") {
		return false
	}
	k := 1
	if p.peek(1).isWord("stream") {
		k = 2
	}
	t := p.peek(k)
	if t.kind != tIdent || t.quoted {
		return false
	}
	n := p.peek(k + 1)
	switch t.text {
	case "changes", "final", "periodic":
		return true
	case "on":
		return n.isWord("update") || n.isWord("window")
	case "after":
		return n.isWord("window") || n.isWord("watermark") || n.isWord("delay")
	}
	return false
}

// emit lowers an EMIT clause; slot lowers an expression for a field of it.
func (p *parser) emit(slot func(dst *ast.Expr, min int)) *ast.Emit {
	e := &ast.Emit{Pos: p.pos()}
	p.sawEmit = true
	p.next()
	p.accept("stream")
	// Intervals bind more strongly than AND, which joins triggers.
	interval := func(dst *ast.Expr) { slot(dst, precOp) }
	p.trigger(e, interval)
	for p.is("and") {
		first, pos := e.Trigger, p.pos()
		p.next()
		p.trigger(e, interval)
		if !(first == ast.EmitAfterDelay && e.Trigger == ast.EmitOnClose || first == ast.EmitOnClose && e.Trigger == ast.EmitAfterDelay) {
			p.fail(pgerr.New(pgerr.FeatureNotSupported, "these EMIT triggers cannot be combined").
				WithHint("Only EMIT AFTER DELAY i AND AFTER WATERMARK combines two triggers.").At(pos))
		}
		e.Trigger = ast.EmitAfterDelayAndClose
	}
	for p.emitOption(e, interval) {
	}
	if p.accept("limit") {
		slot(&e.Limit, precOr)
	}
	return e
}

func (p *parser) trigger(e *ast.Emit, interval func(*ast.Expr)) {
	switch {
	case p.accept("changes"):
		e.Trigger = ast.EmitChanges
	case p.accept("on", "update"):
		e.Trigger = ast.EmitOnUpdate
		if p.accept("with", "batch") {
			interval(&e.Batch)
		}
	case p.accept("on", "window", "close"), p.accept("after", "window", "close"), p.accept("after", "watermark"), p.accept("final"):
		e.Trigger = ast.EmitOnClose
	case p.accept("after", "delay"):
		e.Trigger = ast.EmitAfterDelay
		interval(&e.Delay)
	case p.accept("periodic"):
		e.Trigger = ast.EmitPeriodic
		interval(&e.Period)
		e.Repeat = p.accept("repeat")
	default:
		if p.is("after") || p.is("on") {
			p.next()
		}
		p.fail(p.syntaxError().WithHint("EMIT takes CHANGES, ON UPDATE, ON WINDOW CLOSE, AFTER WATERMARK, AFTER DELAY, FINAL or PERIODIC."))
	}
}

func (p *parser) emitOption(e *ast.Emit, interval func(*ast.Expr)) bool {
	switch {
	case p.accept("with", "delay"):
		interval(&e.Hold)
	case p.accept("allowed", "lateness"):
		interval(&e.Lateness)
	case p.is("timeout"):
		p.next()
		interval(&e.Timeout)
	case p.accept("late"):
		switch {
		case p.accept("drop"):
			e.Late = "drop"
		case p.accept("error"):
			e.Late = "error"
		case p.accept("into"):
			e.Late = "into"
			e.LateInto = p.name()
		default:
			p.fail(p.syntaxError().WithHint("LATE takes DROP, ERROR or INTO and a table's name."))
		}
	case p.is("as"):
		e.AsPos = p.pos()
		p.next()
		switch {
		case p.accept("changelog"):
			e.As = "changelog"
		case p.accept("append"):
			e.As = "append"
		case p.accept("upsert"):
			e.As = "upsert"
			if p.accept("key") {
				e.KeyPos = p.pos()
				e.Key = p.nameList()
			}
		default:
			p.fail(p.syntaxError().WithHint("EMIT .. AS takes CHANGELOG, UPSERT or APPEND."))
		}
	case p.is("with") && p.peek(1).isOp("("):
		if p.inSink && !p.peek(2).isWord("snapshot") && !p.peek(2).isWord("progress") {
			return false // the options of the sink
		}
		p.next()
		for _, o := range p.options() {
			switch o.Name {
			case "snapshot":
				e.Snapshot = p.boolOption(o)
			case "progress":
				e.Progress = p.boolOption(o)
			default:
				hint := "EMIT .. WITH takes SNAPSHOT and PROGRESS."
				if n := pgerr.Nearest(o.Name, []string{"snapshot", "progress"}); n != "" {
					hint = "Perhaps you meant \"" + n + "\"."
				}
				p.fail(pgerr.New(pgerr.InvalidParameterValue, "unrecognized EMIT option \"%s\"", o.Name).WithHint("%s", hint).At(o.Pos))
			}
		}
	default:
		return false
	}
	return true
}

func (p *parser) boolOption(o ast.Option) *bool {
	v := false
	switch o.Value {
	case "true", "on", "yes", "1", "t", "y", "":
		v = true
	case "false", "off", "no", "0", "f", "n":
	default:
		p.fail(pgerr.New(pgerr.InvalidParameterValue, "%s requires a Boolean value", o.Name).At(o.ValuePos))
	}
	return &v
}

// options reads (name = value, ..) or (name value, ..). Values are strings, numbers, names and booleans.
func (p *parser) options() []ast.Option {
	p.expectOp("(")
	var out []ast.Option
	for {
		o := ast.Option{Pos: p.pos()}
		if p.tok().kind == tString {
			o.Name = p.next().text
		} else {
			o.Name = p.label()
			for p.acceptOp(".") {
				o.Name += "." + p.label()
			}
		}
		o.Name = foldASCII(o.Name)
		o.ValuePos = o.Pos
		assigned := p.acceptOp("=")
		if !p.isOp(",") && !p.isOp(")") {
			o.ValuePos = p.pos()
			o.Value = p.optionValue()
		} else if assigned {
			p.unexpected()
		}
		out = append(out, o)
		if !p.acceptOp(",") {
			break
		}
	}
	p.expectOp(")")
	return out
}

func (p *parser) optionValue() string {
	sign := ""
	if p.isOp("-") || p.isOp("+") {
		if p.next().text == "-" {
			sign = "-"
		}
	}
	switch t := p.tok(); {
	case t.kind == tInt, t.kind == tNumeric:
		p.next()
		// 10 s and 5m are written without quotes at times.
		return sign + t.text
	case sign == "" && t.kind == tString:
		p.next()
		return t.text
	case sign == "" && t.isWord("interval") && p.peek(1).kind == tString:
		p.next()
		v := p.next().text
		for _, u := range intervalUnits {
			if p.accept(u) {
				v += " " + u
			}
		}
		return v
	case sign == "" && t.kind == tIdent:
		v := p.next().text
		for p.acceptOp(".") {
			v += "." + p.label()
		}
		return v
	}
	p.unexpected()
	return ""
}
