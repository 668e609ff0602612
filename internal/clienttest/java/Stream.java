import java.sql.*;
import java.util.*;

/** Reads an endless query with pgjdbc in each way it has, cancels it, and asks for the metadata that tools ask for. */
public class Stream {
    static final String QUERY = "SELECT auction, price FROM ticks EMIT CHANGES";
    static String url;

    interface Body { void run() throws Exception; }

    static void check(String what, boolean ok, Object detail) {
        System.out.println(String.join("\t", "check", "pgjdbc", what, ok ? "ok" : "wrong", String.valueOf(detail).replaceAll("\\s+", " ")));
    }

    static void guarded(String what, Body b) {
        try { b.run(); } catch (Exception e) { check(what, false, e); }
    }

    static String show(double s) { return s < 0 ? "-" : String.format(Locale.ROOT, "%.3f", s); }

    static boolean usable(Connection c) throws SQLException {
        if (!c.getAutoCommit()) c.rollback();
        try (Statement s = c.createStatement(); ResultSet r = s.executeQuery("SELECT 1")) { return r.next() && r.getInt(1) == 1; }
    }

    static double since(long start) { return (System.nanoTime() - start) / 1e9; }

    static void stream(String mode, boolean autoCommit, int fetchSize, int maxRows) throws Exception {
        try (Connection c = DriverManager.getConnection(url)) {
            c.setAutoCommit(autoCommit);
            Statement s = c.createStatement();
            s.setFetchSize(fetchSize);
            s.setMaxRows(maxRows);
            long start = System.nanoTime();
            double first = -1;
            long[] cancelled = {0};
            boolean ends = fetchSize > 0 && !autoCommit || maxRows > 0;
            Thread t = new Thread(() -> {
                try { Thread.sleep(600); cancelled[0] = System.nanoTime(); s.cancel(); } catch (Exception e) { /* the row shows that nothing was cancelled */ }
            });
            if (!ends) t.start();
            String state = "ended";
            try (ResultSet r = s.executeQuery(QUERY)) {
                int n = 0;
                while (r.next()) {
                    if (first < 0) first = since(start);
                    if (ends && ++n >= 12) { cancelled[0] = System.nanoTime(); break; } // the portal is closed with the result
                }
            } catch (SQLException e) { state = e.getSQLState(); }
            boolean ok = usable(c);
            double took = cancelled[0] == 0 ? -1 : since(cancelled[0]);
            if (!ends) t.join();
            System.out.println(String.join("\t", "row", "pgjdbc", mode, show(first), show(took), state.equals("ended") ? "-" : state, ok ? "yes" : "no"));
        }
    }

    static int rows(ResultSet r) throws SQLException {
        int n = 0, width = r.getMetaData().getColumnCount();
        while (r.next()) { n++; for (int i = 1; i <= width; i++) r.getObject(i); }
        r.close();
        return n;
    }

    static void metadata() throws Exception {
        try (Connection c = DriverManager.getConnection(url)) {
            DatabaseMetaData m = c.getMetaData();
            System.out.println("version\tpgjdbc\t" + m.getDriverVersion());
            Map<String, String> kinds = new TreeMap<>();
            try (ResultSet r = m.getTables(null, "public", "%", null)) {
                while (r.next()) kinds.put(r.getString("TABLE_NAME"), r.getString("TABLE_TYPE"));
            }
            check("getTables: table", "TABLE".equals(kinds.get("item")), kinds);
            check("getTables: view", "VIEW".equals(kinds.get("item_view")), kinds);
            check("getTables: materialized view", "MATERIALIZED VIEW".equals(kinds.get("item_mv")), kinds);
            check("getTables: source", "FOREIGN TABLE".equals(kinds.get("ticks")), kinds);
            StringBuilder cols = new StringBuilder();
            try (ResultSet r = m.getColumns(null, "public", "item", "%")) {
                while (r.next()) cols.append(r.getString("COLUMN_NAME")).append(':').append(r.getString("TYPE_NAME")).append(':').append(r.getInt("DATA_TYPE")).append(':').append(r.getInt("COLUMN_SIZE")).append(':').append(r.getString("IS_NULLABLE")).append(' ');
            }
            check("getColumns", cols.toString().equals("id:int4:4:10:NO name:varchar:12:80:YES price:numeric:2:12:YES at:timestamptz:93:35:YES tags:_text:2003:2147483647:YES "), cols);
            try (ResultSet r = m.getPrimaryKeys(null, "public", "item")) {
                check("getPrimaryKeys", r.next() && r.getString("COLUMN_NAME").equals("id") && r.getString("PK_NAME").equals("item_pkey") && !r.next(), "");
            }
            guarded("getIndexInfo", () -> check("getIndexInfo", rows(m.getIndexInfo(null, "public", "item", false, true)) == 1, ""));
            guarded("getSchemas", () -> check("getSchemas", rows(m.getSchemas()) >= 3, ""));
            guarded("getCatalogs", () -> check("getCatalogs", rows(m.getCatalogs()) >= 1, ""));
            guarded("getTypeInfo", () -> check("getTypeInfo", rows(m.getTypeInfo()) > 50, ""));
            guarded("getImportedKeys", () -> check("getImportedKeys", rows(m.getImportedKeys(null, "public", "item")) == 0, ""));
            guarded("getExportedKeys", () -> check("getExportedKeys", rows(m.getExportedKeys(null, "public", "item")) == 0, ""));
            guarded("getFunctions", () -> check("getFunctions", rows(m.getFunctions(null, "pg_catalog", "abs")) >= 5, ""));
            guarded("getProcedures", () -> check("getProcedures", rows(m.getProcedures(null, null, "%")) >= 0, ""));
            guarded("getFunctionColumns", () -> check("getFunctionColumns", rows(m.getFunctionColumns(null, "pg_catalog", "abs", null)) > 5, ""));
            guarded("getTablePrivileges", () -> check("getTablePrivileges", rows(m.getTablePrivileges(null, "public", "item")) > 0, ""));
            guarded("getColumnPrivileges", () -> check("getColumnPrivileges", rows(m.getColumnPrivileges(null, "public", "item", "%")) > 0, ""));
            guarded("getBestRowIdentifier", () -> check("getBestRowIdentifier", rows(m.getBestRowIdentifier(null, "public", "item", 2, false)) == 1, ""));
            guarded("getVersionColumns", () -> check("getVersionColumns", rows(m.getVersionColumns(null, "public", "item")) == 1, ""));
            guarded("getUDTs", () -> check("getUDTs", rows(m.getUDTs(null, null, "%", null)) >= 0, ""));
            guarded("getClientInfoProperties", () -> check("getClientInfoProperties", rows(m.getClientInfoProperties()) == 1, ""));
            guarded("getCrossReference", () -> check("getCrossReference", rows(m.getCrossReference(null, "public", "item", null, "public", "item")) == 0, ""));
            guarded("keywords and functions", () -> check("keywords and functions", m.getSQLKeywords().length() > 100 && m.getMaxColumnNameLength() == 63, m.getMaxColumnNameLength()));
        }
    }

    static void work() throws Exception {
        try (Connection c = DriverManager.getConnection(url)) {
            try (Statement s = c.createStatement()) { s.execute("CREATE TABLE jdbc (id int PRIMARY KEY, name text, price numeric, at timestamptz, ok boolean, b bytea, u uuid)"); }
            try (PreparedStatement p = c.prepareStatement("INSERT INTO jdbc VALUES (?, ?, ?, ?, ?, ?, ?)")) {
                for (int i = 0; i < 100; i++) {
                    p.setInt(1, i);
                    p.setString(2, "n" + i);
                    p.setBigDecimal(3, new java.math.BigDecimal(i + ".25"));
                    p.setTimestamp(4, new Timestamp(1700000000000L + i));
                    p.setBoolean(5, i % 2 == 0);
                    p.setBytes(6, new byte[] {(byte) i, 0, -1});
                    p.setObject(7, new UUID(i, i));
                    p.addBatch();
                }
                check("batch", Arrays.stream(p.executeBatch()).sum() == 100, "");
            }
            // From the fifth run on the driver names its statement and asks for binary results.
            try (PreparedStatement p = c.prepareStatement("SELECT * FROM jdbc WHERE id = ?")) {
                for (int i = 0; i < 10; i++) {
                    p.setInt(1, i);
                    try (ResultSet r = p.executeQuery()) {
                        check("prepared run " + i, r.next() && r.getString(2).equals("n" + i) && r.getBigDecimal(3).toString().equals(i + ".25") && r.getTimestamp(4).getTime() == 1700000000000L + i
                            && r.getBoolean(5) == (i % 2 == 0) && Arrays.equals(r.getBytes(6), new byte[] {(byte) i, 0, -1}) && r.getObject(7).equals(new UUID(i, i)) && !r.next(), "");
                    }
                }
            }
            c.setAutoCommit(false);
            try (Statement s = c.createStatement()) {
                s.setFetchSize(7);
                try (ResultSet r = s.executeQuery("SELECT id FROM jdbc ORDER BY id")) {
                    int n = 0;
                    while (r.next()) {
                        n++;
                        if (n == 10) try (Statement other = c.createStatement(); ResultSet o = other.executeQuery("SELECT count(*) FROM jdbc")) { // two open portals
                            check("query beside an open cursor", o.next() && o.getInt(1) == 100, "");
                        }
                    }
                    check("cursor of fetch size 7", n == 100, n);
                }
                try { s.execute("SELECT nope FROM jdbc"); check("error", false, "none"); } catch (SQLException e) { check("error", e.getSQLState().equals("42703"), e); }
                try { s.execute("SELECT 1"); check("failed transaction", false, "none"); } catch (SQLException e) { check("failed transaction", e.getSQLState().equals("25P02"), e); }
                c.rollback();
                Savepoint sp = c.setSavepoint();
                s.executeUpdate("DELETE FROM jdbc WHERE id < 50");
                c.rollback(sp);
                try (ResultSet r = s.executeQuery("SELECT count(*) FROM jdbc")) { check("savepoint", r.next() && r.getInt(1) == 100, ""); }
                c.commit();
            }
            c.setAutoCommit(true);
            try (Statement s = c.createStatement(); ResultSet r = s.executeQuery("INSERT INTO jdbc (id) VALUES (1000) RETURNING id")) { check("RETURNING", r.next() && r.getInt(1) == 1000, ""); }
            try (Statement s = c.createStatement()) {
                s.setQueryTimeout(1);
                long start = System.nanoTime();
                try { s.execute("SELECT pg_sleep(20)"); check("query timeout", false, "none"); } catch (SQLException e) { check("query timeout", e.getSQLState().equals("57014") && since(start) < 2, since(start) + " " + e); }
            }
            check("isolation", c.getTransactionIsolation() > 0 && c.isValid(2), c.getTransactionIsolation());
        }
    }

    public static void main(String[] args) {
        url = "jdbc:postgresql://127.0.0.1:" + args[0] + "/db?user=tester&password=";
        guarded("stream", () -> stream("default", true, 0, 0));
        guarded("stream", () -> stream("fetchSize 1, autocommit off", false, 1, 0));
        guarded("stream", () -> stream("fetchSize 10, autocommit off", false, 10, 0));
        guarded("stream", () -> stream("maxRows 10", true, 0, 10));
        guarded("metadata", Stream::metadata);
        guarded("work", Stream::work);
        System.exit(0);
    }
}
