-- The steps of a member that is committed by itself. A step that can't be done raises HW001, with
-- what the refusal needs to tell as its detail.

CREATE FUNCTION @schema@.refuse_v1(p_why json) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'refused' USING ERRCODE = 'HW001', DETAIL = p_why::text;
END $$;

-- Forgets the payloads of a stream's events below a version; ids, types and tags stay known.
CREATE FUNCTION @schema@.erase_v1(p_stream text, p_below integer, p_now bigint)
RETURNS void LANGUAGE sql SET enable_seqscan = off AS $$
    -- The head does not fall with the last event.
    UPDATE @schema@.head AS h SET position = e.position, recorded_at = e.recorded_at
    FROM (SELECT position, recorded_at FROM @schema@.events ORDER BY position DESC LIMIT 1) AS e
    WHERE h.position < e.position;
    WITH gone AS (
        DELETE FROM @schema@.events WHERE stream_id = p_stream AND version < p_below
        RETURNING id, position, stream_id, version, type
    )
    INSERT INTO @schema@.erased_events (id, position, stream_id, version, type, erased_at)
    SELECT id, position, stream_id, version, type, p_now FROM gone;
$$;

-- The state and version of a stream, whether it has a row of its own or not.
CREATE FUNCTION @schema@.stream_v1(p_stream text, OUT state text, OUT version integer)
LANGUAGE plpgsql STABLE SET enable_seqscan = off AS $$
BEGIN
    SELECT coalesce(s.state, 'open'), greatest(
        (SELECT e.version FROM @schema@.events AS e WHERE e.stream_id = p_stream
         ORDER BY e.version DESC LIMIT 1), s.version, 0)
    INTO state, version
    FROM (SELECT 1) AS one LEFT JOIN @schema@.streams AS s ON s.stream_id = p_stream;
END $$;

CREATE FUNCTION @schema@.change_stream_v1(
    p_stream text, p_action text, p_below integer, p_now bigint, p_number integer
) RETURNS void LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
    v_state text;
    v_version integer;
    v_next text;
BEGIN
    SELECT state, version INTO v_state, v_version FROM @schema@.stream_v1(p_stream);
    v_next := v_state;
    IF v_state = 'tombstoned' THEN
        IF p_action IN ('archive', 'restore') THEN
            PERFORM @schema@.refuse_v1(json_build_object('refused', 'change', 'i', p_number));
        END IF;
        RETURN;
    END IF;
    CASE p_action
        WHEN 'archive' THEN v_next := 'archived';
        WHEN 'restore' THEN v_next := CASE v_state WHEN 'archived' THEN 'open' ELSE v_state END;
        WHEN 'truncate' THEN PERFORM @schema@.erase_v1(p_stream, p_below, p_now);
        ELSE
            v_next := 'tombstoned';
            PERFORM @schema@.erase_v1(p_stream, v_version + 1, p_now);
    END CASE;
    IF v_next <> v_state AND 'archived' IN (v_next, v_state) THEN
        UPDATE @schema@.events SET archived = (v_next = 'archived') WHERE stream_id = p_stream;
    END IF;
    INSERT INTO @schema@.streams AS s (stream_id, state, version)
    VALUES (p_stream, v_next, v_version)
    ON CONFLICT (stream_id) DO UPDATE SET state = excluded.state, version = excluded.version;
    -- What its events show needs no row.
    DELETE FROM @schema@.streams WHERE stream_id = p_stream AND state = 'open' AND version =
        coalesce((SELECT max(e.version) FROM @schema@.events AS e WHERE e.stream_id = p_stream), 0);
END $$;

-- Gives the events of one append their places, or finds that they have theirs already. Appends
-- before it in the same member are in the tables already.
CREATE FUNCTION @schema@.append_v1(
    p_append json, p_number integer, p_head bigint, p_now bigint,
    OUT result json, OUT before integer, OUT repeated bigint[]
) LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
    v_stream text := p_append ->> 'stream';
    v_ids uuid[];
    v_event record;
    v_first record;
    v_known integer := 0;
    v_conflict json;
    v_count integer;
BEGIN
    SELECT coalesce(array_agg(e.id), '{}') INTO v_ids
    FROM json_to_recordset(p_append -> 'events') AS e (id uuid);
    v_count := cardinality(v_ids);
    SELECT s.version INTO before FROM @schema@.stream_v1(v_stream) AS s;
    FOR v_event IN
        SELECT e.*, k.position, k.stream_id, k.version, k.same, e.number::integer - 1 AS place
        FROM ROWS FROM (json_to_recordset(p_append -> 'events')
                AS (id uuid, type text, schema_version integer, data text))
            WITH ORDINALITY AS e (id, type, schema_version, data, number)
        CROSS JOIN LATERAL (
            SELECT s.position, s.stream_id, s.version, s.type = e.type AND
                s.schema_version = e.schema_version AND s.data::text = e.data AS same
            FROM @schema@.events AS s WHERE s.id = e.id
            UNION ALL
            SELECT s.position, s.stream_id, s.version, true
            FROM @schema@.erased_events AS s WHERE s.id = e.id
        ) AS k
        ORDER BY e.number
    LOOP
        v_known := v_known + 1;
        IF v_known = 1 THEN
            v_first := v_event;
        END IF;
        -- Told only if all are known: some known and some not comes first.
        v_conflict := coalesce(v_conflict, CASE
            WHEN v_event.stream_id <> v_stream THEN json_build_object(
                'event', v_event.place, 'why', 'stream', 'stream', v_event.stream_id)
            WHEN v_event.version <> v_first.version + v_event.place THEN json_build_object(
                'event', v_event.place, 'why', 'order', 'version', v_event.version)
            WHEN NOT v_event.same THEN json_build_object(
                'event', v_event.place, 'why', 'content')
        END);
        repeated := array_append(repeated, v_event.position);
    END LOOP;
    IF v_known = 0 AND v_count > (SELECT count(DISTINCT u.id) FROM unnest(v_ids) AS u (id)) THEN
        v_conflict := json_build_object('why', 'twice');
    ELSIF v_known BETWEEN 1 AND v_count - 1 THEN
        v_conflict := json_build_object('event', v_first.place, 'why', 'mixed');
    END IF;
    IF v_conflict IS NOT NULL THEN
        PERFORM @schema@.refuse_v1(json_build_object(
            'refused', 'id', 'i', p_number, 'told', v_conflict));
    END IF;
    IF v_known > 0 THEN
        result := json_build_array(v_first.version + v_count - 1, repeated[v_count]);
        RETURN;
    END IF;
    result := json_build_array(
        before + v_count, CASE WHEN v_count > 0 THEN p_head + v_count ELSE 0 END);
    INSERT INTO @schema@.events (
        position, stream_id, version, id, type, schema_version, data, occurred_at, recorded_at,
        correlation_id, causation_id, actor, tenant, traceparent, headers, tags)
    SELECT p_head + e.number, v_stream, before + e.number, e.id, e.type, e.schema_version,
        e.data::json, e.occurred_at, p_now, e.correlation_id, e.causation_id, e.actor, e.tenant,
        e.traceparent, e.headers::json, e.tags
    FROM ROWS FROM (json_to_recordset(p_append -> 'events') AS (
            id uuid, type text, schema_version integer, data text, occurred_at bigint,
            correlation_id uuid, causation_id uuid, actor text, tenant text, traceparent text,
            headers text, tags text[]))
        WITH ORDINALITY AS e (id, type, schema_version, data, occurred_at, correlation_id,
            causation_id, actor, tenant, traceparent, headers, tags, number);
    INSERT INTO @schema@.event_tags (tag, position)
    SELECT DISTINCT t.tag, p_head + e.number
    FROM ROWS FROM (json_to_recordset(p_append -> 'events') AS (tags text[]))
        WITH ORDINALITY AS e (tags, number), unnest(e.tags) AS t (tag);
END $$;
