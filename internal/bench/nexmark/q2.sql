-- Selection: the bids on some auctions.
-- forms: changes
SELECT auction, price
FROM bid
WHERE auction % 123 = 0
