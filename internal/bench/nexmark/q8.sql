-- Monitor new users: people who registered and opened an auction within the same ten seconds.
-- forms: changes close view
SELECT P.id, P.name, P.starttime
FROM (
  SELECT id, name, window_start AS starttime, window_end AS endtime
  FROM TUMBLE(person, date_time, INTERVAL '10' SECOND)
  GROUP BY id, name, window_start, window_end
) P
JOIN (
  SELECT seller, window_start AS starttime, window_end AS endtime
  FROM TUMBLE(auction, date_time, INTERVAL '10' SECOND)
  GROUP BY seller, window_start, window_end
) A
ON P.id = A.seller AND P.starttime = A.starttime AND P.endtime = A.endtime

-- postgres
SELECT DISTINCT P.id, P.name, date_bin('10 s', P.date_time, timestamp '1970-01-01') AS starttime
FROM person P JOIN auction A ON P.id = A.seller
  AND date_bin('10 s', P.date_time, timestamp '1970-01-01') = date_bin('10 s', A.date_time, timestamp '1970-01-01')
