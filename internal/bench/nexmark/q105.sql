-- The thousand auctions with the most bids: Top-N over an aggregate.
SELECT A.id, A.item_name, count(B.auction) AS bid_count
FROM auction A
JOIN bid B ON A.id = B.auction
GROUP BY A.id, A.item_name
ORDER BY bid_count DESC, A.id
LIMIT 1000
