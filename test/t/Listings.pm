# What a database is, line by line, so that two of them can be compared: one that was upgraded with a fresh one. And what its rows
# are, so that one can say which of them have changed, or are gone.

package Listings;

use strict;
use warnings;

use Exporter qw(import);
use PostgreSQL::Test::Utils;

our @EXPORT = qw(listings difference picture);

my %parents = (Users => ['Organizations', 'OrgId'], PublicUrls => ['Organizations', 'OrgId'], Albums => ['Organizations', 'OrgId'], AlbumTags => ['Albums', 'AlbumId'],
	PhotoProcs => ['AlbumTags', 'AlbumTagId'], PhotoComments => ['PhotoProcs', 'PhotoProcId'], PhotoLikes => ['PhotoProcs', 'PhotoProcId']);

# By pg_dump, which shows the members of an extension in its mode for pg_upgrade; by the catalog of members; by the catalog of
# tables. Numbers that say when or in what order something was made are taken out, and nothing else: so is where "Mine" stands,
# the column that users have added, and how many rows a backfill found.
sub listings
{
	my ($node, $database) = @_;
	my ($dump, $stderr) = run_command(['pg_dump', '-h', $node->host, '-p', $node->port, '--binary-upgrade', '-s', $database]);
	die $stderr if $stderr ne '';
	$dump =~ s/^\\(un)?restrict .*\n//mg;
	$dump =~ s/(binary_upgrade_set_next_\w+\(')\d+(')/$1N$2/g;
	$dump =~ s/(SET relfrozenxid = ')\d+(', relminmxid = ')\d+(')/$1N$2N$3/g;
	$dump =~ s/^(WHERE oid = ')\d+(';)$/$1N$2/mg;
	$dump =~ s/(?<=[{,])[0-9A-F]+\/[0-9A-F]+(?=[,}].*::pg_catalog\.pg_lsn\[\]\);$)/N/mg;
	$dump =~ s/^(SELECT pg_catalog\.binary_upgrade_create_empty_extension\('photoflow'.*'\{)\d+(\}')/$1N$2/mg;
	my @mine;
	push @mine, $1 while $dump =~ s/,\n(    "Mine" [^\n]*?)(?=,?\n)//;
	push @mine, $1 while $dump =~ s/^--\n-- Name: COLUMN "\w+"\."Mine"; Type: COMMENT[^\n]*\n--\n\n([^\n]*;)\n\n\n//m;
	my %listing = (dump => [(split /\n/, $dump), @mine]);
	$listing{members} = [split /\n/, $node->safe_psql($database, q{
		SELECT replace(x, E'\n', '\n') FROM (
			SELECT format('%s %s: %s', i.type, i.identity, row(m.owner, m.acl, obj_description(d.objid, c.relname))) AS x
			FROM pg_depend d JOIN pg_extension e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid AND e.extname = 'photoflow' AND d.deptype = 'e'
				JOIN pg_class c ON c.oid = d.classid CROSS JOIN LATERAL pg_identify_object(d.classid, d.objid, d.objsubid) i
				LEFT JOIN LATERAL (SELECT proowner::regrole AS owner, proacl AS acl FROM pg_proc WHERE d.classid = 'pg_proc'::regclass AND oid = d.objid
					UNION ALL SELECT relowner::regrole, relacl FROM pg_class WHERE d.classid = 'pg_class'::regclass AND oid = d.objid
					UNION ALL SELECT nspowner::regrole, nspacl FROM pg_namespace WHERE d.classid = 'pg_namespace'::regclass AND oid = d.objid) m ON true
			UNION ALL SELECT format('at first %s %s: %s', i.type, i.identity, row(p.privtype, p.initprivs))
			FROM pg_init_privs p CROSS JOIN LATERAL pg_identify_object(p.classoid, p.objoid, p.objsubid) i WHERE i.schema = 'photoflow' OR i.identity = 'photoflow'
			UNION ALL SELECT format('%s: %s', oid::regprocedure, row(pg_get_functiondef(oid), prosqlbody IS NOT NULL)) FROM pg_proc WHERE pronamespace = 'photoflow'::regnamespace
			UNION ALL SELECT format('%s: %s', oid::regclass, pg_get_viewdef(oid)) FROM pg_class WHERE relnamespace = 'photoflow'::regnamespace AND relkind = 'v'
			UNION ALL SELECT format('extension: %s', row(extname, extowner::regrole, extnamespace::regnamespace, extrelocatable, extversion, extconfig::regclass[], extcondition))
			FROM pg_extension WHERE extname = 'photoflow'
			UNION ALL SELECT format('step: %s', t) FROM photoflow.table_steps t
			UNION ALL SELECT format('installed: %s', i) FROM photoflow.installation i) x ORDER BY x COLLATE "C"})];
	$listing{tables} = [split /\n/, $node->safe_psql($database, q{
		WITH t AS (SELECT c.oid::regclass AS name, c.* FROM pg_class c WHERE c.relnamespace IN ('public'::regnamespace, 'photoflow'::regnamespace))
		SELECT replace(x, E'\n', '\n') FROM (
			SELECT format('%s: %s', name, row(relkind, relowner::regrole, relacl, reloptions, relpersistence, relrowsecurity, relforcerowsecurity, relispartition, relreplident,
				pg_get_partkeydef(oid), pg_get_expr(relpartbound, oid), obj_description(oid, 'pg_class'))) AS x FROM t
			UNION ALL SELECT format('%s.%s: %s', name, attname, row(CASE WHEN attname <> 'Mine' THEN rank() OVER (PARTITION BY attrelid ORDER BY attname = 'Mine', attnum) END,
				format_type(atttypid, atttypmod), attnotnull, attstattarget, attisdropped, attacl, attstorage, attcollation::regcollation, attidentity, attgenerated,
				(SELECT pg_get_expr(adbin, adrelid) FROM pg_attrdef d WHERE d.adrelid = attrelid AND d.adnum = attnum), col_description(attrelid, attnum)))
			FROM t JOIN pg_attribute ON attrelid = t.oid WHERE attnum > 0
			UNION ALL SELECT format('%s constraint %s: %s', name, conname, row(pg_get_constraintdef(k.oid), convalidated, condeferrable, conislocal, coninhcount, obj_description(k.oid, 'pg_constraint')))
			FROM t JOIN pg_constraint k ON k.conrelid = t.oid
			UNION ALL SELECT format('%s index: %s', name, row(pg_get_indexdef(indexrelid), indisprimary, indisvalid, indisready, obj_description(indexrelid, 'pg_class'))) FROM t JOIN pg_index ON indrelid = t.oid
			UNION ALL SELECT format('%s trigger: %s', name, row(pg_get_triggerdef(g.oid), tgenabled, tgparentid <> 0, obj_description(g.oid, 'pg_trigger')))
			FROM t JOIN pg_trigger g ON tgrelid = t.oid WHERE NOT tgisinternal
			UNION ALL SELECT format('%s triggers of keys: %s', name, row(tgfoid::regproc, tgenabled, count(*))) FROM t JOIN pg_trigger ON tgrelid = t.oid WHERE tgisinternal GROUP BY name, tgfoid, tgenabled
			UNION ALL SELECT format('%s policy: %s', name, row(polname, polcmd, polpermissive, polroles, pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid), obj_description(p.oid, 'pg_policy')))
			FROM t JOIN pg_policy p ON polrelid = t.oid
			UNION ALL SELECT format('%s view: %s', name, pg_get_viewdef(oid)) FROM t WHERE relkind = 'v'
			UNION ALL SELECT format('done: %s', row("Step", "Version", "Kind", "Description", "State",
				CASE WHEN "Kind" <> 'backfill' THEN "RowsDone" END, CASE WHEN "Kind" <> 'backfill' THEN "RowsTotal" END)) FROM "__PhotoflowMigrations"
			UNION ALL SELECT format('workflow: %s', row("Version", "Name", "Definition", "IsCurrent")) FROM "WorkflowVersions"
			UNION ALL SELECT format('secret: %s', row("Kind", "Kid", length("Secret"))) FROM "__PhotoflowSecrets") x ORDER BY x COLLATE "C"})];
	return %listing;
}

# The lines that one has and the other has not, and how often.
sub difference
{
	my ($one, $other) = @_;
	my %count;
	$count{$_}++ foreach @$one;
	$count{$_}-- foreach @$other;
	my @lines = map { ($count{$_} > 0 ? '- ' : '+ ') . $_ } grep { $count{$_} } sort keys %count;
	return @lines if @lines;
	return join("\n", @$one) eq join("\n", @$other) ? () : ('the same lines in another order');
}

# A query for all rows of some tables: whose they are, what they hang on, whether they are deleted, when they were last modified
# and, where the tables have that, by which deletion; and the rest of them.
sub picture
{
	my ($marked, @tables) = @_;
	return join ' UNION ALL ', map
	{
		my ($above, $column) = @{$parents{$_} // [undef, undef]};
		sprintf q{SELECT '%s'::text AS tbl, "Id" AS id, %s AS org, %s::text AS ptbl, %s::uuid AS parent, "IsDeleted" AS deleted, %s AS at,
			to_jsonb(x) - ARRAY['IsDeleted', 'DeletedAt', 'DeletedBy', 'DeletionId'] AS content%s FROM "%s" x},
			$_, ($_ eq 'Organizations' ? '"Id"' : '"OrgId"'), ($above ? "'$above'" : 'NULL'), ($column ? qq{"$column"} : 'NULL'), ($_ eq 'AuditLogs' ? '"CreatedAt"' : '"ModifiedAt"'),
			($marked ? ', "DeletedAt" AS deleted_at, "DeletedBy" AS deleted_by, "DeletionId" AS deletion' : ''), $_;
	} @tables;
}

1;
