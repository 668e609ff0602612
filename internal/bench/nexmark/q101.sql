-- Every auction with its highest bid, if any: an outer join with an aggregate.
SELECT A.id, A.item_name, B.max_price
FROM auction A
LEFT OUTER JOIN (SELECT auction, max(price) AS max_price FROM bid GROUP BY auction) B ON A.id = B.auction
