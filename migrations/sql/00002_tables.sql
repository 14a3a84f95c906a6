-- For streams that fill tables of the users' own, for bad messages that somebody
-- has looked at, and for a messages table that keeps its rows a while only.

-- +goose Up

-- When JetStream had the messages of a batch that went into a table which does
-- not say: by that a stream that lost its tail, or was made anew, is compared
-- with what was stored of it. Kept as long as messages stay in the stream.
CREATE TABLE landfall.batches (
    stream_id bigint   NOT NULL REFERENCES landfall.streams (id),
    last_seq  bigint   NOT NULL,
    times     bigint[] NOT NULL,
    CONSTRAINT batches_pkey PRIMARY KEY (stream_id, last_seq)
);

COMMENT ON TABLE landfall.batches IS 'JetStream''s timestamps of messages that are in no table of Landfall''s';
COMMENT ON COLUMN landfall.batches.times IS 'in ns since 1970, of message last_seq and those before it';

COMMENT ON COLUMN landfall.duplicates.of_seq IS 'the message that seq repeats; 0 where a table of the user''s own does not say which: it does where message.seq is mapped to an integer or bigint column';

-- Somebody has said that it is the data: app dead-letters accept.
ALTER TABLE landfall.streams ADD COLUMN accept_bad_through bigint;

COMMENT ON COLUMN landfall.streams.accept_bad_through IS 'bad messages up to this sequence become dead letters, however many in a row fail alike';

-- How far the messages table has been cleared of old rows. Beside the cursor,
-- not in its row: that one is locked by whoever stores.
CREATE TABLE landfall.expired (
    stream_id bigint      NOT NULL REFERENCES landfall.streams (id),
    seq       bigint      NOT NULL,
    retried   timestamptz NOT NULL DEFAULT '-infinity',
    CONSTRAINT expired_pkey PRIMARY KEY (stream_id)
);

COMMENT ON TABLE landfall.expired IS 'Rows of the messages table that keep has had deleted';
COMMENT ON COLUMN landfall.expired.seq IS 'of the sequences up to this one the rows may be gone';
COMMENT ON COLUMN landfall.expired.retried IS 'rows of dead letters that were stored later than their neighbours: those from before this time are gone';

-- Those dead letters, by when they became rows.
CREATE INDEX dead_letters_stored_idx ON landfall.dead_letters (stream_id, resolved_at)
    WHERE resolution = 'stored';
