-- Bids with the bidder, and what the bidder sells: a join of three.
SELECT B.auction, B.bidder, B.price, B.date_time, P.name, P.city, A.id, A.item_name, A.reserve
FROM bid B
JOIN person P ON P.id = B.bidder
JOIN auction A ON A.seller = B.bidder
