-- The ten highest bids of each auction, with their rank.
SELECT *
FROM (
  SELECT *, row_number() OVER (PARTITION BY auction ORDER BY price DESC, date_time, bidder, extra) AS rank_number
  FROM bid
) B
WHERE rank_number <= 10
