-- machine.sql: what the figures were measured on.
\pset tuples_only on
\pset format unaligned
SELECT photoflow.version()
	   || ', ' || string_agg(name || ' = ' || current_setting(name), ', ' ORDER BY name)
FROM pg_settings
WHERE name IN ('shared_buffers', 'work_mem', 'fsync', 'full_page_writes', 'synchronous_commit', 'autovacuum', 'jit', 'wal_level');
SELECT (SELECT count(*) FROM regexp_matches(pg_read_file('/proc/cpuinfo'), '^processor', 'gn')) || ' cores, '
	   || coalesce(substring(pg_read_file('/proc/cpuinfo') FROM 'model name\s*: ([^\n]*)'), 'processor not named') || ', '
	   || round(substring(pg_read_file('/proc/meminfo') FROM 'MemTotal:\s*(\d+)')::numeric / 1024 / 1024) || ' GiB, Linux '
	   || split_part(pg_read_file('/proc/sys/kernel/osrelease'), '-', 1);
