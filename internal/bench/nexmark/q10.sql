-- Log to files: what a sink that is partitioned by day and minute is given.
-- event_rate: 1
-- forms: changes
SELECT auction, bidder, price, date_time, extra,
  to_char(date_time, 'YYYY-MM-DD') AS dt, to_char(date_time, 'HH24:MI') AS hm, extract(doy FROM date_time) AS doy
FROM bid
