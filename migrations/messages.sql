-- The messages of the streams, one row each. The name is configurable
-- (messages_table in cluster.yaml).
--
-- No foreign key to landfall.streams: it would cost a look-up for every row,
-- and the transaction that writes a row holds its stream's row locked anyway.
CREATE TABLE {{.Qualified}} (
    stream_id     bigint      NOT NULL,
    seq           bigint      NOT NULL,
    subject       text        NOT NULL,
    content       text,
    content_bytes bytea,
    headers       jsonb,
    msg_id        text,
    published_at  timestamptz NOT NULL,
    stored_at     timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT {{.Constraint "_pkey"}} PRIMARY KEY (stream_id, seq),
    CONSTRAINT {{.Constraint "_msg_id_key"}} UNIQUE (stream_id, msg_id),
    CONSTRAINT {{.Constraint "_content"}} CHECK ((content IS NULL) <> (content_bytes IS NULL))
);

COMMENT ON TABLE {{.Qualified}} IS 'Messages of the streams in landfall.streams. Landfall knows its table by this mark: {{.Mark}}';
COMMENT ON COLUMN {{.Qualified}}.content IS 'the body, if it is valid text';
COMMENT ON COLUMN {{.Qualified}}.content_bytes IS 'the body, if it is not valid text';
COMMENT ON COLUMN {{.Qualified}}.headers IS 'an object of arrays: a header may occur more than once';
COMMENT ON CONSTRAINT {{.Constraint "_msg_id_key"}} ON {{.Qualified}} IS 'A message sent again under its id is stored once';
