-- Average selling price by seller: over the last ten auctions that a seller has closed. A window of rows over input
-- that is taken back, as the winning bid of an auction changes with every higher one.
SELECT Q.seller, Q.id, avg(Q.final) OVER (PARTITION BY Q.seller ORDER BY Q.expires, Q.id ROWS BETWEEN 9 PRECEDING AND CURRENT ROW) AS average
FROM (
  SELECT A.seller, A.id, A.expires, B.price AS final,
    row_number() OVER (PARTITION BY A.id ORDER BY B.price DESC, B.date_time, B.bidder) AS place
  FROM auction A JOIN bid B ON A.id = B.auction
  WHERE B.date_time BETWEEN A.date_time AND A.expires
) Q
WHERE Q.place = 1
