-- The surface: every member of the extension, what it is, who may use it, what it says of itself.
-- The expected file is the page to review when something is added, changed or taken away.
\set SHOW_CONTEXT never
\pset format unaligned
\pset tuples_only on
\pset fieldsep '  '
CREATE TEMP VIEW member AS
	SELECT d.classid, d.objid, o.type AS kind, o.identity, e.extowner, obj_description(d.objid, d.classid::regclass::name) AS comment
	FROM pg_depend d JOIN pg_extension e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
		CROSS JOIN LATERAL pg_identify_object(d.classid, d.objid, d.objsubid) o
	WHERE e.extname = 'photoflow' AND d.deptype = 'e'
		AND d.classid <> 'pg_type'::regclass;		-- row types of tables: members of their own since 17

-- Names the roles of an ACL; the extension's owner is called (owner). MAINTAIN came with 17.
CREATE FUNCTION pg_temp.access(acl aclitem[], kind "char", owner oid, extowner oid) RETURNS text LANGUAGE sql AS $$
	SELECT CASE WHEN owner = extowner THEN 'owned' ELSE 'owned by ' || owner::regrole END || coalesce(string_agg('; ' || grants, '' ORDER BY grants), '')
	FROM (SELECT format('%s: %s', CASE a.grantee WHEN 0 THEN 'PUBLIC' WHEN extowner THEN '(owner)' ELSE a.grantee::regrole::text END,
			string_agg(lower(a.privilege_type) || CASE WHEN a.is_grantable THEN '*' ELSE '' END, ' ' ORDER BY a.privilege_type)) AS grants
		FROM aclexplode(coalesce(acl, acldefault(kind, owner))) a WHERE a.privilege_type <> 'MAINTAIN' GROUP BY a.grantee) x
$$;

-- how many of each kind
SELECT kind, count(*) FROM member GROUP BY kind ORDER BY kind COLLATE "C";

-- schema
SELECT m.identity, pg_temp.access(n.nspacl, 'n', n.nspowner, m.extowner), m.comment
	FROM member m JOIN pg_namespace n ON m.classid = 'pg_namespace'::regclass AND n.oid = m.objid ORDER BY 1;

-- tables: columns, keys, access, whether they are dumped
SELECT E'\n' || m.kind || ' ' || m.identity
	|| coalesce((SELECT E'\n  dumped with its content' || coalesce(' ' || nullif(e.extcondition[i], ''), '') FROM pg_extension e, generate_subscripts(e.extconfig, 1) i
		WHERE e.extname = 'photoflow' AND e.extconfig[i] = c.oid), E'\n  not dumped')
	|| (SELECT string_agg(format(E'\n  %s %s%s%s', a.attname, format_type(a.atttypid, a.atttypmod), CASE WHEN a.attnotnull THEN ' not null' ELSE '' END,
			coalesce(' default ' || pg_get_expr(ad.adbin, ad.adrelid), '')), '' ORDER BY a.attnum)
		FROM pg_attribute a LEFT JOIN pg_attrdef ad ON ad.adrelid = a.attrelid AND ad.adnum = a.attnum
		WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped)
	|| coalesce((SELECT string_agg(E'\n  ' || conname || ' ' || pg_get_constraintdef(oid), '' ORDER BY conname COLLATE "C") FROM pg_constraint
		WHERE conrelid = c.oid AND contype <> 'n'), '')
	|| E'\n  ' || pg_temp.access(c.relacl, 'r', c.relowner, m.extowner) || E'\n  "' || m.comment || '"'
	FROM member m JOIN pg_class c ON m.classid = 'pg_class'::regclass AND c.oid = m.objid AND c.relkind = 'r' ORDER BY m.identity COLLATE "C";

-- views; 16 and later do not name the table before each column
SELECT E'\n' || m.kind || ' ' || m.identity
	|| (SELECT string_agg(format(E'\n  %s %s', a.attname, format_type(a.atttypid, a.atttypmod)), '' ORDER BY a.attnum) FROM pg_attribute a WHERE a.attrelid = c.oid)
	|| E'\n ' || regexp_replace(regexp_replace(pg_get_viewdef(c.oid), '\m\w+\.(?=\w+\M(?!\())', '', 'g'), '\s+', ' ', 'g')
	|| coalesce(E'\n  with ' || array_to_string(c.reloptions, ', '), '')
	|| E'\n  ' || pg_temp.access(c.relacl, 'r', c.relowner, m.extowner) || E'\n  "' || m.comment || '"'
	FROM member m JOIN pg_class c ON m.classid = 'pg_class'::regclass AND c.oid = m.objid AND c.relkind = 'v' ORDER BY m.identity COLLATE "C";

-- functions and procedures
SELECT E'\n' || m.kind || ' ' || m.identity || E'\n  (' || pg_get_function_arguments(p.oid) || ')' || coalesce(E'\n  returns ' || pg_get_function_result(p.oid), '')
	|| E'\n  ' || l.lanname || CASE p.provolatile WHEN 'i' THEN ' immutable' WHEN 's' THEN ' stable' ELSE ' volatile' END
	|| CASE WHEN p.proisstrict THEN ' strict' ELSE '' END
	|| ' parallel ' || CASE p.proparallel WHEN 's' THEN 'safe' WHEN 'r' THEN 'restricted' ELSE 'unsafe' END
	|| CASE WHEN p.proleakproof THEN ' leakproof' ELSE '' END
	|| CASE WHEN p.prosecdef THEN ' SECURITY DEFINER' ELSE '' END
	|| coalesce(' set ' || array_to_string(p.proconfig, ', '), '')
	|| E'\n  ' || pg_temp.access(p.proacl, 'f', p.proowner, m.extowner) || E'\n  "' || m.comment || '"'
	FROM member m JOIN pg_proc p ON m.classid = 'pg_proc'::regclass AND p.oid = m.objid JOIN pg_language l ON l.oid = p.prolang
	ORDER BY m.identity COLLATE "C";

-- what is neither of these is not expected
SELECT kind, identity, comment FROM member
	WHERE classid NOT IN ('pg_namespace'::regclass, 'pg_class'::regclass, 'pg_proc'::regclass)
		OR classid = 'pg_class'::regclass AND objid NOT IN (SELECT oid FROM pg_class WHERE relkind IN ('r', 'v')) ORDER BY 1, 2;

-- rules of the house: a comment on every member, no function that PUBLIC may call merely because nobody said so,
-- none that runs as its owner without a search_path of its own, nothing outside the schema, no data table
SELECT 'without a comment:', kind, identity FROM member WHERE coalesce(comment, '') = '' ORDER BY 2, 3;
SELECT 'without an explicit ACL:', kind, identity FROM member m LEFT JOIN pg_proc p ON m.classid = 'pg_proc'::regclass AND p.oid = m.objid
	LEFT JOIN pg_class c ON m.classid = 'pg_class'::regclass AND c.oid = m.objid
	WHERE m.classid IN ('pg_proc'::regclass, 'pg_class'::regclass) AND coalesce(p.proacl, c.relacl) IS NULL ORDER BY 2, 3;
SELECT 'security definer without a search_path:', identity FROM member m JOIN pg_proc p ON m.classid = 'pg_proc'::regclass AND p.oid = m.objid
	WHERE p.prosecdef AND NOT coalesce(array_to_string(p.proconfig, ';') ~ 'search_path=pg_catalog, pg_temp', false) ORDER BY 2;
SELECT 'elsewhere:', kind, identity FROM member WHERE identity !~ '^photoflow(\.|$)' ORDER BY 2, 3;
\pset format aligned
\pset tuples_only off
