-- Times are microseconds since 1970 UTC. Text that sorts does so by code point. The view "log"
-- shows times for people. All names are qualified, because a pooler keeps no search_path.

CREATE TABLE @schema@.events (
    position bigint PRIMARY KEY,
    stream_id text COLLATE "C" NOT NULL,
    version integer NOT NULL,
    id uuid NOT NULL,
    type text COLLATE "C" NOT NULL,
    schema_version integer NOT NULL,
    data json NOT NULL,
    occurred_at bigint NOT NULL,
    recorded_at bigint NOT NULL,
    correlation_id uuid,
    causation_id uuid,
    actor text,
    tenant text,
    traceparent text,
    headers json,
    tags text[],
    archived boolean NOT NULL DEFAULT false
);
CREATE UNIQUE INDEX events_by_stream ON @schema@.events (stream_id, version);
CREATE UNIQUE INDEX events_by_id ON @schema@.events (id);

CREATE TABLE @schema@.event_tags (
    tag text COLLATE "C" NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (tag, position)
);

-- What stays known of an event whose payload is gone; its tags stay in event_tags.
CREATE TABLE @schema@.erased_events (
    id uuid PRIMARY KEY,
    position bigint NOT NULL,
    stream_id text COLLATE "C" NOT NULL,
    version integer NOT NULL,
    type text COLLATE "C" NOT NULL,
    erased_at bigint NOT NULL
);
CREATE UNIQUE INDEX erased_events_by_position ON @schema@.erased_events (position);
CREATE INDEX erased_events_by_time ON @schema@.erased_events (erased_at);

-- Only streams that are not open, or whose version their events no longer show.
CREATE TABLE @schema@.streams (
    stream_id text COLLATE "C" PRIMARY KEY,
    state text NOT NULL,
    version integer NOT NULL
);

-- The head is the last event's position, and never below this one, which is written when the last
-- events may go (erasure), and by what ends behind them (restoration). Not by every commit: while an
-- old snapshot is held, each would have to pass all that were there before.
CREATE TABLE @schema@.head (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    position bigint NOT NULL,
    recorded_at bigint NOT NULL
) WITH (fillfactor = 10);
INSERT INTO @schema@.head (position, recorded_at) VALUES (0, 0);

CREATE TABLE @schema@.receipts (
    consumer text COLLATE "C" NOT NULL,
    message_id uuid NOT NULL,
    digest bytea NOT NULL,
    outcome json NOT NULL,
    position bigint NOT NULL,
    recorded_at bigint NOT NULL,
    PRIMARY KEY (consumer, message_id)
);
CREATE INDEX receipts_by_time ON @schema@.receipts (recorded_at);
CREATE INDEX receipts_by_position ON @schema@.receipts (position);

-- Where each partition stands, who has it (NULL: nobody), and the token of its last lease (0: there
-- was none). Until when is said in lease_workers, once for all that a worker has: who extends its
-- leases so writes no row that a commit may hold.
CREATE TABLE @schema@.checkpoints (
    subscription text COLLATE "C" NOT NULL,
    partition integer NOT NULL,
    position bigint NOT NULL,
    event_id uuid,
    worker text COLLATE "C",
    token bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (subscription, partition)
) WITH (fillfactor = 50);

-- Which workers of a subscription are alive, until when, and which partitions the last call (they
-- number them) took from one that let them run out: who sends it again is told once more.
CREATE TABLE @schema@.lease_workers (
    subscription text COLLATE "C" NOT NULL,
    worker text COLLATE "C" NOT NULL,
    expires_at bigint NOT NULL,
    call uuid NOT NULL,
    unclean integer[] NOT NULL,
    PRIMARY KEY (subscription, worker)
) WITH (fillfactor = 20);

-- Tokens of all partitions, so that none is given twice, also not after a subscription was dropped.
CREATE SEQUENCE @schema@.lease_tokens;

CREATE TABLE @schema@.collections (
    name text COLLATE "C" PRIMARY KEY,
    spec json NOT NULL,
    -- The spec with what others that were prepared before it have named.
    kept json NOT NULL,
    -- The names of its indexed fields, sorted, and for each a statement that indexes the rows under
    -- keys ($1) by what their JSON says: code that does not know a field yet writes rows, too.
    fields text[] NOT NULL,
    fills json NOT NULL
);

-- Row versions are never given twice, also not after a deletion.
CREATE SEQUENCE @schema@.row_versions;

-- Per writing process its last batch and what came of it: who lost the connection asks by
-- sending the batch again.
CREATE TABLE @schema@.writers (
    id uuid PRIMARY KEY,
    batch bigint NOT NULL,
    result json NOT NULL,
    written_at bigint NOT NULL
) WITH (fillfactor = 20);

-- Rows that an application writes in a transaction of its own; they are moved into the log.
CREATE TABLE @schema@.outbox (
    seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    stream_id text COLLATE "C" NOT NULL,
    id uuid NOT NULL,
    type text COLLATE "C" NOT NULL,
    schema_version integer NOT NULL,
    data json NOT NULL,
    occurred_at bigint NOT NULL,
    correlation_id uuid,
    causation_id uuid,
    actor text,
    tenant text,
    traceparent text,
    headers json,
    tags text[],
    staged_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- A number can come again, if the outbox was restored. So it is not the key.
CREATE TABLE @schema@.outbox_rejected (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    seq bigint NOT NULL,
    stream_id text COLLATE "C" NOT NULL,
    id uuid NOT NULL,
    type text COLLATE "C" NOT NULL,
    schema_version integer NOT NULL,
    data json NOT NULL,
    occurred_at bigint NOT NULL,
    correlation_id uuid,
    causation_id uuid,
    actor text,
    tenant text,
    traceparent text,
    headers json,
    tags text[],
    staged_at timestamptz NOT NULL,
    reason text NOT NULL,
    rejected_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX outbox_rejected_by_seq ON @schema@.outbox_rejected (seq);

CREATE VIEW @schema@.log AS
SELECT
    position, stream_id, version, type, schema_version, data,
    timestamptz 'epoch' + occurred_at * interval '1 microsecond' AS occurred_at,
    timestamptz 'epoch' + recorded_at * interval '1 microsecond' AS recorded_at,
    id, correlation_id, causation_id, actor, tenant, traceparent, headers, tags, archived
FROM @schema@.events;
