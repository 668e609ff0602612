package clienttest

import (
	"os/exec"
	"strings"
	"testing"
)

// TestSQLAlchemy reflects the schema with both versions that are in use.
func TestSQLAlchemy(t *testing.T) {
	port := serve(t)
	for _, version := range []string{"python", "python14"} {
		t.Run(version, func(t *testing.T) { run(t, nil, program(t, version+"/bin/python"), "python/reflect.py", port) })
	}
}

// TestPgcli runs statements and commands with backslashes in pgcli, whose completion reads the catalogue first.
func TestPgcli(t *testing.T) {
	port := serve(t)
	cmd := exec.Command(program(t, "python/bin/pgcli"), "--less-chatty", "--warn", "off", "-h", "127.0.0.1", "-p", port, "-U", "tester", "-d", "db")
	cmd.Env = append(cmd.Environ(), "PGSSLMODE=disable", "PAGER=cat", "TERM=dumb", "HOME="+t.TempDir())
	cmd.Stdin = strings.NewReader("SELECT 40 + 2 AS answer;\n\\dt\n\\dv\n\\dm\n\\d item\n\\l\n\\df abs\n\\dn\n\\du\n\\dT\n\\q\n")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{"42", "item_view", "item_mv", "character varying(80)", "item_pkey"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("%q is not in what it prints", want)
		}
	}
	for _, bad := range []string{"does not exist", "Traceback", "syntax error", "not supported"} {
		if strings.Contains(string(out), bad) {
			t.Errorf("it prints %q", bad)
		}
	}
	if t.Failed() {
		t.Logf("%s", out)
	}
}
