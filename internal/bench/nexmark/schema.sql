-- The relations of Nexmark. $EVENTS and $EVENT_RATE (events a second of event time) stand for numbers.
CREATE SOURCE person (WATERMARK FOR date_time AS date_time - INTERVAL '4 seconds')
  WITH (connector = 'nexmark', table = 'person', events = '$EVENTS', event_rate = '$EVENT_RATE');
CREATE SOURCE auction (WATERMARK FOR date_time AS date_time - INTERVAL '4 seconds')
  WITH (connector = 'nexmark', table = 'auction', events = '$EVENTS', event_rate = '$EVENT_RATE');
CREATE SOURCE bid (WATERMARK FOR date_time AS date_time - INTERVAL '4 seconds')
  WITH (connector = 'nexmark', table = 'bid', events = '$EVENTS', event_rate = '$EVENT_RATE');
-- A table would never end under EMIT.
CREATE VIEW side_input AS SELECT i::bigint AS key, 'value ' || i AS value FROM generate_series(0, 9999) AS i;

-- postgres
CREATE UNLOGGED TABLE person (id bigint, name varchar, email_address varchar, credit_card varchar, city varchar,
  state varchar, date_time timestamp, extra varchar);
CREATE UNLOGGED TABLE auction (id bigint, item_name varchar, description varchar, initial_bid bigint, reserve bigint,
  date_time timestamp, expires timestamp, seller bigint, category bigint, extra varchar);
CREATE UNLOGGED TABLE bid (auction bigint, bidder bigint, price bigint, channel varchar, url varchar,
  date_time timestamp, extra varchar);
CREATE UNLOGGED TABLE side_input (key bigint PRIMARY KEY, value varchar NOT NULL);
INSERT INTO side_input SELECT i, 'value ' || i FROM generate_series(0, 9999) AS i;
