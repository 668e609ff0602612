"""Reads an endless query with psycopg2, psycopg 3 and asyncpg in each way they have, and cancels it."""
import asyncio
import threading
import time

import asyncpg
import psycopg
import psycopg2

from report import PORT, STREAM, Clock, check, guarded, line, seen

DSN = f"host=127.0.0.1 port={PORT} user=tester dbname=db"


def cancel_later(cancel, after=0.4):
    """Calls cancel from another thread; the list that it returns then holds the clock of that moment."""
    at = []

    def run():
        time.sleep(after)
        at.append(Clock())
        cancel()

    threading.Thread(target=run, daemon=True).start()
    return at


def usable(conn):
    conn.rollback()
    cur = conn.cursor()
    cur.execute("SELECT 1")
    return cur.fetchone() == (1,)


def psycopg2_mode(mode, read):
    conn = psycopg2.connect(DSN)
    clock, first = Clock(), []
    at = []
    try:
        at = read(conn, lambda: first.append(clock()) if not first else None)
        state = "ended"
    except psycopg2.Error as e:
        state = e.pgcode
    except _Cancelled as e:
        state, at = e.state, e.at
    took = at[0]() if at else None
    line("psycopg2", mode, first[0] if first else None, took, state, usable(conn))
    conn.close()


class _Cancelled(Exception):
    def __init__(self, state, at):
        self.state, self.at = state, at


def read_until_cancelled(rows, cancel, got, error, after=0.4):
    at = cancel_later(cancel, after)
    try:
        for _ in rows():
            got()
    except error as e:
        raise _Cancelled(getattr(e, "pgcode", None) or getattr(e, "sqlstate", None), at)
    return at


def run_psycopg2():
    client = "psycopg2"
    seen(client, psycopg2.__version__)

    def default(conn, got):
        cur = conn.cursor()

        def rows():
            cur.execute(STREAM)
            yield from cur

        return read_until_cancelled(rows, conn.cancel, got, psycopg2.Error)

    def named(size):
        def run(conn, got):
            cur = conn.cursor("c")
            cur.itersize = size

            def rows():
                cur.execute(STREAM)
                yield from cur

            return read_until_cancelled(rows, conn.cancel, got, psycopg2.Error, 0.4 + size / 10)

        return run

    def copy(conn, got):
        class Sink:
            def write(self, data):
                got()

        cur = conn.cursor()
        return read_until_cancelled(
            lambda: cur.copy_expert(f"COPY ({STREAM}) TO STDOUT", Sink()) or [], conn.cancel, got, psycopg2.Error)

    for mode, run in [("cursor", default), ("named cursor, itersize 1", named(1)), ("named cursor, itersize 10", named(10)), ("copy_expert", copy)]:
        guarded(client, mode, lambda: psycopg2_mode(mode, run))


def run_psycopg3():
    client = "psycopg 3"
    seen(client, psycopg.__version__)

    def mode(name, rows):
        conn = psycopg.connect(DSN)
        clock, first = Clock(), []
        at, state = [], "ended"
        try:
            at = read_until_cancelled(lambda: rows(conn), conn.cancel, lambda: first.append(clock()) if not first else None, psycopg.Error)
        except _Cancelled as e:
            state, at = e.state, e.at
        took = at[0]() if at else None
        line(client, name, first[0] if first else None, took, state, usable(conn))
        conn.close()

    def copy(conn):
        with conn.cursor().copy(f"COPY ({STREAM}) TO STDOUT") as c:
            yield from c

    def named(conn):
        with conn.cursor(name="nc") as cur:
            cur.itersize = 1
            cur.execute(STREAM)
            yield from cur

    def with_parameter(conn):
        with conn.cursor(name="np") as cur:
            cur.itersize = 1
            cur.execute("SELECT auction, price FROM ticks WHERE price > %s EMIT CHANGES", (-1,))
            yield from cur

    guarded(client, "cursor", lambda: mode("cursor", lambda c: c.execute(STREAM)))
    guarded(client, "stream()", lambda: mode("stream()", lambda c: c.cursor().stream(STREAM)))
    guarded(client, "stream() binary", lambda: mode("stream() binary", lambda c: c.cursor(binary=True).stream(STREAM)))
    guarded(client, "named cursor", lambda: mode("named cursor, itersize 1", named))
    guarded(client, "named cursor with parameter", lambda: mode("named cursor with parameter", with_parameter))
    guarded(client, "copy()", lambda: mode("copy()", copy))

    def timeout():
        with psycopg.connect(DSN) as conn:
            conn.execute("DECLARE t CURSOR FOR SELECT auction FROM never EMIT CHANGES")
            clock = Clock()
            n = len(conn.execute("FETCH 5 FROM t WITH (timeout = '300ms')").fetchall())
            check(client, "FETCH WITH (timeout) returns early", n == 0 and 0.2 < clock() < 1.5, f"{n} rows after {clock():.2f} s")
            # Without it FETCH waits for its rows, also of a query that gives none.
            at = cancel_later(conn.cancel, 0.6)
            clock = Clock()
            try:
                conn.execute("FETCH 5 FROM t")
                check(client, "FETCH blocks", False, f"ended after {clock():.2f} s")
            except psycopg.errors.QueryCanceled:
                check(client, "FETCH blocks and is cancelled", clock() > 0.5 and at[0]() < 0.5, f"{clock():.2f} s")
            conn.rollback()

    guarded(client, "FETCH WITH (timeout)", timeout)


async def asyncpg_mode(mode, read):
    conn = await asyncpg.connect(host="127.0.0.1", port=int(PORT), user="tester", database="db")
    clock, first = Clock(), []
    at, state = [], "ended"

    async def run():
        await read(conn, lambda: first.append(clock()) if not first else None)

    task = asyncio.ensure_future(run())
    await asyncio.sleep(1.0)
    stopped = Clock()
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        state = "57014"  # the driver sends the request and takes the answer itself
    except asyncpg.PostgresError as e:
        state = e.sqlstate
    after = await conn.fetchval("SELECT 1") == 1
    line("asyncpg", mode, first[0] if first else None, stopped(), state, after)
    await conn.close()


def run_asyncpg():
    seen("asyncpg", asyncpg.__version__)

    async def cursor(conn, got):
        async with conn.transaction():
            async for _ in conn.cursor(STREAM, prefetch=5):
                got()

    async def fetch(conn, got):
        await conn.fetch(STREAM)
        got()

    async def copy(conn, got):
        async def sink(data):
            got()

        await conn.copy_from_query(STREAM, output=sink)

    for mode, read in [("cursor, prefetch 5", cursor), ("fetch()", fetch), ("copy_from_query()", copy)]:
        guarded("asyncpg", mode, lambda: asyncio.run(asyncpg_mode(mode, read)))


run_psycopg2()
run_psycopg3()
run_asyncpg()
