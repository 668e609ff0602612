-- Bounded side input: each bid with the value that a bounded relation has for its auction.
-- forms: changes
SELECT B.auction, B.bidder, B.price, B.date_time, S.value
FROM bid B
JOIN side_input S ON B.auction % 10000 = S.key
