-- The audit log: what applications report and what is masked of it, who may do what, the reports, sealed months, refusals.
\set VERBOSITY sqlstate
\set SHOW_CONTEXT never
\pset null (null)
\pset format unaligned
SET client_min_messages = warning;
INSERT INTO "Organizations" ("Id", "Name") SELECT lab.org(n), n FROM generate_series(71, 74) n;
CREATE ROLE regress_audit_studio;
CREATE ROLE regress_audit_reader;
SELECT photoflow.grant_app('regress_audit_studio') \g /dev/null
SELECT lab.org(71) AS org71, lab.org(72) AS org72, lab.org(73) AS org73, lab.org(74) AS org74, lab.id('user', 71001) AS "user" \gset
-- What there is in a row of the log, but for ids and times; what is NULL is left out.
CREATE FUNCTION lab.said(id uuid) RETURNS jsonb LANGUAGE sql AS $$
	SELECT jsonb_object_agg(j.key, j.value) FROM "AuditLogs" a, jsonb_each(to_jsonb(a)) j
	WHERE a."Id" = said.id AND j.value <> 'null' AND j.key <> ALL ('{Id,OrgId,UserId,CreatedAt,StartedAt,CompletedAt,IsDeleted}')
$$;
-- How a statement is refused: its SQLSTATE, and "index" of the DETAIL.
CREATE FUNCTION lab.refused(statement text, OUT state text, OUT index text) LANGUAGE plpgsql AS $$
DECLARE
	detail text;
BEGIN
	EXECUTE statement;
	state := 'not refused';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, detail = PG_EXCEPTION_DETAIL;
	index := CASE WHEN detail LIKE '{%' THEN detail::jsonb ->> 'index' END;
END $$;
-- A call that an application made some time ago.
CREATE FUNCTION lab.called(org int, service text, action text, ms bigint, ago interval DEFAULT '1 minute', status text DEFAULT 'Success', error text DEFAULT NULL) RETURNS void LANGUAGE sql AS $$
	INSERT INTO "AuditLogs" ("OrgId", "ServiceName", "Action", "ExecutionTimeMs", "CreatedAt", "Status", "ErrorMessage") VALUES (lab.org(org), service, action, ms, now() - ago, status, error)
$$;

-- One operation ----------------------------------------------------------------------------------------------------------
BEGIN;
SELECT photoflow.set_context(lab.org(71), lab.id('user', 71001), 'photographer', 'req-1', 'corr-1') \g /dev/null
SELECT photoflow.log_operation('AlbumService', 'SyncPhotos', 'Album', 'a-1', 1840, 'Failed', 'no answer', '{"folder": "f"}', '{"photos": [1, null]}', 'Sync', '{"try": 1}', now() - interval '1 hour', '10.0.0.7', 'curl/8') AS op \gset
SELECT lab.said(:'op');
SELECT "OrgId" = lab.org(71) AS org, "UserId" = :'user' AS "user", "CreatedAt" = now() AS now, "StartedAt" = now() - interval '1 hour' AS started, "CompletedAt" - "StartedAt" AS took, "IsDeleted" FROM "AuditLogs" WHERE "Id" = :'op';
COMMIT;
-- an id of version 7, of now
SELECT :'op' ~ '^.{14}7.{4}[89ab]' AS version_7, abs(('x' || left(replace(:'op', '-', ''), 12))::bit(48)::bigint - extract(epoch FROM clock_timestamp()) * 1000) < 600000 AS of_now;
-- the least that there may be; ids grow
SET photoflow.org_id = :'org71';
SELECT photoflow.log_operation('Quiet', 'Nothing') AS least \gset
SELECT lab.said(:'least'), :'least'::uuid > :'op'::uuid AS later;
SELECT num_nonnulls("UserId", "StartedAt", "CompletedAt", "RequestData", "ResponseData", "AdditionalData", "Changes", "DbUser", "TransactionId", "DeletedAt") AS others FROM "AuditLogs" WHERE "Id" = :'least';
SELECT photoflow.log_operation('Quiet', 'Nulls', NULL, NULL, NULL, 'Success', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL) AS least \gset
SELECT lab.said(:'least');
-- the context may be SET as well
SET photoflow.user_id = :'user';
SET photoflow.role = 'org_admin';
SET photoflow.request_id = 'req-2';
SET photoflow.correlation_id = 'corr-2';
SELECT photoflow.log_operation('Quiet', 'Set') AS op \gset
RESET photoflow.user_id;
RESET photoflow.role;
RESET photoflow.request_id;
RESET photoflow.correlation_id;
SELECT lab.said("Id"), "UserId" = :'user' AS "user" FROM "AuditLogs" WHERE "Id" = :'op';
-- it goes with its savepoint
BEGIN;
SELECT photoflow.log_operation('Quiet', 'Kept') \g /dev/null
SAVEPOINT s;
SELECT photoflow.log_operation('Quiet', 'Undone') \g /dev/null
ROLLBACK TO s;
COMMIT;
SELECT "Action", count(*) FROM "AuditLogs" WHERE "OrgId" = :'org71' AND "ServiceName" = 'Quiet' GROUP BY 1 ORDER BY 1;
SELECT n, r.state FROM (VALUES (1, $$NULL, 'a'$$), (2, $$'Never', NULL$$), (3, $$NULL, NULL$$), (4, $$'Never', 'a', status => 'success'$$), (5, $$'Never', 'a', status => ''$$), (6, $$'Never', 'a', status => 'Pending'$$),
		(7, $$'Never', 'a', execution_time_ms => -1$$), (8, $$'Never', 'a', execution_time_ms => '-9223372036854775808'$$), (9, $$'Never', 'a', execution_time_ms => -1, started_at => now()$$), (10, $$'Never', 'a', status => NULL$$)) x (n, arguments),
	lab.refused(format('SELECT photoflow.log_operation(%s)', arguments)) r ORDER BY n;
BEGIN READ ONLY;
SELECT photoflow.log_operation('Never', 'a');
ROLLBACK;
-- without an organization, the owner too
RESET photoflow.org_id;
SELECT photoflow.log_operation('Never', 'a');
SET ROLE regress_audit_studio;
SELECT photoflow.log_operation('Never', 'a');
SET photoflow.org_id = :'org71';
SELECT photoflow.log_operation('Quiet', 'Application') AS op \gset
-- without the privilege
SET ROLE regress_audit_reader;
SELECT photoflow.log_operation('Never', 'a');
RESET ROLE;
GRANT SELECT ON "AuditLogs" TO regress_audit_reader;
SET ROLE regress_audit_reader;
SELECT photoflow.log_operation('Never', 'a');
RESET ROLE;
REVOKE ALL ON "AuditLogs" FROM regress_audit_reader;
SELECT lab.said(:'op'), (SELECT count(*) FROM "AuditLogs" WHERE "ServiceName" = 'Never') AS never;

-- Times ------------------------------------------------------------------------------------------------------------------
BEGIN;
SELECT now() - interval '1 hour' AS ago \gset
SELECT photoflow.log_operation('Clock', 'measured', started_at => :'ago') AS op \gset
SELECT "StartedAt" = :'ago' AS started, "ExecutionTimeMs" BETWEEN 3600000 AND 3660000 AS measured, "CompletedAt" = "StartedAt" + "ExecutionTimeMs" * interval '1 ms' AS completed FROM "AuditLogs" WHERE "Id" = :'op';
SELECT photoflow.log_operation('Clock', 'reported', execution_time_ms => 2000) AS op \gset
SELECT "ExecutionTimeMs", "StartedAt" BETWEEN now() - interval '2 s' AND clock_timestamp() - interval '2 s' AS started, "CompletedAt" - "StartedAt" AS took FROM "AuditLogs" WHERE "Id" = :'op';
SELECT photoflow.log_operation('Clock', a, execution_time_ms => ms, started_at => at)
	FROM (VALUES ('1 both', 1500, '2020-01-01 00:00+00'::timestamptz), ('2 both, of tomorrow', 7, now() + interval '1 day'), ('3 of tomorrow', NULL, now() + interval '1 day'), ('4 none', NULL, NULL), ('5 no time at all', 0, NULL), ('6 instant', 0, now())) x (a, ms, at) \g /dev/null
SELECT "Action", "ExecutionTimeMs", CASE WHEN "StartedAt" < now() - interval '1 month' THEN 'long ago' WHEN "StartedAt" = now() + interval '1 day' THEN 'tomorrow' WHEN "StartedAt" BETWEEN now() AND clock_timestamp() THEN 'now' END AS started,
	"CompletedAt" - "StartedAt" AS took FROM "AuditLogs" WHERE "OrgId" = :'org71' AND "ServiceName" = 'Clock' AND "Action" ~ '^\d' ORDER BY 1;
COMMIT;

-- A batch ----------------------------------------------------------------------------------------------------------------
BEGIN;
SELECT photoflow.set_context(lab.org(71), lab.id('user', 71001), 'anonymous', 'req-3', 'corr-3') \g /dev/null
SELECT photoflow.log_operations('[
	{"service_name": "Batch", "action": "all", "entity_type": "Album", "entity_id": "a-2", "execution_time_ms": 1500, "status": "Failed", "error_message": "late", "request_data": {"a": 1}, "response_data": [1, "x", null],
		"operation": "Sync", "additional_data": "text", "started_at": "2020-01-01T02:00:00+02:00", "ip_address": "::1", "user_agent": "curl"},
	{"service_name": "Batch", "action": "least"},
	{"service_name": "Batch", "action": "nulls", "entity_type": null, "entity_id": null, "execution_time_ms": null, "error_message": null, "request_data": null, "response_data": null, "operation": null, "additional_data": null,
		"started_at": null, "ip_address": null, "user_agent": null},
	{"service_name": "Batch", "action": "measured", "started_at": "2020-01-01T00:00:00Z"},
	{"service_name": "Batch", "action": "reported", "execution_time_ms": 20}]');
SELECT lab.said("Id") - '{ServiceName,Role,RequestId,CorrelationId}'::text[] #- CASE "Action" WHEN 'measured' THEN '{ExecutionTimeMs}' ELSE '{}' END::text[] AS said FROM "AuditLogs" WHERE "OrgId" = :'org71' AND "ServiceName" = 'Batch' ORDER BY "Id";
SELECT DISTINCT "Role", "RequestId", "CorrelationId", "UserId" = :'user' AS "user", "CreatedAt" = now() AS now, num_nonnulls("Changes", "DbUser", "TransactionId") AS others FROM "AuditLogs" WHERE "OrgId" = :'org71' AND "ServiceName" = 'Batch';
SELECT "Action", "StartedAt" = '2020-01-01 00:00+00' AS started, "CompletedAt" = "StartedAt" + "ExecutionTimeMs" * interval '1 ms' AS completed, "StartedAt" + "ExecutionTimeMs" * interval '1 ms' BETWEEN now() - interval '1 ms' AND clock_timestamp() AS of_now,
	num_nonnulls("RequestData", "ResponseData", "AdditionalData") AS data FROM "AuditLogs" WHERE "OrgId" = :'org71' AND "ServiceName" = 'Batch' ORDER BY "Id";
COMMIT;
SELECT photoflow.log_operations('[]');
-- 10,000 of them: their ids are in their order
SELECT jsonb_agg(jsonb_build_object('service_name', 'Bulk', 'action', 'a' || n % 7, 'execution_time_ms', n, 'request_data', jsonb_build_object('n', n, 'token', n)) ORDER BY n) AS entries FROM generate_series(1, 10000) n \gset
SELECT photoflow.log_operations(:'entries');
SELECT count(*), count(DISTINCT "Id") AS ids, sum("ExecutionTimeMs"), count(*) FILTER (WHERE "OrgId" = :'org71') AS mine, count(DISTINCT "CreatedAt") AS times,
	count(*) FILTER (WHERE "RequestData" = jsonb_build_object('n', "ExecutionTimeMs", 'token', '***') AND "Action" = 'a' || "ExecutionTimeMs" % 7) AS whole FROM "AuditLogs" WHERE "ServiceName" = 'Bulk';
SELECT count(*) AS out_of_order FROM (SELECT "ExecutionTimeMs" - row_number() OVER (ORDER BY "Id") AS off FROM "AuditLogs" WHERE "ServiceName" = 'Bulk') x WHERE off <> 0;
-- one wrong: none is written
SELECT jsonb_agg(jsonb_build_object('service_name', 'Never', 'action', 'a', 'execution_time_ms', 9999 - n) ORDER BY n) AS entries FROM generate_series(1, 10000) n \gset
SELECT * FROM lab.refused(format('SELECT photoflow.log_operations(%L)', :'entries'));
SELECT n, entries, r.* FROM (VALUES (1, NULL), (2, '{}'), (3, '{"service_name": "Never", "action": "a"}'), (4, '"text"'), (5, '7'), (6, 'null'), (7, '[7]'), (8, '[null]'), (9, '[[]]'), (10, '[OK}, "x"]'),
		(11, '[{}]'), (12, '[{"service_name": "Never"}]'), (13, '[OK}, OK}, {"action": "a"}]'), (14, '[OK, "service_name": null}]'), (15, '[OK}, OK, "action": null}]'),
		(16, '[OK}, OK, "org_id": "x"}]'), (17, '[OK, "Status": "Failed"}]'), (18, '[OK, "": 1}]'), (19, '[OK, "changes": {}}]'), (20, '[OK, "service_name": 7}]'), (21, '[OK, "action": true}]'), (22, '[OK, "entity_type": {}}]'),
		(23, '[OK}, OK, "entity_id": 7}]'), (24, '[OK, "execution_time_ms": "7"}]'), (25, '[OK, "execution_time_ms": 1.5}]'), (26, '[OK, "execution_time_ms": 9223372036854775808}]'), (27, '[OK}, OK}, OK, "execution_time_ms": -1}]'),
		(28, '[OK, "execution_time_ms": true}]'), (29, '[OK}, OK, "status": "Done"}]'), (30, '[OK, "status": 1}]'), (31, '[OK, "error_message": ["x"]}]'), (32, '[OK, "operation": {}}]'), (33, '[OK, "started_at": 7}]'),
		(34, '[OK}, OK, "started_at": "soon"}]'), (35, '[OK, "started_at": "2020-02-30"}]'), (36, '[OK, "ip_address": 7}]'), (37, '[OK, "user_agent": false}]'), (38, '[OK}, OK, "status": null}]')) x (n, entries),
	lab.refused(format('SELECT photoflow.log_operations(%L)', replace(entries, 'OK', '{"service_name": "Never", "action": "a"'))) r ORDER BY n;
BEGIN READ ONLY;
SELECT photoflow.log_operations('[{"service_name": "Never", "action": "a"}]');
ROLLBACK;
SET ROLE regress_audit_reader;
SELECT photoflow.log_operations('[{"service_name": "Never", "action": "a"}]');
SET ROLE regress_audit_studio;
SELECT photoflow.log_operations('[{"service_name": "Batch", "action": "Application"}, {"service_name": "Batch", "action": "Application"}]');
RESET photoflow.org_id;
SELECT photoflow.log_operations('[{"service_name": "Never", "action": "a"}]');
RESET ROLE;
SELECT photoflow.log_operations('[{"service_name": "Never", "action": "a"}]');
SELECT (SELECT count(*) FROM "AuditLogs" WHERE "ServiceName" = 'Never') AS never, (SELECT count(*) FROM "AuditLogs" WHERE "OrgId" = :'org71' AND "Action" = 'Application') AS application;
SET photoflow.org_id = :'org71';

-- Secrets: names ---------------------------------------------------------------------------------------------------------
SELECT photoflow.log_operation('Mask', 'names', request_data => jsonb_object_agg(name, 'v'), response_data => jsonb_build_array(jsonb_object_agg(name, 1)), additional_data => jsonb_build_object('a', jsonb_build_array(0, jsonb_object_agg(name, '{}'::jsonb)))) AS op
	FROM unnest('{password,Password,PASSWORD,pass_word,pass-word,_p-a_s-s_w-o_r-d__,userPassword,new-password,mail.password,passwd,dbPasswd,pwd,PWD,db_pwd,secret,clientSecret,CLIENT-SECRET,token,Token,accessToken,access_token,refresh-token,token_,
		apikey,apiKey,api_key,API-KEY,x-api-key,privateKey,private_key,ssh-private-key,passphrase,keyPassphrase,hashedPassword,HashedPassword,hashed_password,passwordHash,password_hash,PASSWORD-HASH,authorization,Authorization,cookie,Cookie,
		set-cookie,setCookie,Set_Cookie,connectionString,connection_string,ConnectionString,credentials,Credentials,proxy-authorization,tok en,api.key}'::text[]) name \gset
SELECT count(*) AS names, string_agg(r.key, ' ') FILTER (WHERE r.value <> '***') AS request, string_agg(s.key, ' ') FILTER (WHERE s.value <> '***') AS response, string_agg(t.key, ' ') FILTER (WHERE t.value <> '***') AS additional
	FROM "AuditLogs", jsonb_each_text("RequestData") r JOIN jsonb_each_text("ResponseData" -> 0) s USING (key) JOIN jsonb_each_text("AdditionalData" #> '{a,1}') t USING (key) WHERE "Id" = :'op';
SELECT photoflow.log_operation('Mask', 'no secrets', request_data => jsonb_object_agg(name, 'v')) AS op
	FROM unnest('{"",tokens,tokenCount,token_count,token_type,passwords,passwordless,password_hint,secrets,secretary,secret_name,cookies,my_cookie,set-cookies,authorizationUrl,authorizations,credential,my_credentials,connectionStrings,
		db_connection_string,userPasswordHash,apikeys,api_key_id,privateKeys,public_key,key,keys,pass,passcode,pin,pw,pasword,toke}'::text[]) name \gset
SELECT count(*) AS names, string_agg(key, ' ') FILTER (WHERE value <> 'v') AS masked FROM "AuditLogs", jsonb_each_text("RequestData") WHERE "Id" = :'op';
-- whatever their value is, however deep; null stays null
SELECT photoflow.log_operation('Mask', 'values', request_data => '{"password": 1, "token": true, "secret": {"a": {"b": 1}}, "pwd": [1, 2], "apiKey": null, "passphrase": "", "ok": null, "credentials": "***"}',
	response_data => '{"a": [{"b": {"password": "x", "c": 1}}, [[{"token": "t"}, "token"]]], "tokens": {"token": 1, "count": 2}, "d": "secret"}', additional_data => '[{"secret": 1}, ["password"], "pwd", 3]') AS op \gset
SELECT "RequestData", "ResponseData", "AdditionalData" FROM "AuditLogs" WHERE "Id" = :'op';
SELECT photoflow.log_operation('Mask', 'depth', request_data => (repeat('[{"a": ', 500) || '{"token": "t", "b": 1}' || repeat('}]', 500))::jsonb, response_data => 'true', additional_data => '[]') AS op \gset
SELECT "RequestData"::text = repeat('[{"a": ', 500) || '{"b": 1, "token": "***"}' || repeat('}]', 500) AS deep, "ResponseData", "AdditionalData" FROM "AuditLogs" WHERE "Id" = :'op';
-- all else is as it was given
CREATE TEMP TABLE innocent (data jsonb);
INSERT INTO innocent VALUES ('{"n": 12345678901234567890.1234500, "z": 1.10, "e": {}, "l": [], "s": "", "b": [true, false, null], "u": "\u00e9\n\"\\ \ud83d\ude00", "deep": [[[{"x": [1e3, -0.5]}]]], "é": 1}'), ('"text"'), ('7'), ('[]'), ('{}'),
	(to_jsonb(repeat('long enough ', 100000)));
SELECT count(photoflow.log_operation('Mask', 'innocent', request_data => data, response_data => data, additional_data => data)) FROM innocent;
SELECT count(*) AS kept FROM "AuditLogs" JOIN innocent ON data::text = "RequestData"::text AND data::text = "ResponseData"::text AND data::text = "AdditionalData"::text WHERE "OrgId" = :'org71' AND "Action" = 'innocent';

-- Secrets: in texts ------------------------------------------------------------------------------------------------------
\set jwt eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl
CREATE TEMP TABLE texts (n int, given text);
INSERT INTO texts VALUES (1, :'jwt'), (2, 'call with ' || :'jwt' || ' failed'), (3, 'Bearer abc.def-1'), (4, 'Basic dXNlcjpwdw=='), (5, 'with Bearer ' || :'jwt' || ' failed'), (6, 'password=hunter2'), (7, 'token: hunter2'), (8, 'login with password=hunter2 failed'),
	(9, 'Host=db;Password=hunter2;Database=x'), (10, 'GET /a?access_token=hunter2&page=2'), (11, 'api_key=hunter2 and client-secret: hunter3 too'), (12, 'PWD=x'), (13, 'passwordHash=abc'), (14, 'token=a token=b token: c'), (15, 'cookie: a'), (16, E'first\npassword=hunter2\nlast'),
	(17, 'Anmeldung für Jürgen: passwd=hunter2 größer'),
	(30, 'the password is wrong'), (31, 'no token given, see secret store'), (32, 'tokens=5 tokenCount: 3'), (33, 'Bearer'), (34, 'see www.eye.eu, 1.2.3 and they.go'), (35, 'passwordless=yes'), (36, ''), (37, 'status=ok, user: bo'), (38, 'Mozilla/5.0 (X11; Linux x86_64)'),
	(39, 'Bearers bear'), (40, 'Basically broken'), (41, 'secretary: bo'), (42, 'pass=hunter2'), (43, 'token'), (44, 'password='), (45, 'Größe: 7 Übertragung=x'), (46, 'see eyewear.example.com'), (47, 'eyes.on.you');
SELECT photoflow.log_operation('Text', n::text, error_message => given, user_agent => given, request_data => to_jsonb(given), response_data => jsonb_build_object('a', jsonb_build_array(1, given)), additional_data => jsonb_build_object(n, given)) FROM texts \g /dev/null
SELECT n, replace(given, E'\n', '\n') AS given, replace("ErrorMessage", E'\n', '\n') AS written FROM texts JOIN "AuditLogs" ON "OrgId" = :'org71' AND "ServiceName" = 'Text' AND "Action" = n::text ORDER BY n;
-- the same in every other place
SELECT count(*) AS same FROM "AuditLogs" WHERE "OrgId" = :'org71' AND "ServiceName" = 'Text' AND "UserAgent" = "ErrorMessage" AND "RequestData" = to_jsonb("ErrorMessage")
	AND "ResponseData" = jsonb_build_object('a', jsonb_build_array(1, "ErrorMessage")) AND "AdditionalData" = jsonb_build_object("Action", "ErrorMessage");
-- a scheme after the name: what follows is the secret
SELECT photoflow.log_operation('Text', 'header', error_message => 'Authorization: Bearer hunter2', user_agent => 'authorization=Basic hunter2', request_data => '"Set-Cookie: hunter2"') AS op \gset
SELECT lab.said(:'op')::text LIKE '%hunter2%' AS told, lab.said(:'op')::text LIKE '%***%***%***%' AS masked;
-- in a batch as well
SELECT photoflow.log_operations('[{"service_name": "Mask", "action": "batch", "request_data": {"pwd": 1, "x": "Bearer abc"}, "response_data": [{"token": "t"}], "additional_data": "password=x", "error_message": "token: x", "user_agent": "pwd=x"}]');
SELECT lab.said("Id") FROM "AuditLogs" WHERE "OrgId" = :'org71' AND "Action" = 'batch';

-- Whose ------------------------------------------------------------------------------------------------------------------
RESET photoflow.org_id;
SELECT lab.called(72, 'Theirs', 'x', 1) \g /dev/null
SET photoflow.org_id = :'org71';
SELECT c.relname, string_agg(p, ' ' ORDER BY p) AS privileges FROM pg_class c, unnest('{SELECT,INSERT,UPDATE,DELETE,TRUNCATE,REFERENCES,TRIGGER}'::text[]) p
	WHERE c.relnamespace = 'public'::regnamespace AND c.relname LIKE 'Audit%' AND c.relkind IN ('r', 'p')
		AND CASE WHEN p IN ('SELECT', 'INSERT', 'UPDATE', 'REFERENCES') THEN has_any_column_privilege('regress_audit_studio', c.oid, p) ELSE has_table_privilege('regress_audit_studio', c.oid, p) END GROUP BY 1 ORDER BY 1;
SET ROLE regress_audit_studio;
INSERT INTO "AuditLogs" ("ServiceName", "Action", "Changes", "TransactionId", "DbUser") VALUES ('Plain', 'mine', NULL, NULL, NULL) RETURNING "OrgId" = lab.org(71) AS mine, "Status", "Changes";
SELECT count(*) FILTER (WHERE "OrgId" = lab.org(71)) > 10000 AS mine, count(*) FILTER (WHERE "OrgId" <> lab.org(71)) AS theirs, count(*) FILTER (WHERE "ServiceName" = 'Theirs') AS named FROM "AuditLogs";
INSERT INTO "AuditLogs" ("Action", "OrgId") VALUES ('theirs', lab.org(72));
INSERT INTO "AuditLogs" ("Action", "Changes") VALUES ('forged', '{}');
INSERT INTO "AuditLogs" ("Action", "Changes") VALUES ('forged', 'null');
INSERT INTO "AuditLogs" ("Action", "Changes") SELECT 'forged', v FROM unnest(ARRAY[NULL, '{"Name": ["a", "b"]}']::jsonb[]) v;
INSERT INTO "AuditLogs" ("Action", "TransactionId") VALUES ('forged', 7);
INSERT INTO "AuditLogs" ("Action", "DbUser") VALUES ('forged', 'postgres');
UPDATE "AuditLogs" SET "Status" = 'Failed';
UPDATE "AuditLogs" SET "IsDeleted" = true WHERE "ServiceName" = 'Plain';
DELETE FROM "AuditLogs";
TRUNCATE "AuditLogs";
MERGE INTO "AuditLogs" a USING (SELECT 'Plain' AS s) x ON a."ServiceName" = x.s WHEN MATCHED THEN DELETE;
INSERT INTO "AuditLogs" ("Id", "CreatedAt", "Action") SELECT "Id", "CreatedAt", 'forged' FROM "AuditLogs" WHERE "ServiceName" = 'Plain' ON CONFLICT ("Id", "CreatedAt") DO UPDATE SET "Action" = 'forged';
SELECT "Action" FROM "AuditLogs" WHERE "ServiceName" = 'Plain' FOR UPDATE;
SELECT "Id" AS mine FROM "AuditLogs" WHERE "ServiceName" = 'Plain' \gset
SELECT photoflow.soft_delete('"AuditLogs"', ARRAY[:'mine'::uuid]);
SELECT count(*) FROM "AuditLogs_default";
INSERT INTO "AuditLogs_default" ("Action") VALUES ('forged');
TABLE "AuditSeals";
TABLE "AuditSettings";
INSERT INTO "AuditSettings" ("KeepFor") VALUES ('1 day');
-- what is the owner's
SELECT photoflow.track('"Albums"');
SELECT photoflow.untrack('"Albums"');
SELECT photoflow.set_audit_retention('1 day');
CALL photoflow.maintain();
SELECT photoflow.seal_partition('"AuditLogs_default"');
SELECT photoflow.verify_partition('"AuditLogs_default"');
TABLE photoflow.audit_partitions;
TABLE photoflow.refusals;
SET photoflow.log_refusals = off;
SELECT set_config('photoflow.log_refusals', 'off', true);
-- without an organization: nothing to see, nothing to write, no reports
RESET photoflow.org_id;
SELECT count(*) FROM "AuditLogs";
INSERT INTO "AuditLogs" ("Action") VALUES ('nobody''s');
SELECT photoflow.entity_timeline('Album', 'a-1');
SELECT photoflow.slow_operations();
SELECT photoflow.failed_operations();
SELECT photoflow.latency_histogram();
TABLE photoflow.slow_operations;
TABLE photoflow.failed_operations;
-- without the privilege to read
SET photoflow.org_id = :'org71';
SET ROLE regress_audit_reader;
SELECT photoflow.entity_timeline('Album', 'a-1');
SELECT photoflow.slow_operations();
SELECT photoflow.failed_operations();
SELECT photoflow.latency_histogram();
RESET ROLE;
SELECT "Action", count(*) FROM "AuditLogs" WHERE "Action" IN ('mine', 'theirs', 'forged', 'nobody''s') AND "OrgId" IN (:'org71', :'org72') GROUP BY 1;
-- superusers load rows as they are
BEGIN;
INSERT INTO "AuditLogs" ("OrgId", "Action", "Changes", "TransactionId", "DbUser") VALUES (:'org71', 'loaded', '{"a": 1}', 7, 'somebody') RETURNING "Changes", "TransactionId", "DbUser";
ROLLBACK;

-- What became of an entity -----------------------------------------------------------------------------------------------
RESET photoflow.org_id;
INSERT INTO "AuditLogs" ("Id", "OrgId", "EntityType", "EntityId", "ServiceName", "Action", "CreatedAt") VALUES
	(lab.id('audit', 71003), :'org71', 'Thing', 't-1', 'S', '3', now() - interval '3 hours'), (lab.id('audit', 71002), :'org71', 'Thing', 't-1', 'S', '2', now() - interval '3 hours'), (lab.id('audit', 71001), :'org71', 'Thing', 't-1', 'S', '4', now() - interval '2 hours'),
	(lab.id('audit', 71009), :'org71', 'Thing', 't-1', 'S', '1', now() - interval '2 days'), (lab.id('audit', 71004), :'org71', 'Thing', 't-1', 'S', 'deleted', now() - interval '1 hour'),
	(lab.id('audit', 71005), :'org71', 'Thing', 't-10', 'S', 'other', now()), (lab.id('audit', 71006), :'org71', 'Things', 't-1', 'S', 'other', now()), (lab.id('audit', 71007), :'org71', 'thing', 'T-1', 'S', 'other', now()),
	(lab.id('audit', 71008), :'org72', 'Thing', 't-1', 'S', 'theirs', now());
DELETE FROM "AuditLogs" WHERE "OrgId" = :'org71' AND "Action" = 'deleted';
SET photoflow.org_id = :'org71';
SELECT action FROM photoflow.entity_timeline('Thing', 't-1');
SELECT action FROM photoflow.entity_timeline('Thing', 't-1', '1 day');
SELECT action FROM photoflow.entity_timeline('Thing', 't-1', since => '150 minutes');
SELECT count(*) FROM photoflow.entity_timeline('Thing', '%');
SET ROLE regress_audit_studio;
SELECT action FROM photoflow.entity_timeline('Thing', 't-1', '1 day');
SET photoflow.org_id = :'org72';
SELECT action FROM photoflow.entity_timeline('Thing', 't-1');
SET photoflow.org_id = :'org73';
SELECT action FROM photoflow.entity_timeline('Thing', 't-1');
RESET ROLE;
SELECT count(*) FROM photoflow.entity_timeline('Thing', 't-1');
RESET photoflow.org_id;
SELECT action FROM photoflow.entity_timeline('Thing', 't-1');
-- all that it says
SET photoflow.org_id = :'org71';
SELECT action, user_id = :'user' AS "user", role, changes, service_name, status, execution_time_ms, error_message, request_id, correlation_id, transaction_id, id = a."Id" AS id, created_at = a."CreatedAt" AS at
	FROM photoflow.entity_timeline('Album', 'a-1') JOIN "AuditLogs" a ON a."Id" = id;
-- operations and changes of the row, in their order
CREATE TABLE lab.kept (id int PRIMARY KEY, name text, note text, pin text, "ClaimToken" int);
SELECT photoflow.track('lab.kept', '{note}', '{pin}');
SET photoflow.user_id = :'user';
SET photoflow.role = 'photographer';
SET photoflow.request_id = 'req-4';
INSERT INTO lab.kept VALUES (1, 'a', 'n', '1234', 5), (2, 'b', NULL, NULL, NULL);
UPDATE lab.kept SET name = 'c', note = 'm' WHERE id = 1;
SELECT photoflow.log_operation('KeptService', 'Open', 'lab.kept', '1', 12, 'Failed', 'boom') \g /dev/null
RESET photoflow.user_id;
UPDATE lab.kept SET note = 'o', name = name;
UPDATE lab.kept SET pin = '4321', "ClaimToken" = 6 WHERE id = 1;
DELETE FROM lab.kept WHERE id = 1;
RESET photoflow.role;
RESET photoflow.request_id;
SELECT action, user_id = :'user' AS "user", role, changes, service_name, status, execution_time_ms AS ms, error_message, request_id, transaction_id IS NOT NULL AS transaction FROM photoflow.entity_timeline('lab.kept', '1');
SELECT bool_and(created_at >= before AND id > id_before) AS in_order, count(*) FROM (SELECT created_at, id, lag(created_at) OVER () AS before, lag(id) OVER () AS id_before FROM photoflow.entity_timeline('lab.kept', '1')) x WHERE before IS NOT NULL;
SELECT action, changes FROM photoflow.entity_timeline('lab.kept', '2');
SELECT "Action", "DbUser" = session_user AS login, "OrgId" = :'org71' AS mine FROM "AuditLogs" WHERE "EntityType" = 'lab.kept' AND "EntityId" = '1' AND "TransactionId" IS NOT NULL ORDER BY "Id";
-- an album, deleted and restored
SELECT photoflow.track('"Albums"') \g /dev/null
SET photoflow.user_id = :'user';
SELECT lab.album(71001, org => 71) AS album \gset
UPDATE "Albums" SET "Name" = 'renamed', "HashedPassword" = 'hunter2' WHERE "Id" = :'album';
DELETE FROM "Albums" WHERE "Id" = :'album';
SELECT "DeletionId" AS gone FROM "Albums" WHERE "Id" = :'album' \gset
SELECT count(*) > 0 AS restored FROM photoflow.restore(:'gone');
SELECT photoflow.untrack('"Albums"') \g /dev/null
UPDATE "Albums" SET "Name" = 'unseen' WHERE "Id" = :'album';
RESET photoflow.user_id;
SELECT t.action, a."Operation", t.changes ->> 'Name' AS name, t.changes -> 'HashedPassword' AS password, t.changes -> 'IsDeleted' AS deleted, t.user_id = :'user' AS "user" FROM photoflow.entity_timeline('Album', :'album') t JOIN "AuditLogs" a ON a."Id" = t.id ORDER BY t.id;
SELECT n, r.state FROM (VALUES (1, $$NULL, 'x'$$), (2, $$'x', NULL$$), (3, $$'x', 'x', '-1 s'$$), (4, $$'x', 'x', NULL$$)) x (n, arguments), lab.refused(format('SELECT photoflow.entity_timeline(%s)', arguments)) r ORDER BY n;

-- What is tracked --------------------------------------------------------------------------------------------------------
CREATE TABLE lab.parts (id int, part int, PRIMARY KEY (id, part)) PARTITION BY LIST (part);
CREATE TABLE lab.parts_1 PARTITION OF lab.parts FOR VALUES IN (1);
CREATE TABLE lab.parent (id int, "Größe, in ""m""" int);
CREATE TABLE lab.child (more int) INHERITS (lab.parent);
CREATE VIEW lab.seen AS SELECT 1 AS id;
CREATE SEQUENCE lab.numbers;
CREATE TEMP TABLE fleeting (id int);
SELECT photoflow.track('lab.parts'), photoflow.track('lab.parent', ignored_columns => ARRAY['Größe, in "m"']::name[]) \g /dev/null
SELECT table_name, level, ignored_columns, masked_columns, enabled FROM photoflow.tracked_tables ORDER BY table_name::text;
-- again: other columns; a column in both lists is ignored; one trigger off is not enabled
SELECT photoflow.track('lab.kept', masked_columns => '{name,note}'), photoflow.track('lab.kept', '{id,name}', '{name,pin}') \g /dev/null
ALTER TABLE lab.parts DISABLE TRIGGER USER;
SET ROLE regress_audit_reader;
SELECT table_name, level, ignored_columns, masked_columns @> '{pin}' AS masked, enabled FROM photoflow.tracked_tables WHERE table_name::text IN ('lab.kept', 'lab.parts') ORDER BY table_name::text;
RESET ROLE;
UPDATE lab.kept SET name = 'd', note = 'shown', pin = '99' WHERE id = 2;
SELECT action, changes FROM photoflow.entity_timeline('lab.kept', '2');
SELECT photoflow.untrack('lab.kept'), photoflow.untrack('lab.kept'), photoflow.untrack('lab.parts'), photoflow.untrack('lab.parent') \g /dev/null
UPDATE lab.kept SET pin = '98', note = 'unseen' WHERE id = 2;
SELECT count(*) FROM photoflow.entity_timeline('lab.kept', '2');
SELECT table_name FROM photoflow.tracked_tables WHERE table_name::text <> 'lab.child';
SELECT photoflow.untrack('lab.child') \g /dev/null
SELECT count(*) FROM photoflow.tracked_tables;
SELECT n, r.state FROM (VALUES (1, $$'lab.seen'$$), (2, $$'lab.numbers'$$), (3, $$'lab.kept_pkey'$$), (4, $$'lab.kept', '{nothing}'$$), (5, $$'lab.kept', NULL, '{name,nothing}'$$), (6, $$'lab.kept', '{ctid}'$$), (7, $$'"AuditLogs"'$$), (8, $$'"AuditLogs_default"'$$),
		(9, $$'"AuditSeals"'$$), (10, $$'"AuditSettings"'$$), (11, $$'fleeting'$$), (12, $$NULL$$), (13, $$'lab.kept', ARRAY['name', NULL]::name[]$$), (14, $$'lab.kept', NULL, ARRAY[NULL]::name[]$$), (15, $$'lab.kept', '{}', '{}'$$)) x (n, arguments),
	lab.refused(format('SELECT photoflow.track(%s)', arguments)) r ORDER BY n;
SELECT table_name, ignored_columns, masked_columns FROM photoflow.tracked_tables;
DROP TABLE lab.kept, lab.parts, lab.child, lab.parent, fleeting;
DROP VIEW lab.seen;
DROP SEQUENCE lab.numbers;
SELECT count(*) FROM photoflow.tracked_tables;

-- What is slow -----------------------------------------------------------------------------------------------------------
RESET photoflow.org_id;
SELECT lab.called(72, 'T72.a', 'hundred', n * 10) FROM generate_series(1, 100) n \g /dev/null
SELECT lab.called(72, service, action, ms, coalesce(ago, '1 minute')::interval)
	FROM (VALUES ('T72.a', 'four', 3000, NULL), ('T72.a', 'four', 1000, NULL), ('T72.a', 'four', 5000, NULL), ('T72.a', 'four', 2000, NULL), ('T72.b', 'uno', 1500, NULL), ('T72.b', 'one', 1500, NULL), ('T72.b', 'below', 999, NULL), ('T72.b', 'below', 999, NULL),
		('T72.b', 'untimed', NULL, NULL), ('T72.b', 'untimed', NULL, NULL), ('T72.b', 'untimed', 1200, NULL), ('T72.c', 'old', 5000, '25 hours'), ('T72.c', 'mixed', 5000, '25 hours'), ('T72.c', 'mixed', 1100, '23 hours'), ('T72.c', 'deleted', 9000, NULL), ('T72.c', 'deleted', 1300, NULL),
		('T72.d', 'third', 1001, NULL), ('T72.d', 'third', 1000, NULL), ('T72.d', 'third', 1001, NULL), ('T72.d', 'tie', 1500, NULL), ('T72.d', 'quarter', 0, NULL), ('T72.d', 'quarter', 1, NULL), ('T72.d', 'quarter', 0, NULL), ('T72.d', 'quarter', 0, NULL)) x (service, action, ms, ago) \g /dev/null
SELECT lab.called(73, 'T72.d', 'tie', 2500), lab.called(73, 'T72.e', 'huge', 9223372036854775807), lab.called(73, 'T72.e', 'huge', 9223372036854775807) \g /dev/null
DELETE FROM "AuditLogs" WHERE "OrgId" = :'org72' AND "ExecutionTimeMs" = 9000;
SET photoflow.org_id = :'org72';
SELECT * FROM photoflow.slow_operations();
SELECT * FROM photoflow.slow_operations(5000, '2 days');
SELECT service, action FROM photoflow.slow_operations(max_rows => 2);
SELECT count(*) FROM photoflow.slow_operations(max_rows => 0);
SELECT count(*) FROM photoflow.slow_operations(5001, '2 days');
SELECT * FROM photoflow.slow_operations(1) WHERE action = 'quarter';
SELECT action, calls, slow_calls FROM photoflow.slow_operations(0) WHERE action IN ('quarter', 'below', 'untimed') ORDER BY 1;
-- the view
SET ROLE regress_audit_studio;
SELECT count(*) FROM photoflow.slow_operations NATURAL JOIN photoflow.slow_operations() f;
SELECT count(*) FROM photoflow.slow_operations;
-- another organization; all of them
SET photoflow.org_id = :'org73';
TABLE photoflow.slow_operations;
RESET ROLE;
RESET photoflow.org_id;
SELECT * FROM photoflow.slow_operations(max_rows => 1000) WHERE service IN ('T72.d', 'T72.e');
GRANT SELECT ON "AuditLogs" TO regress_audit_reader;
SET ROLE regress_audit_reader;
SELECT photoflow.slow_operations();
RESET ROLE;
ALTER ROLE regress_audit_reader BYPASSRLS;
SET ROLE regress_audit_reader;
SELECT service, action, calls FROM photoflow.slow_operations(max_rows => 1000) WHERE action = 'tie';
SET photoflow.org_id = :'org73';
SELECT service, action, calls FROM photoflow.slow_operations(max_rows => 1000) WHERE action = 'tie';
RESET photoflow.org_id;
RESET ROLE;
REVOKE ALL ON "AuditLogs" FROM regress_audit_reader;
SELECT n, r.state FROM (VALUES (1, 'NULL'), (2, '1, NULL'), (3, $$1, '1 day', NULL$$), (4, '-1'), (5, $$1, '-1 s'$$), (6, $$1, '1 day', -1$$), (7, $$0, '0', 0$$)) x (n, arguments), lab.refused(format('SELECT photoflow.slow_operations(%s)', arguments)) r ORDER BY n;

-- What fails -------------------------------------------------------------------------------------------------------------
BEGIN;
SELECT lab.called(74, 'T73.a', 'y', 5, '1 min', 'Failed', 'elsewhere') \g /dev/null
SET LOCAL photoflow.org_id = :'org73';
SELECT lab.called(73, service, action, ms, ago::interval, CASE WHEN error IS NULL THEN 'Success' ELSE 'Failed' END, error)
	FROM (VALUES ('T73.a', 'x', 5, '5 min', 'last'), ('T73.a', 'x', 5, '10 min', 'first'), ('T73.a', 'x', NULL, '1 min', NULL), ('T73.a', 'y', 5, '7 min', 'boom'), ('T73.a', 'y', 5, '8 min', NULL), ('T73.a', 'y', 5, '6 min', NULL), ('T73.b', 'z', 5, '7 min', 'bang'),
		('T73.b', 'a', 5, '7 min', 'bump'), ('T73.b', 'late', 5, '6 min', 'late'), ('T73.b', 'fine', 5, '1 min', NULL), ('T73.c', 'old', 5, '25 hours', 'old'), ('T73.c', 'gone', 5, '1 min', 'gone'), ('T73.c', 'rows', 5, '8 min', 'rows'),
		('T73.c', 'again', 5, '20 min', 'flaky'), ('T73.c', 'again', 5, '1 min', NULL), ('T73.c', 'again', 5, '26 hours', NULL)) x (service, action, ms, ago, error) \g /dev/null
INSERT INTO "AuditLogs" ("OrgId", "ServiceName", "Action", "TransactionId", "Changes") SELECT :'org73', 'T73.c', 'rows', 7, '{}' FROM generate_series(1, 3);
DELETE FROM "AuditLogs" WHERE "OrgId" = :'org73' AND "ErrorMessage" = 'gone';
SELECT service, action, failures, calls, failure_rate, last_error, now() - last_at AS ago FROM photoflow.failed_operations();
SELECT service, action, failures, calls, failure_rate, last_error FROM photoflow.failed_operations('2 days') OFFSET 6;
SELECT service, action, failures, calls, failure_rate, last_error FROM photoflow.failed_operations('450 s') OFFSET 1;
SELECT service, action FROM photoflow.failed_operations(max_rows => 1);
SELECT count(*) FROM photoflow.failed_operations(max_rows => 0);
SET LOCAL ROLE regress_audit_studio;
SELECT count(*) FROM photoflow.failed_operations NATURAL JOIN photoflow.failed_operations() f;
SET LOCAL photoflow.org_id = :'org74';
SELECT service, action, failures, calls, failure_rate, last_error FROM photoflow.failed_operations;
SET LOCAL ROLE NONE;
SET LOCAL photoflow.org_id = '';
SELECT service, action, failures, calls, failure_rate, last_error, now() - last_at AS ago FROM photoflow.failed_operations(max_rows => 1000) WHERE service = 'T73.a';
COMMIT;
SELECT n, r.state FROM (VALUES (1, 'NULL'), (2, $$'1 day', NULL$$), (3, $$'-1 s'$$), (4, $$'1 day', -1$$), (5, $$'0', 0$$)) x (n, arguments), lab.refused(format('SELECT photoflow.failed_operations(%s)', arguments)) r ORDER BY n;

-- How long it takes ------------------------------------------------------------------------------------------------------
SELECT lab.called(74, 'T74', 'a', ms) FROM unnest('{0,1,1,2,3,3,8,15,16,NULL}'::bigint[]) ms \g /dev/null
SELECT lab.called(74, 'T74', 'a', 40, '25 hours'), lab.called(74, 'T74', 'a', 41), lab.called(74, 'T74', 'b', 1024), lab.called(74, 'T74', 'c', 8), lab.called(74, 'T74', 'd', 8), lab.called(74, 'T74b', 'a', 1), lab.called(73, 'T74', 'a', 1) \g /dev/null
SELECT lab.called(74, 'T74', 'b', 1000) FROM generate_series(1, 200) \g /dev/null
SELECT lab.called(74, 'T74', 'c', 4) FROM generate_series(1, 16) \g /dev/null
SELECT lab.called(74, 'T74', 'd', 7) FROM generate_series(1, 15) \g /dev/null
DELETE FROM "AuditLogs" WHERE "OrgId" = :'org74' AND "ExecutionTimeMs" = 41;
SET photoflow.org_id = :'org74';
SELECT * FROM photoflow.latency_histogram('T74', 'a');
SELECT from_ms, below_ms, calls, share, length(bar) AS bar FROM photoflow.latency_histogram('T74', 'b');
SELECT from_ms, below_ms, calls, share, length(bar) AS bar FROM photoflow.latency_histogram('T74', 'c');
SELECT from_ms, below_ms, calls, share, length(bar) AS bar FROM photoflow.latency_histogram('T74', 'd');
SELECT from_ms, below_ms, calls, share, length(bar) AS bar, bar = repeat('█', length(bar)) AS blocks FROM photoflow.latency_histogram('T74');
SELECT from_ms, calls, share, length(bar) AS bar FROM photoflow.latency_histogram(action => 'a');
SELECT from_ms, calls FROM photoflow.latency_histogram('T74', 'a', '2 days') OFFSET 5;
SELECT count(*), sum(calls) FROM photoflow.latency_histogram();
SELECT count(*) FROM photoflow.latency_histogram('T74', 'z');
SET ROLE regress_audit_studio;
SET photoflow.org_id = :'org73';
SELECT * FROM photoflow.latency_histogram('T74');
RESET ROLE;
RESET photoflow.org_id;
SELECT from_ms, calls FROM photoflow.latency_histogram('T74', 'a') LIMIT 2;
SELECT n, r.state FROM (VALUES (1, 'NULL, NULL, NULL'), (2, $$'x', 'x', '-1 s'$$), (3, $$'x', NULL, '0'$$)) x (n, arguments), lab.refused(format('SELECT photoflow.latency_histogram(%s)', arguments)) r ORDER BY n;

-- Months -----------------------------------------------------------------------------------------------------------------
CREATE TABLE "AuditLogs_202001" PARTITION OF "AuditLogs" FOR VALUES FROM ('2020-01-01 00:00+00') TO ('2020-02-01 00:00+00');
CREATE TABLE "AuditLogs_202002" PARTITION OF "AuditLogs" FOR VALUES FROM ('2020-02-01 00:00+00') TO ('2020-03-01 00:00+00');
CREATE TABLE "AuditLogs_209901" PARTITION OF "AuditLogs" FOR VALUES FROM ('2099-01-01 00:00+00') TO ('2099-02-01 00:00+00');
SELECT to_char(now() AT TIME ZONE 'UTC', '"\"AuditLogs_"YYYYMM"\""') AS this_month \gset
INSERT INTO "AuditLogs" ("Id", "OrgId", "ServiceName", "Action", "EntityId", "ExecutionTimeMs", "RequestData", "CreatedAt", "StartedAt") SELECT lab.id('audit', 71100 + n), lab.org(71 + n % 2), 'ab', 'c', n, n, jsonb_build_object('n', n), '2020-01-15 00:00+00'::timestamptz + n * interval '1 h', '2020-01-15 00:00:00.000001+00'
	FROM generate_series(1, 5) n;
SELECT r.state, p FROM (VALUES (1, '"AuditLogs"'), (2, '"AuditLogs_default"'), (3, :'this_month'), (4, '"AuditLogs_209901"'), (5, '"Albums"'), (6, '"AuditSeals"'), (7, '"AuditLogs_pkey"')) x (n, p), lab.refused(format('SELECT photoflow.seal_partition(%L)', p)) r WHERE n <> 3 ORDER BY n;
SELECT state AS this_month FROM lab.refused(format('SELECT photoflow.seal_partition(%L)', :'this_month'));
SELECT photoflow.verify_partition('"AuditLogs_202001"');
SELECT rows, digest, digest ~ '^[0-9a-f]{64}$' AS sha_256 FROM photoflow.seal_partition('"AuditLogs_202001"') \gset
SELECT :rows AS rows, :'sha_256' AS sha_256;
SELECT photoflow.seal_partition('"AuditLogs_202001"');
-- an empty one
SELECT rows, digest ~ '^[0-9a-f]{64}$' AS sha_256, digest <> :'digest' AS another FROM photoflow.seal_partition('"AuditLogs_202002"');
-- What verify_partition() says of January after a change, which is undone.
CREATE FUNCTION lab.verdict(change text DEFAULT 'SELECT', sealed text DEFAULT NULL, OUT ok boolean, OUT sealed_rows bigint, OUT found_rows bigint, OUT digest boolean) LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE change;
	SELECT v.ok, v.sealed_rows, v.found_rows, v.found_digest = sealed INTO ok, sealed_rows, found_rows, digest FROM photoflow.verify_partition('public."AuditLogs_202001"') v;
	RAISE EXCEPTION USING ERRCODE = 'UNDO1', MESSAGE = concat_ws(' ', ok, sealed_rows, found_rows, digest);
EXCEPTION WHEN SQLSTATE 'UNDO1' THEN
END $$;
SELECT ok, sealed_rows, found_rows, sealed_at BETWEEN now() - interval '1 hour' AND now() AS sealed, found_digest = :'digest' AS digest FROM photoflow.verify_partition('"AuditLogs_202001"');
-- each change of a row is found
SELECT n, change, v.* FROM (VALUES (1, $$SELECT$$), (2, $$UPDATE "AuditLogs" SET "Status" = 'Failed' WHERE "Id" = lab.id('audit', 71103)$$), (3, $$UPDATE "AuditLogs" SET "ServiceName" = 'a', "Action" = 'bc' WHERE "Id" = lab.id('audit', 71101)$$),
		(4, $$UPDATE "AuditLogs" SET "Operation" = '' WHERE "Id" = lab.id('audit', 71101)$$), (5, $$UPDATE "AuditLogs" SET "RequestData" = '{"n": 1.0}' WHERE "Id" = lab.id('audit', 71101)$$), (6, $$UPDATE "AuditLogs" SET "RequestData" = 'null' WHERE "Id" = lab.id('audit', 71101)$$),
		(7, $$UPDATE "AuditLogs" SET "StartedAt" = "StartedAt" + interval '1 us' WHERE "Id" = lab.id('audit', 71105)$$), (8, $$UPDATE "AuditLogs" SET "ExecutionTimeMs" = NULL WHERE "Id" = lab.id('audit', 71105)$$),
		(9, $$DELETE FROM "AuditLogs" WHERE "Id" = lab.id('audit', 71105)$$), (10, $$SET LOCAL photoflow.hard_delete = on; DELETE FROM "AuditLogs" WHERE "Id" = lab.id('audit', 71105)$$),
		(11, $$SET LOCAL session_replication_role = replica; INSERT INTO "AuditLogs" ("Id", "OrgId", "Action", "CreatedAt") VALUES (lab.id('audit', 71106), lab.org(71), 'late', '2020-01-31')$$), (12, $$UPDATE "AuditLogs" SET "EntityId" = CASE "EntityId" WHEN '1' THEN '2' ELSE '1' END WHERE "Id" IN (lab.id('audit', 71101), lab.id('audit', 71102))$$),
		(13, $$UPDATE "AuditLogs" SET "Id" = lab.id('audit', 71109) WHERE "Id" = lab.id('audit', 71105)$$), (14, $$UPDATE "AuditLogs_202001" SET "CreatedAt" = "CreatedAt" + interval '1 day' WHERE "Id" = lab.id('audit', 71101)$$)) x (n, change), lab.verdict(change, :'digest') v ORDER BY n;
-- a row that comes late is refused
INSERT INTO "AuditLogs" ("OrgId", "Action", "CreatedAt") VALUES (lab.org(71), 'late', '2020-01-31');
INSERT INTO "AuditLogs" ("OrgId", "Action", "CreatedAt") VALUES (lab.org(71), 'late', '2020-02-01 00:00+00');
SET ROLE regress_audit_studio;
SET photoflow.org_id = :'org71';
INSERT INTO "AuditLogs" ("Action", "CreatedAt") VALUES ('late', '2020-01-31');
RESET photoflow.org_id;
RESET ROLE;
-- what changes no row is not: the same rows in another place, columns that are NULL, the session's settings
SELECT n, change, v.* FROM (VALUES (1, $$CREATE TEMP TABLE moved ON COMMIT DROP AS TABLE "AuditLogs_202001"; SET LOCAL photoflow.hard_delete = on; SET LOCAL session_replication_role = replica; DELETE FROM "AuditLogs_202001"; INSERT INTO "AuditLogs" SELECT * FROM moved ORDER BY "Id" DESC$$),
		(2, $$UPDATE "AuditLogs_202001" SET "Status" = "Status"$$), (3, $$ALTER TABLE "AuditLogs" ADD COLUMN "Extra" text$$), (4, $$ALTER TABLE "AuditLogs" ADD COLUMN "Extra" text; UPDATE "AuditLogs" SET "Extra" = 'x' WHERE "Id" = lab.id('audit', 71101)$$),
		(5, $$ALTER TABLE "AuditLogs" DETACH PARTITION "AuditLogs_202001"$$), (6, $$SET LOCAL TimeZone = 'Asia/Kathmandu'; SET LOCAL DateStyle = 'SQL, DMY'; SET LOCAL IntervalStyle = 'iso_8601'; SET LOCAL extra_float_digits = -5; SET LOCAL bytea_output = 'escape'$$),
		(7, $$SET LOCAL search_path = lab$$)) x (n, change), lab.verdict(change, :'digest') v ORDER BY n;
VACUUM (FULL, ANALYZE) "AuditLogs_202001";
ANALYZE "AuditLogs_202002";
SELECT * FROM lab.verdict(sealed => :'digest');
SELECT partition, from_time AT TIME ZONE 'UTC' AS from_time, to_time AT TIME ZONE 'UTC' AS to_time, bytes > 0 AS bytes, rows_estimate, sealed_at BETWEEN now() - interval '1 hour' AND now() AS sealed FROM photoflow.audit_partitions WHERE to_time < '2021-01-01' ORDER BY from_time;
SELECT partition, from_time, to_time, sealed_at FROM photoflow.audit_partitions WHERE from_time IS NULL OR to_time > '2099-01-01' ORDER BY to_time;
SELECT count(*) = (SELECT count(*) FROM pg_inherits WHERE inhparent = '"AuditLogs"'::regclass) AS all FROM photoflow.audit_partitions;
SELECT count(*) FROM "AuditSeals" WHERE "Rows" = 5 AND "Digest" = :'digest';
SELECT photoflow.verify_partition('"Albums"');
-- for ever, or not
BEGIN;
SELECT photoflow.set_audit_retention('2 years');
SELECT max("KeepFor") AS keep, count(*) FROM "AuditSettings";
SELECT photoflow.set_audit_retention('1 mon'), photoflow.set_audit_retention(NULL);
SELECT count("KeepFor") AS kept FROM "AuditSettings";
SELECT photoflow.set_audit_retention('-1 day');
ROLLBACK;
BEGIN;
CALL photoflow.maintain();
ROLLBACK;
SET photoflow.hard_delete = on;
DELETE FROM "AuditLogs_202001";
RESET photoflow.hard_delete;
DELETE FROM "AuditSeals" WHERE "Partition" LIKE '%AuditLogs_2020%';
SELECT count(*) FROM "AuditSeals";
DROP TABLE "AuditLogs_202001", "AuditLogs_202002", "AuditLogs_209901";

-- Refusals ---------------------------------------------------------------------------------------------------------------
SELECT photoflow.log_operation('Never', 'a');
SELECT * FROM photoflow.refusals;
SELECT photoflow.counts_refusals();
SELECT value, ok FROM photoflow.status() WHERE name = 'refusals';
SHOW photoflow.log_refusals;
SET photoflow.log_refusals = off;
SELECT photoflow.log_operation('Never', 'a');
SET ROLE regress_audit_studio;
SHOW photoflow.log_refusals;
SET photoflow.log_refusals = on;
RESET ROLE;
RESET photoflow.log_refusals;

-- Nothing is left of it
RESET photoflow.org_id;
SET photoflow.hard_delete = on;
DELETE FROM "AuditLogs" WHERE "OrgId" IN (SELECT lab.org(n) FROM generate_series(71, 74) n);
DELETE FROM "PhotoProcs" WHERE "OrgId" IN (SELECT lab.org(n) FROM generate_series(71, 74) n);
DELETE FROM "AlbumTags" WHERE "OrgId" IN (SELECT lab.org(n) FROM generate_series(71, 74) n);
DELETE FROM "AlbumTransitions" WHERE "OrgId" IN (SELECT lab.org(n) FROM generate_series(71, 74) n);
DELETE FROM "Albums" WHERE "OrgId" IN (SELECT lab.org(n) FROM generate_series(71, 74) n);
DELETE FROM "DeletionReasons" WHERE "OrgId" IN (SELECT lab.org(n) FROM generate_series(71, 74) n);
DELETE FROM "Organizations" WHERE "Id" IN (SELECT lab.org(n) FROM generate_series(71, 74) n);
RESET photoflow.hard_delete;
SELECT count(*) FROM "AuditLogs" WHERE "OrgId" = '00000000-0000-0000-0000-000000000000';
DROP OWNED BY regress_audit_studio, regress_audit_reader;
DROP ROLE regress_audit_studio, regress_audit_reader;
DROP TABLE innocent, texts;
DROP FUNCTION lab.said(uuid), lab.refused(text), lab.called(int, text, text, bigint, interval, text, text), lab.verdict(text, text);
