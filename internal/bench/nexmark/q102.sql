-- Auctions with more bids than the average: a filter whose bound moves. nullif: before the first bid the original would
-- divide by zero, which ends a continuous query.
SELECT A.id, A.item_name, count(B.auction) AS bid_count
FROM auction A
JOIN bid B ON A.id = B.auction
GROUP BY A.id, A.item_name
HAVING count(B.auction) >= (SELECT count(*) / nullif(count(DISTINCT auction), 0) FROM bid)
