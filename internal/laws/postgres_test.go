package laws

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"streamsql/internal/pgtest"
)

// postgresServer is a private PostgreSQL server.
type postgresServer struct {
	url     string
	schemas int
}

// postgres is a connection to it with tables of its own.
type postgres struct{ c *pgx.Conn }

// startPostgres starts a server for the time of the test.
func startPostgres(t *testing.T) (*postgresServer, error) {
	s, err := pgtest.Start()
	if err != nil {
		return nil, err
	}
	t.Cleanup(s.Stop)
	return &postgresServer{url: s.URL("postgres") + "&default_query_exec_mode=simple_protocol"}, nil
}

// connect makes a connection with empty tables.
func (s *postgresServer) connect(t *testing.T) (*postgres, error) {
	ctx := context.Background()
	c, err := pgx.Connect(ctx, s.url)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { c.Close(ctx) })
	s.schemas++
	name := fmt.Sprintf("laws%d", s.schemas)
	if _, err := c.Exec(ctx, "CREATE SCHEMA "+name+"; SET search_path = "+name); err != nil {
		return nil, err
	}
	p := &postgres{c}
	return p, p.createTables()
}

func (p *postgres) createTables() error {
	for _, name := range relationNames {
		var cols []string
		for _, c := range relations[name].rel.Columns {
			cols = append(cols, c.Name+" "+c.Type.Format())
		}
		if _, err := p.c.Exec(context.Background(), fmt.Sprintf("CREATE UNLOGGED TABLE %s (%s)", name, strings.Join(cols, ", "))); err != nil {
			return err
		}
	}
	return nil
}

// load replaces the tables' rows by what the input amounts to.
func (p *postgres) load(in *input) error {
	ctx := context.Background()
	if _, err := p.c.Exec(ctx, "TRUNCATE "+strings.Join(relationNames, ", ")); err != nil {
		return err
	}
	for _, name := range relationNames {
		var b bytes.Buffer
		for _, e := range in.content(name, len(in.events[name])) {
			b.WriteString(strings.Join(e.row, "\t"))
			b.WriteByte('\n')
		}
		if _, err := p.c.PgConn().CopyFrom(ctx, &b, "COPY "+name+" FROM STDIN"); err != nil {
			return err
		}
	}
	return nil
}

// check compares the answer to a query with PostgreSQL's.
func (p *postgres) check(c *compiled, in *input) error {
	sql := c.pg
	if sql == "" {
		sql = c.sql
	}
	sql = expand(sql, true)
	res, theirErr := p.c.PgConn().Exec(context.Background(), sql).ReadAll()
	ours, err := answer(c.batch, in, schedule{rows: 8192})
	var pe *pgconn.PgError
	if theirErr != nil && !errors.As(theirErr, &pe) {
		return theirErr
	}
	if theirErr != nil || err != nil {
		code := ""
		if pe != nil {
			code = pe.Code
		}
		if sqlstate(err) != code {
			return fmt.Errorf("  PostgreSQL: error %v instead of %v\n  %s", err, theirErr, sql)
		}
		return nil
	}
	var rows [][]string
	for _, r := range res[0].Rows {
		row := make([]string, len(r))
		for i, x := range r {
			row[i] = null
			if x != nil {
				row[i] = string(x)
			}
		}
		rows = append(rows, row)
	}
	if d := c.same(bagOf(ours), bagOf(rows)); d != "" {
		return fmt.Errorf("  PostgreSQL:\n%s\n  %s", d, sql)
	}
	if c.ordered && !c.loose {
		for i := range rows {
			if a, b := strings.Join(ours[i], sep), strings.Join(rows[i], sep); a != b {
				return fmt.Errorf("  PostgreSQL: row %d is %s instead of %s", i, a, b)
			}
		}
	}
	return nil
}
