-- Pass through: what reading and handing out rows costs by itself.
SELECT auction, bidder, price, date_time, extra
FROM bid
