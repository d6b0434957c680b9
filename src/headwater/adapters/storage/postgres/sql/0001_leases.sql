-- Who works which partition of a subscription. A lease is the worker and the token in the row of its
-- checkpoint, so a commit that moves it has locked both, and compares them under that lock.
--
-- Callers of lease_partitions_v1 take turns by an advisory lock of each subscription and wait for
-- nothing else: a partition whose row is locked is passed over, and taken by the next call. So
-- nobody's lease runs out because a commit waits for the log, and no two wait in a circle.

CREATE FUNCTION @schema@.lock_subscriptions_v1(p_names text[])
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('@schema@.' || u.name, 3::bigint))
    FROM unnest(p_names) AS u (name);
END $$;

-- Extends what a worker has of subscriptions (sorted), takes what is its due, and returns what it
-- has then: one row for each partition, and one for a subscription of which it has none. A call
-- that is sent again, under its own number, is answered as the first time.
CREATE FUNCTION @schema@.lease_partitions_v1(
    p_lock_ms integer, p_call uuid, p_worker text, p_subscriptions text[], p_microseconds bigint
) RETURNS TABLE (
    subscription text, fair integer, workers integer, partition integer, token bigint,
    place bigint, event_id uuid, unclean boolean
) LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off AS $$
#variable_conflict use_column
DECLARE
    v_done text := @schema@.enter_v1(p_lock_ms);
    v_now bigint;
    v_of record;
    v_fair integer;
    v_free integer[];
    v_unclean integer[];
BEGIN
    PERFORM @schema@.lock_subscriptions_v1(p_subscriptions);
    v_now := (extract(epoch FROM clock_timestamp()) * 1000000)::bigint;
    INSERT INTO @schema@.lease_workers AS w (subscription, worker, expires_at, call, unclean)
    SELECT u.name, p_worker, v_now + p_microseconds, p_call, '{}'
    FROM unnest(p_subscriptions) AS u (name)
    ON CONFLICT (subscription, worker) DO UPDATE
    SET expires_at = excluded.expires_at, call = excluded.call,
        unclean = CASE WHEN w.call = excluded.call THEN w.unclean ELSE '{}' END;
    DELETE FROM @schema@.lease_workers AS w
    WHERE w.subscription = ANY (p_subscriptions) AND w.expires_at <= v_now AND NOT EXISTS (
        SELECT FROM @schema@.checkpoints AS c
        WHERE c.subscription = w.subscription AND c.worker = w.worker);
    FOR v_of IN
        SELECT u.name, c.partitions, c.held, w.workers, w.earlier
        FROM unnest(p_subscriptions) AS u (name)
        CROSS JOIN LATERAL (
            SELECT count(*)::integer AS partitions,
                (count(*) FILTER (WHERE c.worker = p_worker))::integer AS held
            FROM @schema@.checkpoints AS c WHERE c.subscription = u.name) AS c
        CROSS JOIN LATERAL (
            SELECT count(*)::integer AS workers,
                (count(*) FILTER (WHERE w.worker < p_worker))::integer AS earlier
            FROM @schema@.lease_workers AS w
            WHERE w.subscription = u.name AND w.expires_at > v_now) AS w
    LOOP
        IF v_of.partitions = 0 THEN
            RAISE EXCEPTION 'no such subscription'
                USING ERRCODE = 'HW004', DETAIL = v_of.name;
        END IF;
        v_fair := v_of.partitions / v_of.workers
            + (v_of.earlier < v_of.partitions % v_of.workers)::integer;
        IF v_of.held < v_fair THEN
            SELECT array_agg(f.partition),
                array_agg(f.partition) FILTER (WHERE f.worker IS NOT NULL)
            INTO v_free, v_unclean
            FROM (
                SELECT c.partition, c.worker FROM @schema@.checkpoints AS c
                WHERE c.subscription = v_of.name AND c.worker IS DISTINCT FROM p_worker
                    AND NOT EXISTS (
                        SELECT FROM @schema@.lease_workers AS w
                        WHERE w.subscription = c.subscription AND w.worker = c.worker
                            AND w.expires_at > v_now)
                ORDER BY c.partition LIMIT v_fair - v_of.held
                FOR UPDATE OF c SKIP LOCKED) AS f;
            -- Another statement: it sees what was committed before the locks were there.
            UPDATE @schema@.checkpoints AS c
            SET worker = p_worker, token = nextval('@schema@.lease_tokens')
            WHERE c.subscription = v_of.name AND c.partition = ANY (v_free);
            UPDATE @schema@.lease_workers AS w SET unclean = w.unclean || v_unclean
            WHERE w.subscription = v_of.name AND w.worker = p_worker AND v_unclean IS NOT NULL;
        END IF;
        RETURN QUERY
            SELECT v_of.name, v_fair, v_of.workers, c.partition, c.token, c.position, c.event_id,
                c.partition = ANY (w.unclean)
            FROM @schema@.lease_workers AS w
            LEFT JOIN @schema@.checkpoints AS c
                ON c.subscription = w.subscription AND c.worker = w.worker
            WHERE w.subscription = v_of.name AND w.worker = p_worker
            ORDER BY c.partition;
    END LOOP;
END $$;

-- Gives up what a worker has of these partitions (null: of all, and it counts as alive no more).
-- Returns false if there is no such subscription.
CREATE FUNCTION @schema@.release_partitions_v1(
    p_lock_ms integer, p_worker text, p_subscription text, p_partitions integer[]
) RETURNS boolean LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off AS $$
DECLARE
    v_done text := @schema@.enter_v1(p_lock_ms);
    v_mine integer[];
BEGIN
    IF NOT EXISTS (SELECT FROM @schema@.checkpoints WHERE subscription = p_subscription) THEN
        RETURN false;
    END IF;
    -- In the order in which commits lock them. A commit that is under way comes first.
    PERFORM FROM @schema@.checkpoints AS c
    WHERE c.subscription = p_subscription AND c.worker = p_worker
        AND (p_partitions IS NULL OR c.partition = ANY (p_partitions))
    ORDER BY c.partition FOR UPDATE;
    IF p_partitions IS NULL THEN
        -- Only now, or others could not extend their leases while this waits.
        PERFORM @schema@.lock_subscriptions_v1(ARRAY[p_subscription]);
        DELETE FROM @schema@.lease_workers
        WHERE subscription = p_subscription AND worker = p_worker;
    END IF;
    -- What the worker was dealt meanwhile too. If somebody has locked that, it is left: it is nobody's
    -- who is alive, so others take it. To wait for it out of order could be to wait in a circle.
    SELECT array_agg(m.partition) INTO v_mine FROM (
        SELECT c.partition FROM @schema@.checkpoints AS c
        WHERE c.subscription = p_subscription AND c.worker = p_worker
            AND (p_partitions IS NULL OR c.partition = ANY (p_partitions))
        FOR UPDATE SKIP LOCKED) AS m;
    UPDATE @schema@.checkpoints SET worker = NULL
    WHERE subscription = p_subscription AND partition = ANY (v_mine);
    RETURN true;
END $$;
