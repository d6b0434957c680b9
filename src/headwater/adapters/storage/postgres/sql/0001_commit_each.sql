-- Commits members one after another, each accepted or refused alone: those that commit_v1 can't
-- express, or has left undecided. One transaction, and one subtransaction for each member.
--
-- Returns {"results": [member's result, …]}. A result is {"appends": [[version, position], …],
-- "position": n}, or {"refused": kind, …} with what the error needs to tell.

-- Raises HW001 if a member has rows of a collection among p_lost.
CREATE FUNCTION @schema@.check_collections_v1(p_member json, p_lost text[])
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_name text;
BEGIN
    SELECT r.value ->> 'collection' INTO v_name
    FROM (
        SELECT json_array_elements(p_member -> 'guards') AS value UNION ALL
        SELECT json_array_elements(p_member -> 'rows')
    ) AS r
    WHERE r.value ->> 'collection' = ANY (p_lost) LIMIT 1;
    IF FOUND THEN
        PERFORM @schema@.refuse_v1(json_build_object('refused', 'collection', 'told', v_name));
    END IF;
END $$;

-- Applies one member, or raises HW001 with the refusal as its detail; checks in the port's order.
CREATE FUNCTION @schema@.apply_v1(
    p_member json, p_collections json, p_head bigint, p_now bigint, OUT result json, OUT head bigint
) LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
    v_one record;
    v_results json[] := '{}';
    v_befores integer[] := '{}';
    v_repeated bigint[] := '{}';
    v_new boolean[] := '{}';
    v_done record;
    v_digest bytea;
    v_actual bigint;
    v_state text;
    v_position bigint := 0;
    v_sql json;
    v_field json;
    v_owner text;
    v_place integer;
BEGIN
    head := p_head;
    IF (p_member ->> 'deadline')::bigint < p_now THEN
        PERFORM @schema@.refuse_v1(json_build_object('refused', 'deadline'));
    END IF;
    FOR v_one IN
        SELECT r.*, r.number::integer - 1 AS i
        FROM ROWS FROM (json_to_recordset(p_member -> 'receipts')
                AS (consumer text, id uuid, digest text, outcome text))
            WITH ORDINALITY AS r (consumer, id, digest, outcome, number)
    LOOP
        SELECT digest INTO v_digest FROM @schema@.receipts
        WHERE consumer = v_one.consumer AND message_id = v_one.id;
        IF FOUND THEN
            PERFORM @schema@.refuse_v1(json_build_object('refused', 'receipt', 'i', v_one.i,
                'same', v_digest = decode(v_one.digest, 'hex')));
        END IF;
        INSERT INTO @schema@.receipts
            (consumer, message_id, digest, outcome, position, recorded_at)
        VALUES (v_one.consumer, v_one.id, decode(v_one.digest, 'hex'), v_one.outcome::json, 0,
            p_now);
    END LOOP;
    SELECT min(c.number)::integer - 1 INTO v_place
    FROM ROWS FROM (json_to_recordset(p_member -> 'checkpoints') AS (subscription text,
            partition integer, token bigint))
        WITH ORDINALITY AS c (subscription, partition, token, number)
    WHERE c.token IS NOT NULL AND NOT EXISTS (
        SELECT FROM @schema@.checkpoints AS l
        WHERE l.subscription = c.subscription AND l.partition = c.partition
            AND l.token = c.token AND l.worker IS NOT NULL);
    IF v_place IS NOT NULL THEN
        PERFORM @schema@.refuse_v1(json_build_object('refused', 'lease', 'i', v_place));
    END IF;
    FOR v_one IN
        SELECT c.*, c.number::integer - 1 AS i
        FROM ROWS FROM (json_to_recordset(p_member -> 'checkpoints') AS (subscription text,
                partition integer, expected bigint, place bigint, event uuid))
            WITH ORDINALITY AS c (subscription, partition, expected, place, event, number)
    LOOP
        SELECT c.position INTO v_actual FROM @schema@.checkpoints AS c
        WHERE c.subscription = v_one.subscription AND c.partition = v_one.partition;
        IF NOT FOUND OR v_actual <> v_one.expected THEN
            PERFORM @schema@.refuse_v1(json_build_object('refused', 'checkpoint', 'i', v_one.i,
                'actual', coalesce(v_actual, -1)));
        END IF;
        UPDATE @schema@.checkpoints AS c SET position = v_one.place, event_id = v_one.event
        WHERE c.subscription = v_one.subscription AND c.partition = v_one.partition
            AND (v_one.place <> c.position
                OR coalesce(v_one.event, c.event_id) IS DISTINCT FROM c.event_id);
    END LOOP;
    FOR v_one IN
        SELECT a.value, a.number::integer - 1 AS i, json_array_length(a.value -> 'events') AS n
        FROM json_array_elements(p_member -> 'appends') WITH ORDINALITY AS a (value, number)
    LOOP
        SELECT * INTO v_done FROM @schema@.append_v1(v_one.value, v_one.i, head, p_now);
        v_results := array_append(v_results, v_done.result);
        v_befores := array_append(v_befores, v_done.before);
        v_repeated := v_repeated || coalesce(v_done.repeated, '{}');
        v_new := array_append(v_new, v_done.repeated IS NULL);
        v_position := greatest(v_position, (v_done.result ->> 1)::bigint);
        IF v_done.repeated IS NULL THEN
            head := head + v_one.n;
        END IF;
    END LOOP;
    FOR v_one IN
        SELECT a.value ->> 'stream' AS stream, a.number::integer - 1 AS i
        FROM ROWS FROM (json_array_elements(p_member -> 'appends'), unnest(v_new))
            WITH ORDINALITY AS a (value, new, number)
        WHERE a.new AND json_array_length(a.value -> 'events') > 0
        ORDER BY a.number
    LOOP
        SELECT s.state INTO v_state FROM @schema@.stream_v1(v_one.stream) AS s;
        IF v_state <> 'open' THEN
            PERFORM @schema@.refuse_v1(json_build_object('refused', 'closed', 'i', v_one.i,
                'state', v_state));
        END IF;
    END LOOP;
    FOR v_one IN
        SELECT a.before, a.number::integer - 1 AS i
        FROM ROWS FROM (json_array_elements(p_member -> 'appends'), unnest(v_befores),
            unnest(v_new)) WITH ORDINALITY AS a (value, before, new, number)
        WHERE a.new AND NOT CASE (a.value ->> 'expected')::integer
            WHEN -1 THEN true WHEN -2 THEN a.before > 0
            ELSE a.before = (a.value ->> 'expected')::integer END
        ORDER BY a.number
    LOOP
        PERFORM @schema@.refuse_v1(json_build_object('refused', 'version', 'i', v_one.i,
            'actual', v_one.before));
    END LOOP;
    FOR v_one IN
        SELECT c.*, c.number::integer - 1 AS i
        FROM ROWS FROM (json_to_recordset(p_member -> 'conditions')
                AS (tags text[], after bigint, types text[]))
            WITH ORDINALITY AS c (tags, after, types, number)
    LOOP
        v_actual := @schema@.first_match_v1(
            v_one.tags, v_one.after, v_one.types, v_repeated, p_head);
        IF v_actual IS NOT NULL THEN
            PERFORM @schema@.refuse_v1(json_build_object('refused', 'condition', 'i', v_one.i,
                'position', v_actual));
        END IF;
    END LOOP;
    FOR v_one IN
        SELECT c.*, c.number::integer - 1 AS i
        FROM ROWS FROM (json_to_recordset(p_member -> 'changes')
                AS (stream text, action text, below integer))
            WITH ORDINALITY AS c (stream, action, below, number)
    LOOP
        PERFORM @schema@.change_stream_v1(
            v_one.stream, v_one.action, v_one.below, p_now, v_one.i);
    END LOOP;
    FOR v_one IN
        SELECT g.*, g.number::integer - 1 AS i
        FROM ROWS FROM (json_to_recordset(p_member -> 'guards')
                AS (collection text, key text, expected bigint))
            WITH ORDINALITY AS g (collection, key, expected, number)
    LOOP
        EXECUTE p_collections -> v_one.collection ->> 'version' INTO v_actual USING v_one.key;
        IF coalesce(v_actual, 0) <> v_one.expected THEN
            PERFORM @schema@.refuse_v1(json_build_object('refused', 'guard', 'i', v_one.i,
                'actual', coalesce(v_actual, 0)));
        END IF;
    END LOOP;
    FOR v_one IN
        SELECT r.*, r.number::integer - 1 AS i
        FROM ROWS FROM (json_to_recordset(p_member -> 'rows')
                AS (collection text, key text, expected bigint, data text, indexed text))
            WITH ORDINALITY AS r (collection, key, expected, data, indexed, number)
    LOOP
        v_sql := p_collections -> v_one.collection;
        IF v_one.expected IS NOT NULL THEN
            EXECUTE v_sql ->> 'version' INTO v_actual USING v_one.key;
            IF coalesce(v_actual, 0) <> v_one.expected THEN
                PERFORM @schema@.refuse_v1(json_build_object('refused', 'row', 'i', v_one.i,
                    'actual', coalesce(v_actual, 0)));
            END IF;
        END IF;
        IF v_one.data IS NULL THEN
            EXECUTE v_sql ->> 'delete' USING ARRAY[v_one.key], ARRAY[0], NULL::integer;
            CONTINUE;
        END IF;
        FOR v_field IN SELECT * FROM json_array_elements(v_sql -> 'unique') LOOP
            EXECUTE v_field ->> 'sql' INTO v_owner USING v_one.key, v_one.indexed::json;
            IF v_owner IS NOT NULL THEN
                PERFORM @schema@.refuse_v1(json_build_object('refused', 'unique', 'i', v_one.i,
                    'place', v_field -> 'place'));
            END IF;
        END LOOP;
        EXECUTE v_sql ->> 'write' USING ARRAY[v_one.key], ARRAY[v_one.data],
            ARRAY[v_one.indexed], ARRAY[0], NULL::integer;
        PERFORM @schema@.fill_rows_v1(v_one.collection,
            ARRAY(SELECT json_array_elements_text(v_sql -> 'fields')),
            ARRAY[v_one.key], ARRAY[0], NULL);
    END LOOP;
    IF v_position > 0 THEN
        UPDATE @schema@.receipts AS r SET position = v_position
        FROM json_to_recordset(p_member -> 'receipts') AS u (consumer text, id uuid)
        WHERE r.consumer = u.consumer AND r.message_id = u.id;
    END IF;
    result := json_build_object('position', v_position, 'appends', array_to_json(v_results));
END $$;

CREATE FUNCTION @schema@.commit_each_v1(
    p_writer uuid, p_batch bigint, p_lock_ms integer, p_log boolean, p_members text[],
    p_collections json, p_names text[], p_exclusive boolean[],
    p_subscriptions text[], p_partitions integer[]
) RETURNS json LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off AS $$
DECLARE
    v_result json := @schema@.begin_v1(p_writer, p_batch, p_lock_ms);
    v_head bigint;
    v_before bigint;
    v_recorded bigint;
    v_now bigint;
    v_member text;
    v_lock text;
    v_results json[] := '{}';
    v_detail text;
    v_constraint text;
    v_values text;
    v_code text;
    v_one json;
    v_any boolean := false;
    v_lost text[];
BEGIN
    IF v_result IS NOT NULL THEN
        RETURN v_result;
    END IF;
    PERFORM @schema@.lock_collections_v1(p_names, p_exclusive);
    PERFORM @schema@.lock_checkpoints_v1(p_subscriptions, p_partitions);
    -- Dropped by somebody since they were prepared here, perhaps made anew without a field.
    SELECT array_agg(u.key) INTO v_lost FROM json_each(p_collections) AS u
    WHERE NOT EXISTS (
        SELECT FROM @schema@.collections AS c WHERE c.name = u.key
            AND c.fields @> ARRAY(SELECT json_array_elements_text(u.value -> 'fields')));
    IF p_log THEN
        PERFORM pg_advisory_xact_lock(1212438354, '@schema@'::regnamespace::oid::integer);
        SELECT greatest(h.position, e.position), greatest(h.recorded_at, e.recorded_at)
        INTO STRICT v_head, v_recorded
        FROM @schema@.head AS h LEFT JOIN (
            SELECT position, recorded_at FROM @schema@.events ORDER BY position DESC LIMIT 1
        ) AS e ON true;
    END IF;
    v_before := v_head;
    v_now := greatest((extract(epoch FROM clock_timestamp()) * 1000000)::bigint, v_recorded);
    FOREACH v_member IN ARRAY p_members LOOP
        BEGIN
            IF v_lost IS NOT NULL THEN
                PERFORM @schema@.check_collections_v1(v_member::json, v_lost);
            END IF;
            SELECT a.result, a.head INTO v_one, v_head
            FROM @schema@.apply_v1(v_member::json, p_collections, v_head, v_now) AS a;
            v_any := true;
        EXCEPTION
            WHEN SQLSTATE 'HW001' THEN
                GET STACKED DIAGNOSTICS v_detail = PG_EXCEPTION_DETAIL;
                v_one := v_detail::json;
            WHEN OTHERS THEN
                GET STACKED DIAGNOSTICS v_code = RETURNED_SQLSTATE,
                    v_detail = MESSAGE_TEXT, v_constraint = CONSTRAINT_NAME,
                    v_values = PG_EXCEPTION_DETAIL;
                -- What others or the server are to blame for is not this member's alone.
                IF left(v_code, 2) IN ('25', '40', '42', '53', '55', '57', '58', 'XX') THEN
                    RAISE;
                END IF;
                v_one := json_build_object('refused', 'failed', 'code', v_code,
                    'told', v_detail, 'constraint', v_constraint, 'values', v_values);
        END;
        v_results := array_append(v_results, v_one);
    END LOOP;
    IF v_head > v_before THEN
        PERFORM pg_notify('@name@_log', v_head::text);
    END IF;
    v_result := json_build_object('head', v_head, 'results', array_to_json(v_results));
    IF v_any THEN
        PERFORM @schema@.end_v1(p_writer, p_batch, v_result, v_now);
    END IF;
    RETURN v_result;
END $$;
