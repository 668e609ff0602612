"""Reads an endless query with psqlODBC, and asks for what tools ask for."""
import glob
import threading

import pyodbc

from report import PORT, STREAM, Clock, check, guarded, line, seen

CLIENT = "psqlODBC"
DRIVER = glob.glob("/usr/lib/*/odbc/psqlodbcw.so")[0]


def connect(options=""):
    return pyodbc.connect(f"Driver={DRIVER};Server=127.0.0.1;Port={PORT};Database=db;Uid=tester;{options}", autocommit=True)


def usable(conn):
    return conn.execute("SELECT 1").fetchone()[0] == 1


def stream(mode, options):
    """Cancelled by a second connection: with SQLCancel of another thread the query did not end, and why is not known."""
    conn = connect(options)
    pid = conn.execute("SELECT pg_backend_pid()").fetchone()[0]
    other = connect()
    cur = conn.cursor()
    clock, first, state = Clock(), [], "-"
    at = []

    def cancel():
        at.append(Clock())
        other.execute("SELECT pg_cancel_backend(?)", pid).fetchone()

    timer = threading.Timer(1.0, cancel)
    timer.start()
    try:
        cur.execute(STREAM)
        while cur.fetchone():
            if not first:
                first.append(clock())
    except pyodbc.Error as e:
        state = e.args[0]
    took = at[0]() if at else None
    timer.cancel()
    # HY008 is ODBC's own state of what was cancelled.
    line(CLIENT, mode, first[0] if first else None, took, "57014" if state in ("HY008", "57014") else state, usable(conn))
    conn.close()


def work():
    conn = connect()
    seen(CLIENT, conn.getinfo(pyodbc.SQL_DRIVER_VER))
    cur = conn.cursor()
    kinds = {r.table_name: r.table_type for r in cur.tables(schema="public")}
    check(CLIENT, "SQLTables", kinds.get("item") == "TABLE" and kinds.get("item_view") == "VIEW" and "item_mv" in kinds and "ticks" in kinds, kinds)
    columns = [(r.column_name, r.type_name) for r in cur.columns(table="item", schema="public")]
    check(CLIENT, "SQLColumns", columns == [("id", "int4"), ("name", "varchar"), ("price", "numeric"), ("at", "timestamptz"), ("tags", "_text")], columns)
    keys = [r.column_name for r in cur.primaryKeys("item", schema="public")]
    check(CLIENT, "SQLPrimaryKeys", keys == ["id"], keys)
    check(CLIENT, "SQLStatistics", len(cur.statistics("item", schema="public").fetchall()) >= 1)
    check(CLIENT, "SQLForeignKeys", len(cur.foreignKeys("item", schema="public").fetchall()) == 0)
    cur.rowIdColumns("item", schema="public").fetchall()  # what raises fails the program; which columns is the driver's choice
    cur.procedures().fetchall()
    for _ in range(3):
        r = cur.execute("SELECT name, price FROM item WHERE id = ?", 1).fetchone()
        check(CLIENT, "prepared", r[0] == "one" and str(r[1]) == "1.25", r)
    cur.execute("CREATE TABLE odbc (id int, name text)")
    cur.executemany("INSERT INTO odbc VALUES (?, ?)", [(i, f"n{i}") for i in range(20)])
    check(CLIENT, "executemany", cur.execute("SELECT count(*) FROM odbc").fetchone()[0] == 20)
    try:
        cur.execute("SELECT nope FROM odbc")
        check(CLIENT, "error", False)
    except pyodbc.Error as e:
        check(CLIENT, "error", e.args[0] in ("42703", "42S22"), e)


guarded(CLIENT, "work", work)
guarded(CLIENT, "SELECT", lambda: stream("SELECT", ""))
guarded(CLIENT, "UseDeclareFetch", lambda: stream("UseDeclareFetch, Fetch=1", "UseDeclareFetch=1;Fetch=1"))
