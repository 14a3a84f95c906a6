-- What Landfall itself keeps. The streams' rows are elsewhere: messages.sql.

-- +goose Up

-- One row for each incarnation of a stream: how far Postgres has it. The sink
-- locks this row, writes the messages and moves last_seq in one transaction.
-- The low fillfactor leaves room on the page, so that this update, some
-- hundred times a second, touches no index and needs no vacuum to stay small.
CREATE TABLE landfall.streams (
    id          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    cluster     text        NOT NULL,
    name        text        NOT NULL,
    incarnation uuid        NOT NULL,
    start_seq   bigint      NOT NULL CHECK (start_seq >= 1),
    last_seq    bigint      NOT NULL,
    last_time   bigint,
    last_msg_id bytea,
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT streams_incarnation_key UNIQUE (cluster, name, incarnation),
    CONSTRAINT streams_last_seq_check CHECK (last_seq >= start_seq - 1)
) WITH (fillfactor = 10);

COMMENT ON TABLE landfall.streams IS 'The cursor: how far Postgres has each stream';
COMMENT ON COLUMN landfall.streams.incarnation IS 'UUID in the stream''s metadata; a stream that was made anew has another';
COMMENT ON COLUMN landfall.streams.start_seq IS 'first sequence that this row is about';
COMMENT ON COLUMN landfall.streams.last_seq IS 'last sequence that Postgres has; start_seq - 1 if none';
COMMENT ON COLUMN landfall.streams.last_time IS 'JetStream''s timestamp of message last_seq, in ns since 1970';
COMMENT ON COLUMN landfall.streams.last_msg_id IS 'message id of message last_seq, if it has one';

-- Messages that could not become rows. All that came from outside is bytea and
-- may be absent, so that a dead letter can always be written.
CREATE TABLE landfall.dead_letters (
    stream_id    bigint      NOT NULL REFERENCES landfall.streams (id),
    seq          bigint      NOT NULL,
    subject      bytea,
    headers      bytea,
    payload      bytea,
    msg_id       bytea,
    published_at bigint,
    sqlstate     text,
    reason       text,
    failed_at    timestamptz NOT NULL DEFAULT now(),
    resolved_at  timestamptz,
    resolution   text,
    CONSTRAINT dead_letters_pkey PRIMARY KEY (stream_id, seq)
);

-- The digest, because an id may be longer than an index entry can be.
CREATE INDEX dead_letters_msg_id_idx ON landfall.dead_letters (stream_id, sha256(msg_id))
    WHERE msg_id IS NOT NULL;

COMMENT ON TABLE landfall.dead_letters IS 'Messages that could not be stored as rows, and why; never deleted, only resolved';
COMMENT ON COLUMN landfall.dead_letters.published_at IS 'JetStream''s timestamp, in ns since 1970';

-- Messages whose id was stored before, under another sequence.
CREATE TABLE landfall.duplicates (
    stream_id  bigint      NOT NULL REFERENCES landfall.streams (id),
    seq        bigint      NOT NULL,
    of_seq     bigint      NOT NULL,
    noticed_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT duplicates_pkey PRIMARY KEY (stream_id, seq)
);

COMMENT ON TABLE landfall.duplicates IS 'Messages sent twice under one id: seq repeats of_seq';

-- Sequences that no replica of the stream holds any more.
CREATE TABLE landfall.gaps (
    stream_id  bigint      NOT NULL REFERENCES landfall.streams (id),
    from_seq   bigint      NOT NULL,
    to_seq     bigint      NOT NULL,
    noticed_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT gaps_pkey PRIMARY KEY (stream_id, from_seq),
    CONSTRAINT gaps_order_check CHECK (to_seq >= from_seq)
);

COMMENT ON TABLE landfall.gaps IS 'Sequences from_seq to to_seq that were lost before Postgres had them';

-- Since when Postgres has what: tells which messages have been stored for
-- longer than the replay window and may leave the stream.
CREATE TABLE landfall.marks (
    stream_id bigint      NOT NULL REFERENCES landfall.streams (id),
    seq       bigint      NOT NULL,
    at        timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT marks_pkey PRIMARY KEY (stream_id, at)
);

COMMENT ON TABLE landfall.marks IS 'At this time Postgres had everything up to seq';

-- For queries on messages whose content may be JSON or not. What no jsonb can
-- hold (NUL characters, absurd depth) is NULL too; a cancelled query is not
-- swallowed.
-- +goose StatementBegin
CREATE FUNCTION landfall.try_jsonb(document text) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE STRICT
AS $$
BEGIN
    RETURN document::jsonb;
EXCEPTION
    WHEN data_exception OR program_limit_exceeded THEN
        RETURN NULL;
END
$$;
-- +goose StatementEnd

COMMENT ON FUNCTION landfall.try_jsonb(text) IS 'The document as jsonb, or NULL if it is none';

-- Before version 17 an exception block cannot run while a query is parallel,
-- not even in its leader, so there the function stays unsafe, the default.
-- +goose StatementBegin
DO $$
BEGIN
    IF current_setting('server_version_num')::integer >= 170000 THEN
        ALTER FUNCTION landfall.try_jsonb(text) PARALLEL SAFE;
    END IF;
END
$$;
-- +goose StatementEnd
