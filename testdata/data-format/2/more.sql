RESUME stands;
ALTER SINK late_moods RESUME;
INSERT INTO app.person (id, code, m, amount) VALUES (50, 'dora', 'sad', 7);
INSERT INTO app.visit VALUES (50, CASE WHEN nextval('app.numbers') BETWEEN 120 AND 999 THEN 500 END);
DELETE FROM app.person WHERE code = 'bert';
INSERT INTO bag VALUES (0, 77), (1, 78);
DELETE FROM bag WHERE v = 0;
INSERT INTO pushed VALUES ('x', 10, '2026-01-01 00:00:55'), ('y', 20, '2026-01-01 00:01:59'), ('z', 40, '2026-01-01 00:02:00');
