-- User sessions: how many bids a user made in each session of activity.
-- forms: changes close view
SELECT bidder, count(*) AS bid_count, window_start AS starttime, window_end AS endtime
FROM SESSION(bid PARTITION BY bidder, date_time, INTERVAL '10' SECOND)
GROUP BY bidder, window_start, window_end

-- postgres
SELECT bidder, count(*) AS bid_count, min(date_time) AS starttime, max(date_time) + interval '10 s' AS endtime
FROM (
  SELECT *, sum(begins) OVER (PARTITION BY bidder ORDER BY date_time) AS session
  FROM (
    SELECT *, CASE WHEN date_time < lag(date_time) OVER (PARTITION BY bidder ORDER BY date_time) + interval '10 s' THEN 0 ELSE 1 END AS begins
    FROM bid
  ) b
) s
GROUP BY bidder, session
