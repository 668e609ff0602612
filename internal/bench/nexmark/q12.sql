-- Windows of time by user. The original counts by processing time; by event time the answer can be told in advance.
-- forms: changes close view
SELECT bidder, count(*) AS bid_count, window_start AS starttime, window_end AS endtime
FROM TUMBLE(bid, date_time, INTERVAL '10' SECOND)
GROUP BY bidder, window_start, window_end

-- postgres
SELECT bidder, count(*) AS bid_count, s AS starttime, s + interval '10 s' AS endtime
FROM (SELECT bidder, date_bin('10 s', date_time, timestamp '1970-01-01') AS s FROM bid) b
GROUP BY bidder, s
