"""Reflects a schema with SQLAlchemy of the version that is installed, and runs its everyday work."""
import sqlalchemy
from sqlalchemy import MetaData, Table, create_engine, inspect, select, text

from report import PORT, check, guarded, seen

CLIENT = "SQLAlchemy " + ".".join(sqlalchemy.__version__.split(".")[:2])


def reflect():
    seen(CLIENT, sqlalchemy.__version__)
    engine = create_engine(f"postgresql+psycopg2://tester@127.0.0.1:{PORT}/db")
    i = inspect(engine)
    check(CLIENT, "get_schema_names", "public" in i.get_schema_names(), i.get_schema_names())
    check(CLIENT, "get_table_names", "item" in i.get_table_names(), i.get_table_names())
    views = i.get_view_names() + (i.get_materialized_view_names() if hasattr(i, "get_materialized_view_names") else [])
    check(CLIENT, "get_view_names", {"item_view", "item_mv"} <= set(views), views)
    columns = [(c["name"], str(c["type"]), c["nullable"]) for c in i.get_columns("item")]
    want = [("id", "INTEGER", False), ("name", "VARCHAR(80)", True), ("price", "NUMERIC(12, 2)", True), ("at", "TIMESTAMP", True)]
    check(CLIENT, "get_columns", columns[:4] == want and columns[4][0] == "tags" and i.get_columns("item")[3]["type"].timezone, columns)
    for relation in ("item_view", "item_mv", "ticks"):
        check(CLIENT, "get_columns of " + relation, len(i.get_columns(relation)) >= 2)
    key = i.get_pk_constraint("item")
    check(CLIENT, "get_pk_constraint", key["constrained_columns"] == ["id"] and key["name"] == "item_pkey", key)
    for what in ("get_foreign_keys", "get_indexes", "get_unique_constraints", "get_check_constraints"):
        check(CLIENT, what, getattr(i, what)("item") == [], getattr(i, what)("item"))
    check(CLIENT, "get_table_comment", i.get_table_comment("item") == {"text": None})
    check(CLIENT, "get_view_definition", "item" in i.get_view_definition("item_view"))
    check(CLIENT, "get_enums", isinstance(i.get_enums(), list))
    item = Table("item", MetaData(), autoload_with=engine)
    with engine.connect() as conn:
        rows = conn.execute(select(item.c.name, item.c.price, item.c.tags).order_by(item.c.id)).fetchall()
        check(CLIENT, "select", rows[0][0] == "one" and str(rows[0][1]) == "1.25" and rows[0][2] == ["a", "b"], rows)
        streamed = conn.execution_options(stream_results=True).execute(text("SELECT auction FROM ticks EMIT CHANGES"))
        check(CLIENT, "stream_results", streamed.fetchone() is not None)
        streamed.close()
        conn.rollback() if hasattr(conn, "rollback") else None
    meta = MetaData()
    made = Table("made_" + CLIENT[11:].replace(".", "_"), meta, sqlalchemy.Column("id", sqlalchemy.Integer, primary_key=True),
                 sqlalchemy.Column("name", sqlalchemy.String(20)))
    meta.create_all(engine)
    with engine.begin() as conn:
        conn.execute(made.insert(), [{"id": n, "name": f"n{n}"} for n in range(5)])
    with engine.connect() as conn:
        check(CLIENT, "insert", len(conn.execute(select(made.c.id)).fetchall()) == 5)
    meta.drop_all(engine)


guarded(CLIENT, "reflect", reflect)
