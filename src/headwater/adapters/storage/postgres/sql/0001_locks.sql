-- The locks of a commit, in the one order that all commits take them in: collections, checkpoints,
-- and rows, each sorted, and then the log. Two commits so never wait for each other in a circle.
--
-- Functions that are called from outside set their own search path, or a function of somebody else's
-- could take the place of one of PostgreSQL's.

-- What each transaction that writes begins with. Locks are waited for p_lock_ms milliseconds.
CREATE FUNCTION @schema@.enter_v1(p_lock_ms integer) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    -- In any other isolation level a statement would not see what was committed before it got
    -- the log's lock.
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'Headwater commits in READ COMMITTED only' USING ERRCODE = '25001';
    END IF;
    -- A commit that has returned is promised to be durable. A stricter setting stays.
    IF current_setting('synchronous_commit') = 'off' THEN
        PERFORM set_config('synchronous_commit', 'on', true);
    END IF;
    -- Behind a pooler the COMMIT comes by itself. Who does not send it must not hold the log's
    -- lock for as long as others wait for it.
    RETURN set_config('idle_in_transaction_session_timeout', greatest(p_lock_ms / 2, 1000)::text, true)
        || set_config('lock_timeout', p_lock_ms::text, true);
END $$;

-- Returns what came of a batch if it is done already. An earlier try of it may still be at work on
-- a connection that was lost: then this waits for it.
CREATE FUNCTION @schema@.begin_v1(p_writer uuid, p_batch bigint, p_lock_ms integer)
RETURNS json LANGUAGE plpgsql AS $$
DECLARE
    v_done text := @schema@.enter_v1(p_lock_ms);
    v_batch bigint;
    v_result json;
BEGIN
    v_done := pg_advisory_xact_lock(hashtextextended(p_writer::text, 0))::text;
    SELECT batch, result INTO v_batch, v_result FROM @schema@.writers WHERE id = p_writer;
    RETURN CASE WHEN v_batch >= p_batch THEN v_result END;
END $$;

CREATE FUNCTION @schema@.end_v1(p_writer uuid, p_batch bigint, p_result json, p_now bigint)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE @schema@.writers SET batch = p_batch, result = p_result, written_at = p_now
    WHERE id = p_writer;
    IF NOT FOUND THEN
        INSERT INTO @schema@.writers (id, batch, result, written_at)
        VALUES (p_writer, p_batch, p_result, p_now);
        -- Each process that ever wrote has left a row. A week is far longer than any patience.
        DELETE FROM @schema@.writers WHERE id IN (
            SELECT id FROM @schema@.writers WHERE written_at < p_now - 604800000000
            FOR UPDATE SKIP LOCKED);
    END IF;
END $$;

CREATE FUNCTION @schema@.lock_collections_v1(p_names text[], p_exclusive boolean[])
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    -- Whoever relies on a row that is not there, or on a value that is in no other row, must be
    -- alone: what does not exist can't be locked.
    PERFORM CASE WHEN u.exclusive
        THEN pg_advisory_xact_lock(hashtextextended('@schema@.' || u.name, 1::bigint))
        ELSE pg_advisory_xact_lock_shared(hashtextextended('@schema@.' || u.name, 1::bigint)) END
    FROM unnest(p_names, p_exclusive) AS u (name, exclusive);
END $$;

CREATE FUNCTION @schema@.lock_checkpoints_v1(p_subscriptions text[], p_partitions integer[])
RETURNS void LANGUAGE plpgsql SET enable_seqscan = off AS $$
BEGIN
    PERFORM FROM @schema@.checkpoints AS c
    JOIN unnest(p_subscriptions, p_partitions) AS u (subscription, partition)
        ON c.subscription = u.subscription AND c.partition = u.partition
    ORDER BY c.subscription, c.partition
    FOR UPDATE OF c;
END $$;

-- What a batch does to one collection: its statements, and what to run them with. Keys are sorted.
CREATE TYPE @schema@.rows_v1 AS (
    name text, exclusive boolean,
    check_sql text, guard_keys text[], guard_expected bigint[], guard_members integer[],
    unique_sql text,
    write_sql text, fields text[], keys text[], data text[], indexed text[], members integer[],
    delete_sql text, deleted_keys text[], deleted_members integer[]
);

-- Indexes rows by what their JSON says, by the fields that who wrote them did not know.
CREATE FUNCTION @schema@.fill_rows_v1(
    p_name text, p_fields text[], p_keys text[], p_members integer[], p_failed integer
) RETURNS void LANGUAGE plpgsql VOLATILE SET enable_seqscan = off AS $$
DECLARE
    v_sql text;
    v_keys text[];
BEGIN
    SELECT array_agg(u.key) INTO v_keys FROM unnest(p_keys, p_members) AS u (key, member)
    WHERE p_failed IS NULL OR u.member < p_failed;
    FOR v_sql IN
        SELECT f.value FROM @schema@.collections AS c, json_each_text(c.fills) AS f
        WHERE c.name = p_name AND f.key <> ALL (p_fields)
    LOOP
        EXECUTE v_sql USING v_keys;
    END LOOP;
END $$;

-- The position of the first event after p_after, up to p_head, that has all tags and one of the
-- types (none named: any); those at p_own don't count. Erased events count.
CREATE FUNCTION @schema@.first_match_v1(
    p_tags text[], p_after bigint, p_types text[], p_own bigint[], p_head bigint
) RETURNS bigint LANGUAGE plpgsql STABLE
SET enable_seqscan = off AS $$
DECLARE
    v_found bigint;
    v_first text;
    v_others text[];
BEGIN
    IF cardinality(p_tags) = 0 THEN
        SELECT least(
            (SELECT e.position FROM @schema@.events AS e
             WHERE e.position > p_after AND e.position <= p_head
                AND (cardinality(p_types) = 0 OR e.type = ANY (p_types))
                AND NOT e.position = ANY (p_own)
             ORDER BY e.position LIMIT 1),
            (SELECT e.position FROM @schema@.erased_events AS e
             WHERE e.position > p_after AND e.position <= p_head
                AND (cardinality(p_types) = 0 OR e.type = ANY (p_types))
                AND NOT e.position = ANY (p_own)
             ORDER BY e.position LIMIT 1))
        INTO v_found;
        RETURN v_found;
    END IF;
    v_first := p_tags[1];
    v_others := p_tags[2:];
    SELECT t.position INTO v_found FROM @schema@.event_tags AS t
    WHERE t.tag = v_first AND t.position > p_after AND t.position <= p_head
        AND NOT t.position = ANY (p_own)
        AND NOT EXISTS (
            SELECT FROM unnest(v_others) AS o (tag)
            WHERE (SELECT true FROM @schema@.event_tags AS u
                   WHERE u.tag = o.tag AND u.position = t.position) IS NULL)
        AND (cardinality(p_types) = 0 OR coalesce(
            (SELECT e.type FROM @schema@.events AS e WHERE e.position = t.position),
            (SELECT e.type FROM @schema@.erased_events AS e WHERE e.position = t.position)
        ) = ANY (p_types))
    ORDER BY t.position LIMIT 1;
    RETURN v_found;
END $$;
