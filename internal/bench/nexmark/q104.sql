-- Auctions that do not have fewer than twenty bids: an anti join.
SELECT A.id, A.item_name
FROM auction A
WHERE A.id NOT IN (SELECT auction FROM bid GROUP BY auction HAVING count(*) < 20)
