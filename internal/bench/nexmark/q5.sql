-- Hot items: the auctions with the most bids of the last ten seconds, every two seconds.
-- forms: changes close view
SELECT AuctionBids.auction, AuctionBids.num, AuctionBids.starttime
FROM (
  SELECT auction, count(*) AS num, window_start AS starttime, window_end AS endtime
  FROM HOP(bid, date_time, INTERVAL '2' SECOND, INTERVAL '10' SECOND)
  GROUP BY auction, window_start, window_end
) AS AuctionBids
JOIN (
  SELECT max(CountBids.num) AS maxn, CountBids.starttime, CountBids.endtime
  FROM (
    SELECT count(*) AS num, window_start AS starttime, window_end AS endtime
    FROM HOP(bid, date_time, INTERVAL '2' SECOND, INTERVAL '10' SECOND)
    GROUP BY auction, window_start, window_end
  ) AS CountBids
  GROUP BY CountBids.starttime, CountBids.endtime
) AS MaxBids
ON AuctionBids.starttime = MaxBids.starttime
  AND AuctionBids.endtime = MaxBids.endtime
  AND AuctionBids.num >= MaxBids.maxn

-- postgres
WITH counted AS (
  SELECT auction, count(*) AS num, s AS starttime
  FROM bid, LATERAL generate_series(date_bin('2 s', date_time, timestamp '1970-01-01') - interval '8 s',
    date_bin('2 s', date_time, timestamp '1970-01-01'), interval '2 s') AS s
  GROUP BY auction, s
)
SELECT auction, num, starttime
FROM (SELECT *, max(num) OVER (PARTITION BY starttime) AS maxn FROM counted) c
WHERE num >= maxn
