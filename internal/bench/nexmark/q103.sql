-- Auctions with at least twenty bids: a semi join.
SELECT A.id, A.item_name
FROM auction A
WHERE A.id IN (SELECT auction FROM bid GROUP BY auction HAVING count(*) >= 20)
