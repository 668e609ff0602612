-- The lowest of the prices that auctions were won with: a least over greatest ones, which rise.
SELECT min(final) AS min_final
FROM (
  SELECT A.id, max(B.price) AS final
  FROM auction A, bid B
  WHERE A.id = B.auction AND B.date_time BETWEEN A.date_time AND A.expires
  GROUP BY A.id
) F
