-- Commits members of a batch that touch nothing of each other's but streams. All checks are made at
-- once, under the assumption that every member is accepted; the members before the first for which
-- one does not hold are written, so the assumption was right for them. The others are not decided.
--
-- Returns {"head": position before, "before": [version before each append], "failed": member or
-- null}. Positions in arrays count from 1, members from 0. Arrays are never subscripted: that would
-- be quadratic.
CREATE FUNCTION @schema@.commit_v1(
    p_writer uuid, p_batch bigint, p_lock_ms integer, p_log boolean,
    p_deadlines bigint[],
    p_append_member integer[], p_append_stream text[], p_append_count integer[],
    p_append_expected integer[],
    p_event_member integer[], p_event_id uuid[], p_event_type text[], p_event_schema integer[],
    p_event_data text[], p_event_occurred bigint[], p_event_correlation uuid[],
    p_event_causation uuid[], p_event_actor text[], p_event_tenant text[], p_event_trace text[],
    p_event_headers text[], p_event_tags text[],
    p_tag_event integer[], p_tag text[],
    p_condition_member integer[], p_condition_tags text[], p_condition_after bigint[],
    p_condition_types text[],
    p_receipt_member integer[], p_receipt_consumer text[], p_receipt_message uuid[],
    p_receipt_digest bytea[], p_receipt_outcome text[], p_receipt_event integer[],
    p_checkpoint_member integer[], p_checkpoint_subscription text[],
    p_checkpoint_partition integer[], p_checkpoint_expected bigint[], p_checkpoint_to bigint[],
    p_checkpoint_event uuid[], p_checkpoint_token bigint[],
    p_rows @schema@.rows_v1[]
) RETURNS json LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    v_result json := @schema@.begin_v1(p_writer, p_batch, p_lock_ms);
    v_head bigint;
    v_recorded bigint;
    v_now bigint;
    v_failed integer;
    v_found integer;
    v_before integer[];
    v_streams text[];
    v_versions integer[];
    v_events integer;
    v_rows @schema@.rows_v1;
BEGIN
    IF v_result IS NOT NULL THEN
        RETURN v_result;
    END IF;
    IF p_rows IS NOT NULL THEN
        PERFORM @schema@.lock_collections_v1(array_agg(u.name), array_agg(u.exclusive))
        FROM unnest(p_rows) AS u;
    END IF;
    IF p_checkpoint_member IS NOT NULL THEN
        PERFORM @schema@.lock_checkpoints_v1(p_checkpoint_subscription, p_checkpoint_partition);
        SELECT min(u.member) INTO v_failed
        FROM unnest(p_checkpoint_member, p_checkpoint_subscription, p_checkpoint_partition,
                    p_checkpoint_expected, p_checkpoint_token)
            AS u (member, subscription, partition, expected, token)
        WHERE (SELECT c.position FROM @schema@.checkpoints AS c
               WHERE c.subscription = u.subscription AND c.partition = u.partition
                   AND (u.token IS NULL OR u.token = c.token AND c.worker IS NOT NULL))
            IS DISTINCT FROM u.expected;
    END IF;
    IF p_rows IS NOT NULL THEN
        FOR v_rows IN SELECT * FROM unnest(p_rows) LOOP
            IF v_rows.check_sql IS NOT NULL THEN
                EXECUTE v_rows.check_sql INTO v_found
                    USING v_rows.guard_keys, v_rows.guard_expected, v_rows.guard_members;
                v_failed := least(v_failed, v_found);
            END IF;
            IF v_rows.unique_sql IS NOT NULL AND v_rows.keys IS NOT NULL THEN
                EXECUTE v_rows.unique_sql INTO v_found
                    USING v_rows.keys, v_rows.indexed, v_rows.members;
                v_failed := least(v_failed, v_found);
            END IF;
        END LOOP;
    END IF;
    IF p_log THEN
        PERFORM pg_advisory_xact_lock(1212438354, '@schema@'::regnamespace::oid::integer);
        SELECT greatest(h.position, e.position), greatest(h.recorded_at, e.recorded_at)
        INTO STRICT v_head, v_recorded
        FROM @schema@.head AS h LEFT JOIN (
            SELECT position, recorded_at FROM @schema@.events ORDER BY position DESC LIMIT 1
        ) AS e ON true;
    END IF;
    v_now := greatest((extract(epoch FROM clock_timestamp()) * 1000000)::bigint, v_recorded);

    IF p_deadlines IS NOT NULL THEN
        SELECT min(u.number) - 1 INTO v_found
        FROM unnest(p_deadlines) WITH ORDINALITY AS u (deadline, number)
        WHERE u.deadline < v_now;
        v_failed := least(v_failed, v_found);
    END IF;
    IF p_receipt_member IS NOT NULL THEN
        SELECT min(u.member) INTO v_found
        FROM unnest(p_receipt_member, p_receipt_consumer, p_receipt_message)
            AS u (member, consumer, message)
        WHERE (SELECT true FROM @schema@.receipts AS r
               WHERE r.consumer = u.consumer AND r.message_id = u.message);
        v_failed := least(v_failed, v_found);
    END IF;
    IF p_append_member IS NOT NULL THEN
        SELECT l.before, l.failed INTO v_before, v_found FROM @schema@.look_v1(p_append_member,
            p_append_stream, p_append_count, p_append_expected, false, p_event_member,
            p_event_id) AS l;
        v_failed := least(v_failed, v_found);
    END IF;
    IF p_condition_member IS NOT NULL THEN
        SELECT min(u.member) INTO v_found
        FROM unnest(p_condition_member, p_condition_tags, p_condition_after, p_condition_types)
            AS u (member, tags, after, types)
        -- Mostly nothing at all has come with the first tag, and that is quickly seen.
        WHERE CASE WHEN u.tags = '{}' OR (
                SELECT true FROM @schema@.event_tags AS t
                WHERE t.tag = (u.tags::text[])[1] AND t.position > u.after LIMIT 1)
            THEN @schema@.first_match_v1(u.tags::text[], u.after, u.types::text[], '{}', v_head)
            END IS NOT NULL;
        v_failed := least(v_failed, v_found);
    END IF;

    -- From here on only members before v_failed count.
    v_events := cardinality(p_event_id);
    IF v_failed IS NOT NULL AND v_events > 0 THEN
        SELECT count(*) INTO v_events FROM unnest(p_event_member) AS u (member)
        WHERE u.member < v_failed;
    END IF;
    IF v_events > 0 THEN
        SELECT s.streams, s.versions INTO v_streams, v_versions
        FROM @schema@.spread_v1(p_append_stream, p_append_count, v_before) AS s;
        PERFORM @schema@.write_v1(v_head, v_now, v_events, v_streams, v_versions, p_event_id,
            p_event_type, p_event_schema, p_event_data, p_event_occurred, p_event_correlation,
            p_event_causation, p_event_actor, p_event_tenant, p_event_trace, p_event_headers,
            p_event_tags, p_tag_event, p_tag);
    END IF;
    IF p_receipt_member IS NOT NULL THEN
        INSERT INTO @schema@.receipts
            (consumer, message_id, digest, outcome, position, recorded_at)
        SELECT u.consumer, u.message, u.digest, u.outcome::json, coalesce(v_head + u.event, 0),
            v_now
        FROM unnest(p_receipt_member, p_receipt_consumer, p_receipt_message, p_receipt_digest,
                    p_receipt_outcome, p_receipt_event)
            AS u (member, consumer, message, digest, outcome, event)
        WHERE v_failed IS NULL OR u.member < v_failed;
    END IF;
    IF p_checkpoint_member IS NOT NULL THEN
        UPDATE @schema@.checkpoints AS c SET position = u.place, event_id = u.event
        FROM unnest(p_checkpoint_member, p_checkpoint_subscription, p_checkpoint_partition,
                    p_checkpoint_to, p_checkpoint_event)
            AS u (member, subscription, partition, place, event)
        WHERE c.subscription = u.subscription AND c.partition = u.partition
            -- One that only guards has done so by its lock.
            AND (u.place <> c.position OR coalesce(u.event, c.event_id) IS DISTINCT FROM c.event_id)
            AND (v_failed IS NULL OR u.member < v_failed);
    END IF;
    IF p_rows IS NOT NULL THEN
        FOR v_rows IN SELECT * FROM unnest(p_rows) LOOP
            IF v_rows.deleted_keys IS NOT NULL THEN
                EXECUTE v_rows.delete_sql
                    USING v_rows.deleted_keys, v_rows.deleted_members, v_failed;
            END IF;
            IF v_rows.keys IS NOT NULL THEN
                EXECUTE v_rows.write_sql
                    USING v_rows.keys, v_rows.data, v_rows.indexed, v_rows.members, v_failed;
                IF (SELECT c.fields FROM @schema@.collections AS c WHERE c.name = v_rows.name)
                    <> v_rows.fields
                THEN
                    PERFORM @schema@.fill_rows_v1(v_rows.name, v_rows.fields, v_rows.keys,
                        v_rows.members, v_failed);
                END IF;
            END IF;
        END LOOP;
    END IF;
    v_result := json_build_object('head', v_head, 'before', v_before, 'failed', v_failed);
    IF v_failed IS NULL OR v_failed > 0 THEN
        PERFORM @schema@.end_v1(p_writer, p_batch, v_result, v_now);
    END IF;
    RETURN v_result;
END $$;
