-- For the status page, which counts every few seconds what waits for somebody.

-- +goose Up

-- Mostly empty, so that counting and listing them is quick however many there
-- ever were.
CREATE INDEX dead_letters_waiting_idx ON landfall.dead_letters (stream_id, seq)
    WHERE resolved_at IS NULL;
