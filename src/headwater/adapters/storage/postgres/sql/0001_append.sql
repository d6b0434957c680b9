-- Looks what appends would find, were they all accepted: the version before each, and the first
-- member that finds its stream closed, at another version than expected, or an id that is known.
-- An expected version of -1 is any, -2 is one that exists. p_plain: each append has one event, and
-- no two are for one stream.
CREATE FUNCTION @schema@.look_v1(
    p_append_member integer[], p_append_stream text[], p_append_count integer[],
    p_append_expected integer[], p_plain boolean, p_event_member integer[], p_event_id uuid[],
    OUT before integer[], OUT failed integer
) LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_newest uuid;
    v_erased boolean;
    v_special boolean;
    v_found integer;
BEGIN
    -- Ids begin with the time, so new ones are mostly above all that are stored.
    SELECT (SELECT e.id FROM @schema@.events AS e ORDER BY e.id DESC LIMIT 1),
        EXISTS (SELECT FROM @schema@.erased_events), EXISTS (SELECT FROM @schema@.streams)
    INTO v_newest, v_erased, v_special;
    IF p_plain AND NOT v_special AND NOT v_erased THEN
        SELECT array_agg(a.version), min(a.member) FILTER (WHERE a.known OR NOT
            CASE a.expected WHEN -1 THEN true WHEN -2 THEN a.version > 0
            ELSE a.version = a.expected END)
        INTO before, failed
        FROM (
            SELECT u.member, u.expected, coalesce((
                    SELECT e.version FROM @schema@.events AS e WHERE e.stream_id = u.stream
                    ORDER BY e.version DESC LIMIT 1), 0) AS version,
                u.id <= v_newest AND EXISTS (
                    SELECT FROM @schema@.events AS e WHERE e.id = u.id) AS known
            FROM unnest(p_append_member, p_append_stream, p_append_expected, p_event_id)
                AS u (member, stream, expected, id)
        ) AS a;
        RETURN;
    END IF;
    SELECT array_agg(a.before ORDER BY a.number),
        min(a.member) FILTER (WHERE a.n > 0 AND a.state <> 'open' OR NOT CASE a.expected
            WHEN -1 THEN true WHEN -2 THEN a.before > 0 ELSE a.before = a.expected END)
    INTO before, failed
    FROM (
        SELECT u.number, u.member, u.n, u.expected, s.state,
            greatest(
                (SELECT e.version FROM @schema@.events AS e WHERE e.stream_id = u.stream
                 ORDER BY e.version DESC LIMIT 1), s.version, 0
            ) + coalesce(sum(u.n) OVER (PARTITION BY u.stream ORDER BY u.number
                         ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0)::integer
            AS before
        FROM unnest(p_append_member, p_append_stream, p_append_count, p_append_expected)
            WITH ORDINALITY AS u (member, stream, n, expected, number)
        LEFT JOIN LATERAL (
            SELECT t.state, t.version FROM @schema@.streams AS t WHERE t.stream_id = u.stream
            LIMIT 1
        ) AS s ON v_special
    ) AS a;
    SELECT min(u.member) INTO v_found
    FROM unnest(p_event_member, p_event_id) AS u (member, id)
    WHERE u.id <= v_newest AND (SELECT true FROM @schema@.events AS e WHERE e.id = u.id);
    failed := least(failed, v_found);
    IF v_erased THEN
        SELECT min(u.member) INTO v_found
        FROM unnest(p_event_member, p_event_id) AS u (member, id)
        WHERE (SELECT true FROM @schema@.erased_events AS e WHERE e.id = u.id);
        failed := least(failed, v_found);
    END IF;
END $$;

-- Inserts the first p_count events behind the head, and tells whoever listens, once.
CREATE FUNCTION @schema@.write_v1(
    p_head bigint, p_now bigint, p_count integer, p_stream text[], p_version integer[],
    p_id uuid[], p_type text[], p_schema integer[], p_data text[], p_occurred bigint[],
    p_correlation uuid[], p_causation uuid[], p_actor text[], p_tenant text[], p_trace text[],
    p_headers text[], p_tags text[], p_tag_event integer[], p_tag text[]
) RETURNS void LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_told text;
BEGIN
    INSERT INTO @schema@.events (
        position, stream_id, version, id, type, schema_version, data, occurred_at,
        recorded_at, correlation_id, causation_id, actor, tenant, traceparent, headers, tags)
    SELECT p_head + u.number, u.stream, u.version, u.id, u.type, u.schema, u.data::json,
        u.occurred, p_now, u.correlation, u.causation, u.actor, u.tenant, u.trace,
        u.headers::json, u.tags::text[]
    FROM unnest(p_stream, p_version, p_id, p_type, p_schema, p_data, p_occurred, p_correlation,
                p_causation, p_actor, p_tenant, p_trace, p_headers, p_tags)
        WITH ORDINALITY AS u (stream, version, id, type, schema, data, occurred, correlation,
                              causation, actor, tenant, trace, headers, tags, number)
    WHERE u.number <= p_count;
    IF p_tag IS NOT NULL THEN
        INSERT INTO @schema@.event_tags (tag, position)
        SELECT u.tag, p_head + u.event FROM unnest(p_tag, p_tag_event) AS u (tag, event)
        WHERE u.event <= p_count;
    END IF;
    v_told := pg_notify('@name@_log', (p_head + p_count)::text)::text;
END $$;

-- The versions of the events of appends, and their streams, from the version before each append.
CREATE FUNCTION @schema@.spread_v1(
    p_stream text[], p_count integer[], p_before integer[], OUT streams text[],
    OUT versions integer[]
) LANGUAGE plpgsql STABLE AS $$
BEGIN
    SELECT array_agg(u.stream ORDER BY u.number, g), array_agg(u.before + g ORDER BY u.number, g)
    INTO streams, versions
    FROM unnest(p_stream, p_count, p_before) WITH ORDINALITY AS u (stream, n, before, number),
        generate_series(1, u.n) AS g;
END $$;

-- Commits members that are nothing but appends of events, as commit_v1 does. No result is kept:
-- who sends them again finds their ids known, and gets what was answered the first time.
CREATE FUNCTION @schema@.append_batch_v1(
    p_lock_ms integer, p_plain boolean,
    p_append_member integer[], p_append_stream text[], p_append_count integer[],
    p_append_expected integer[],
    p_event_member integer[], p_event_id uuid[], p_event_type text[], p_event_schema integer[],
    p_event_data text[], p_event_occurred bigint[], p_event_correlation uuid[],
    p_event_causation uuid[], p_event_actor text[], p_event_tenant text[], p_event_trace text[],
    p_event_headers text[], p_event_tags text[], p_tag_event integer[], p_tag text[],
    OUT head bigint, OUT before integer[], OUT failed integer
) LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    v_done text := @schema@.enter_v1(p_lock_ms);
    v_recorded bigint;
    v_streams text[] := p_append_stream;
    v_versions integer[];
    v_events integer := cardinality(p_event_id);
BEGIN
    v_done := pg_advisory_xact_lock(1212438354, '@schema@'::regnamespace::oid::integer)::text;
    SELECT greatest(h.position, e.position), greatest(h.recorded_at, e.recorded_at)
    INTO STRICT head, v_recorded
    FROM @schema@.head AS h LEFT JOIN (
        SELECT position, recorded_at FROM @schema@.events ORDER BY position DESC LIMIT 1
    ) AS e ON true;
    SELECT l.before, l.failed INTO before, failed FROM @schema@.look_v1(p_append_member,
        p_append_stream, p_append_count, p_append_expected, p_plain, p_event_member,
        p_event_id) AS l;
    IF failed IS NOT NULL THEN
        SELECT count(*) INTO v_events FROM unnest(p_event_member) AS u (member)
        WHERE u.member < failed;
    END IF;
    IF v_events > 0 THEN
        IF p_plain THEN
            SELECT array_agg(u.before + 1) INTO v_versions FROM unnest(before) AS u (before);
        ELSE
            SELECT s.streams, s.versions INTO v_streams, v_versions
            FROM @schema@.spread_v1(p_append_stream, p_append_count, before) AS s;
        END IF;
        v_done := @schema@.write_v1(head, greatest((extract(epoch FROM clock_timestamp()) * 1000000)::bigint, v_recorded), v_events,
            v_streams, v_versions, p_event_id, p_event_type, p_event_schema, p_event_data,
            p_event_occurred, p_event_correlation, p_event_causation, p_event_actor,
            p_event_tenant, p_event_trace, p_event_headers, p_event_tags, p_tag_event,
            p_tag)::text;
    END IF;
END $$;

-- As append_batch_v1 for a single event without tags, which is what a quiet system commits: in half
-- the time. Returns the head and the version before it, or nothing if it is not certain to be
-- accepted.
CREATE FUNCTION @schema@.append_one_v1(
    p_lock_ms integer, p_stream text, p_expected integer, p_id uuid, p_type text,
    p_schema integer, p_data text, p_occurred bigint, p_correlation uuid, p_causation uuid,
    p_actor text, p_tenant text, p_trace text, p_headers text,
    OUT head bigint, OUT before integer
) LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    v_done text := @schema@.enter_v1(p_lock_ms);
    v_recorded bigint;
    v_position bigint;
BEGIN
    v_done := pg_advisory_xact_lock(1212438354, '@schema@'::regnamespace::oid::integer)::text;
    SELECT greatest(h.position, e.position), greatest(h.recorded_at, e.recorded_at), coalesce((
        SELECT e.version FROM @schema@.events AS e WHERE e.stream_id = p_stream
        ORDER BY e.version DESC LIMIT 1), 0)
    INTO v_position, v_recorded, before
    FROM @schema@.head AS h LEFT JOIN (
        SELECT position, recorded_at FROM @schema@.events ORDER BY position DESC LIMIT 1
    ) AS e ON true
    WHERE NOT EXISTS (SELECT FROM @schema@.events AS e WHERE e.id = p_id)
        AND NOT EXISTS (SELECT FROM @schema@.erased_events AS e WHERE e.id = p_id)
        AND NOT EXISTS (SELECT FROM @schema@.streams AS s WHERE s.stream_id = p_stream);
    IF v_position IS NULL OR NOT (CASE p_expected
        WHEN -1 THEN true WHEN -2 THEN before > 0 ELSE before = p_expected END)
    THEN
        RETURN;
    END IF;
    head := v_position;
    v_recorded := greatest((extract(epoch FROM clock_timestamp()) * 1000000)::bigint, v_recorded);
    INSERT INTO @schema@.events (
        position, stream_id, version, id, type, schema_version, data, occurred_at,
        recorded_at, correlation_id, causation_id, actor, tenant, traceparent, headers)
    VALUES (v_position + 1, p_stream, before + 1, p_id, p_type, p_schema, p_data::json,
        p_occurred, v_recorded, p_correlation, p_causation, p_actor, p_tenant, p_trace,
        p_headers::json);
    v_done := pg_notify('@name@_log', (v_position + 1)::text)::text;
END $$;
