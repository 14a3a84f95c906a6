-- For streams that fill tables of the users' own.

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
