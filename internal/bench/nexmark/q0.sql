-- Pass through: what reading and handing out rows costs by itself.
-- forms: changes
SELECT auction, bidder, price, date_time, extra
FROM bid
