-- Moves what applications have staged in transactions of their own into the log. A row that can't
-- be moved is put aside with its reason; the others don't wait for it.

-- Moves rows in the order in which they were staged: at most p_rows, and no more than p_bytes of
-- data (one row at least). Returns null if there is none, or another mover is at work; otherwise
-- {"moved": …, "repeated": …, "rejected": …}.
CREATE FUNCTION @schema@.move_outbox_v1(
    p_rows integer, p_bytes bigint, p_event_bytes integer, p_lock_ms integer
) RETURNS json LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off SET enable_mergejoin = off AS $$
DECLARE
    v_done text := @schema@.enter_v1(p_lock_ms);
    v_seqs bigint[];
    v_head bigint;
    v_recorded bigint;
    v_moved bigint;
    v_repeated bigint;
    v_rejected bigint;
BEGIN
    IF NOT EXISTS (SELECT FROM @schema@.outbox) THEN
        RETURN NULL;
    END IF;
    -- One mover at a time keeps the order. The lock ends with the transaction, so one that died
    -- is in nobody's way.
    IF NOT pg_try_advisory_xact_lock(1212438355, '@schema@'::regnamespace::oid::integer) THEN
        RETURN NULL;
    END IF;
    -- Before the log's lock, or all commits would wait for whoever has locked a staged row.
    SELECT array_agg(o.seq) INTO v_seqs FROM (
        SELECT seq FROM @schema@.outbox ORDER BY seq LIMIT p_rows FOR UPDATE) AS o;
    PERFORM pg_advisory_xact_lock(1212438354, '@schema@'::regnamespace::oid::integer);
    -- In statements of their own, which see what was committed before the lock was there.
    SELECT greatest(h.position, e.position), greatest(h.recorded_at, e.recorded_at)
    INTO STRICT v_head, v_recorded
    FROM @schema@.head AS h LEFT JOIN (
        SELECT position, recorded_at FROM @schema@.events ORDER BY position DESC LIMIT 1
    ) AS e ON true;
    v_recorded := greatest(
        (extract(epoch FROM clock_timestamp()) * 1000000)::bigint, v_recorded);

    WITH candidate AS (
        SELECT o.seq, row_number() OVER (ORDER BY o.seq) AS number,
            sum(pg_column_size(o.data)) OVER (ORDER BY o.seq) AS bytes,
            row_number() OVER (PARTITION BY o.id ORDER BY o.seq) AS occurrence
        FROM @schema@.outbox AS o WHERE o.seq = ANY (v_seqs)
    ), taken AS (
        DELETE FROM @schema@.outbox AS o WHERE o.seq = ANY (ARRAY(
            SELECT c.seq FROM candidate AS c WHERE (c.number = 1 OR c.bytes <= p_bytes)
            -- An id that comes again is looked at when it is known what became of the first.
            AND c.seq < coalesce((SELECT min(d.seq) FROM candidate AS d WHERE d.occurrence > 1),
                                 9223372036854775807)))
        RETURNING o.*
    ), stream AS (
        SELECT n.stream_id, s.state,
            greatest(s.version, (
                SELECT e.version FROM @schema@.events AS e WHERE e.stream_id = n.stream_id
                ORDER BY e.version DESC LIMIT 1), 0) AS version,
            char_length(n.stream_id) NOT BETWEEN 1 AND 512
                OR n.stream_id ~ '[\u0001-\u001f\u007f-\u009f]' AS odd
        FROM (SELECT DISTINCT t.stream_id FROM taken AS t) AS n
        LEFT JOIN LATERAL (
            SELECT x.state, x.version FROM @schema@.streams AS x
            WHERE x.stream_id = n.stream_id LIMIT 1) AS s ON true
    ), kind AS (
        SELECT n.type, char_length(n.type) > 200 OR n.type !~ ('^[A-Za-z\u00aa-\U0010ffff]'
            '[A-Za-z0-9_\u00aa-\U0010ffff-]*(\.[A-Za-z0-9_\u00aa-\U0010ffff-]+)+$') AS odd
        FROM (SELECT DISTINCT t.type FROM taken AS t) AS n
    ), judged AS (
        SELECT t.*, s.version, s.state,
            (k.stream_id = t.stream_id AND (k.erased OR k.type = t.type
                AND k.schema_version = t.schema_version AND k.data = t.data::text)) AS same,
            CASE
            WHEN k.stream_id IS NOT NULL THEN 'its id is known, with another stream or content'
            WHEN s.odd THEN
                'the stream id must have 1 to 512 characters and no control characters'
            WHEN n.odd THEN
                'the type is no name such as sales.order-placed, of at most 200 characters'
            WHEN t.schema_version < 1 THEN 'the schema version is below 1'
            WHEN octet_length(t.data::text) > p_event_bytes THEN
                format('the data have %s bytes, the limit is %s',
                       octet_length(t.data::text), p_event_bytes)
            WHEN json_typeof(t.data) <> 'object' THEN 'the data are no JSON object'
            -- The years 1 to 9999: what reads an event could not show any other.
            WHEN t.occurred_at NOT BETWEEN -62135596800000000 AND 253402300799999999 THEN
                'occurred_at is no time in microseconds since 1970'
            WHEN t.headers IS NOT NULL AND (json_typeof(t.headers) <> 'object' OR EXISTS (
                    SELECT FROM json_each(CASE json_typeof(t.headers) WHEN 'object'
                        THEN t.headers ELSE '{}' END) AS h
                    WHERE json_typeof(h.value) <> 'string')) THEN
                'the headers are no JSON object of strings'
            WHEN array_ndims(t.tags) > 1 OR array_position(t.tags, NULL) IS NOT NULL
                OR octet_length(array_to_string(t.tags, '')) > 1024 AND EXISTS (
                    SELECT FROM unnest(t.tags) AS u (tag) WHERE octet_length(u.tag) > 1024) THEN
                'a tag is null or longer than 1,024 bytes'
            WHEN s.state IS NULL AND s.version > 0 OR s.state = 'open' THEN
                'its stream takes ordinary appends'
            WHEN s.state <> 'staged' THEN 'its stream is ' || s.state
            END AS fault
        FROM taken AS t
        JOIN stream AS s ON s.stream_id = t.stream_id
        JOIN kind AS n ON n.type = t.type
        LEFT JOIN LATERAL (
            SELECT e.stream_id, e.type, e.schema_version, e.data::text AS data, false AS erased
            FROM @schema@.events AS e WHERE e.id = t.id
            UNION ALL
            SELECT x.stream_id, x.type, 0, NULL, true
            FROM @schema@.erased_events AS x WHERE x.id = t.id
            LIMIT 1) AS k ON true
    ), accepted AS (
        SELECT j.*, v_head + row_number() OVER (ORDER BY j.seq) AS place,
            j.version + row_number() OVER (PARTITION BY j.stream_id ORDER BY j.seq) AS number
        FROM judged AS j WHERE j.same IS NOT TRUE AND j.fault IS NULL
    ), inserted AS (
        INSERT INTO @schema@.events (
            position, stream_id, version, id, type, schema_version, data, occurred_at,
            recorded_at, correlation_id, causation_id, actor, tenant, traceparent, headers, tags)
        SELECT a.place, a.stream_id, a.number, a.id, a.type, a.schema_version, a.data,
            a.occurred_at, v_recorded, a.correlation_id, a.causation_id, a.actor, a.tenant,
            a.traceparent, a.headers, CASE WHEN cardinality(a.tags) > 0 THEN a.tags END
        FROM accepted AS a ORDER BY a.place
    ), tagged AS (
        INSERT INTO @schema@.event_tags (tag, position)
        SELECT DISTINCT u.tag, a.place FROM accepted AS a, unnest(a.tags) AS u (tag)
    ), marked AS (
        INSERT INTO @schema@.streams (stream_id, state, version)
        SELECT DISTINCT a.stream_id, 'staged', 0 FROM accepted AS a WHERE a.state IS NULL
    ), put_aside AS (
        INSERT INTO @schema@.outbox_rejected (
            seq, stream_id, id, type, schema_version, data, occurred_at, correlation_id,
            causation_id, actor, tenant, traceparent, headers, tags, staged_at, reason)
        SELECT j.seq, j.stream_id, j.id, j.type, j.schema_version, j.data, j.occurred_at,
            j.correlation_id, j.causation_id, j.actor, j.tenant, j.traceparent, j.headers,
            j.tags, j.staged_at, j.fault
        FROM judged AS j WHERE j.same IS NOT TRUE AND j.fault IS NOT NULL
    )
    SELECT count(*) FILTER (WHERE j.same IS NOT TRUE AND j.fault IS NULL),
        count(*) FILTER (WHERE j.same),
        count(*) FILTER (WHERE j.same IS NOT TRUE AND j.fault IS NOT NULL)
    INTO v_moved, v_repeated, v_rejected FROM judged AS j;

    IF v_moved > 0 THEN
        PERFORM pg_notify('@name@_log', (v_head + v_moved)::text);
    END IF;
    RETURN json_build_object(
        'moved', v_moved, 'repeated', v_repeated, 'rejected', v_rejected);
END $$;

-- Moves the first row alone, or puts it aside if that fails in a way that was not foreseen.
CREATE FUNCTION @schema@.move_outbox_singly_v1(p_event_bytes integer, p_lock_ms integer)
RETURNS json LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_problem text;
    v_first bigint;
BEGIN
    -- Held by this transaction before it tries, so that nobody else moves the first row.
    IF NOT pg_try_advisory_xact_lock(1212438355, '@schema@'::regnamespace::oid::integer) THEN
        RETURN NULL;
    END IF;
    SELECT min(seq) INTO v_first FROM @schema@.outbox;
    BEGIN
        RETURN @schema@.move_outbox_v1(1, 0, p_event_bytes, p_lock_ms);
    EXCEPTION WHEN data_exception OR integrity_constraint_violation OR program_limit_exceeded THEN
        GET STACKED DIAGNOSTICS v_problem = MESSAGE_TEXT;
    END;
    -- One with a lower number may have been committed meanwhile. Then nobody knows which of the
    -- two failed, and the next call tries again.
    IF v_first IS DISTINCT FROM (SELECT min(seq) FROM @schema@.outbox) THEN
        RETURN json_build_object('moved', 0, 'repeated', 0, 'rejected', 0);
    END IF;
    WITH taken AS (DELETE FROM @schema@.outbox WHERE seq = v_first RETURNING *)
    INSERT INTO @schema@.outbox_rejected (
        seq, stream_id, id, type, schema_version, data, occurred_at, correlation_id,
        causation_id, actor, tenant, traceparent, headers, tags, staged_at, reason)
    SELECT seq, stream_id, id, type, schema_version, data, occurred_at, correlation_id,
        causation_id, actor, tenant, traceparent, headers, tags, staged_at,
        'moving it failed: ' || v_problem
    FROM taken;
    RETURN json_build_object('moved', 0, 'repeated', 0, 'rejected', 1);
END $$;

-- Stages rejected rows again, after what was wrong with them was mended; returns how many.
CREATE FUNCTION @schema@.redrive_outbox_v1(p_seqs bigint[])
RETURNS bigint LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
    WITH taken AS (
        DELETE FROM @schema@.outbox_rejected WHERE seq = ANY (p_seqs) RETURNING *
    ), staged AS (
        INSERT INTO @schema@.outbox (
            stream_id, id, type, schema_version, data, occurred_at, correlation_id,
            causation_id, actor, tenant, traceparent, headers, tags, staged_at)
        SELECT stream_id, id, type, schema_version, data, occurred_at, correlation_id,
            causation_id, actor, tenant, traceparent, headers, tags, staged_at
        FROM taken ORDER BY seq RETURNING 1)
    SELECT count(*) FROM staged
$$;
