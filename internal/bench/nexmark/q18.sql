-- Last bid: the last bid that each user made on each auction.
SELECT auction, bidder, price, channel, url, date_time, extra
FROM (
  SELECT *, row_number() OVER (PARTITION BY bidder, auction ORDER BY date_time DESC, price DESC, extra) AS rank_number
  FROM bid
) B
WHERE rank_number <= 1
