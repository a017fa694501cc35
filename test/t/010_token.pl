# Tokens: which are taken and which are refused, for how long, signed with which keys; that the context they set cannot be
# come by in another way where they are required; and that keys and tokens are not shown anywhere.

use strict;
use warnings;

use Digest::SHA qw(hmac_sha256 hmac_sha384 hmac_sha512);
use MIME::Base64 qw(encode_base64url decode_base64url);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my ($faketime) = glob '/usr/lib/*/faketime/libfaketime.so.1';
die 'libfaketime is not installed' unless $faketime;

my $one = '11111111-1111-4111-8111-111111111111';
my $two = '22222222-2222-4222-8222-222222222222';
my $user = '33333333-3333-4333-8333-333333333333';
my $hs256 = '{"alg":"HS256","typ":"JWT"}';
my $later = time + 100_000;
srand 7519;
my $key = random_key(32);
my $valid = token(claims());

my $node = PostgreSQL::Test::Cluster->new('token');
$node->init(extra => ['--encoding=UTF8', '--no-locale']);
$node->start;
$node->safe_psql('postgres', 'CREATE ROLE studio LOGIN; CREATE ROLE app LOGIN; CREATE DATABASE studio OWNER studio;');
as('studio', q{SELECT photoflow.create_tables(); SELECT photoflow.grant_app('app');}, 'CREATE EXTENSION photoflow');
$node->safe_psql('studio', qq{INSERT INTO "Organizations" ("Id", "Name") VALUES ('$one', 'one'), ('$two', 'two');
	INSERT INTO "Albums" ("OrgId", "Name") VALUES ('$one', 'a'), ('$two', 'b'), ('$two', 'c');
	CREATE SCHEMA lab; GRANT USAGE ON SCHEMA lab TO PUBLIC;
	-- what becomes of a token: 'ok', organization, user, roles; or SQLSTATE and reason; and whatever is not as it should be
	CREATE FUNCTION lab.probe(token bytea) RETURNS text LANGUAGE plpgsql AS \$\$
	DECLARE
		claims record;
		message text;
		detail text;
	BEGIN
		PERFORM photoflow.set_context(NULL);
		BEGIN
			SELECT * INTO claims FROM photoflow.authenticate(convert_from(token, 'UTF8'));
			RETURN concat_ws('|', 'ok', claims.org_id, coalesce(claims.user_id::text, '-'), coalesce(claims.role, '-'),
				CASE WHEN (claims.org_id, claims.user_id, claims.role) IS DISTINCT FROM
					(photoflow.current_org(), photoflow.current_user_id(), photoflow.current_role_name()) THEN 'another context' END);
		EXCEPTION WHEN OTHERS THEN
			GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL;
			RETURN concat_ws(' ', SQLSTATE, CASE WHEN SQLSTATE <> 'PF012' THEN NULL
				WHEN message = 'token is not valid: ' || (detail::jsonb->>'reason') THEN detail::jsonb->>'reason' ELSE message || detail END,
				CASE WHEN photoflow.current_org() IS NOT NULL OR photoflow.current_user_id() IS NOT NULL
					OR photoflow.current_role_name() IS NOT NULL THEN 'with a context' END);
		END;
	END \$\$;
	CREATE FUNCTION lab.run(sql text, argument text) RETURNS void LANGUAGE plpgsql AS \$\$ BEGIN EXECUTE format(sql, argument); END \$\$;
	-- what an error says
	CREATE FUNCTION lab.message(sql text) RETURNS text LANGUAGE plpgsql AS \$\$
	DECLARE
		message text;
		detail text;
		hint text;
	BEGIN
		EXECUTE sql;
		RETURN 'none';
	EXCEPTION WHEN OTHERS THEN
		GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
		RETURN concat_ws(' ', message, nullif(detail, ''), nullif(hint, ''));
	END \$\$;
	-- whether a query has workers
	CREATE FUNCTION lab.workers(query text) RETURNS text LANGUAGE plpgsql AS \$\$
	DECLARE
		line text;
	BEGIN
		FOR line IN EXECUTE 'EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) ' || query LOOP
			IF line ~ 'Workers Launched: [1-9]' THEN
				RETURN 'launched';
			END IF;
		END LOOP;
		RETURN 'none';
	END \$\$;});

# Without a key, and with the examples of the RFCs

is(probe_one($valid), 'PF012 unknown key', 'without a key no token is valid');
my $rfc_key = decode_base64url('AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow');
my $rfc_claims = 'eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ';
my $rfc_input = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.$rfc_claims";
my $rfc_signature = 'dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk';
is(sign($rfc_input, $rfc_key), "$rfc_input.$rfc_signature", 'this test signs as RFC 7515, A.1 does');
set_key($rfc_key);
is(probe_one("$rfc_input.$rfc_signature"), 'PF012 expired', 'RFC 7515, A.1 and RFC 7519, 3.1: well signed, and long expired');
is(probe_one("eyJhbGciOiJub25lIn0.$rfc_claims."), 'PF012 algorithm', 'RFC 7519, 6.1: an unsecured token is refused');
is(probe_one("eyJhbGciOiJub25lIn0.$rfc_claims.$rfc_signature"), 'PF012 algorithm', 'also with a signature');
my @flipped = map { my $bytes = decode_base64url($rfc_signature); vec($bytes, $_, 1) ^= 1; "$rfc_input." . encode_base64url($bytes) } 0 .. 255;
is(tally(probe(@flipped)), '256 PF012 signature', 'any bit of the signature of RFC 7515, A.1 counts');
set_key($key);
is(probe_one("$rfc_input.$rfc_signature"), 'PF012 signature', 'and so does the key');
is(probe_one($valid), "ok|$one|-|-", 'our own token is valid');

# HMAC as Digest::SHA computes it, with keys of 32 to 200 bytes

my %keys = map { $_ => random_key($_) } 32 .. 200;
as('studio', join '', map { "SELECT photoflow.add_token_key('\\x" . unpack('H*', $keys{$_}) . "', '$_');" } sort keys %keys);
my (@right, @wrong);
foreach my $length (sort keys %keys)
{
	my $header = qq({"alg":"HS256","kid":"$length"});
	push @right, map { token(claims('"jti":"' . 'x' x rand(500) . rand() . '"'), $header, $keys{$length}) } 1 .. 5;
	my $other = $length == 200 ? 32 : $length + 1;
	push @wrong, map { token(claims(), $header, $_) } substr($keys{$length}, 1), substr($keys{$length}, 0, -1), $keys{$other}, "$keys{$length}x";
}
is(tally(probe(@right)), "845 ok|$one|-|-", 'tokens that Digest::SHA signed are valid, with keys of 32 to 200 bytes');
is(tally(probe(@wrong)), '676 PF012 signature', 'those signed with a byte less, a byte more or the next key are not');
set_key($key);

# Damage in bulk

my $full = token(claims(qq("sub":"$user","role":["photographer","retoucher"])));
is(probe_one($full), "ok|$one|$user|photographer,retoucher", 'a token with all that there can be in it');
like(tally(amid(map { substr $full, 0, $_ } 0 .. length($full) - 1)), qr/\A\d+ PF012 malformed, \d+ PF012 signature\z/,
	'every truncation is refused');
is(tally(amid(map { substr $full, $_ } 1 .. length($full))), length($full) . ' PF012 malformed', 'and at the other end');
my ($header_length, $claims_length, $signature_length) = map { length } split /\./, $full;
my $claims_end = $header_length + 1 + $claims_length;
like(tally(flip(0, $header_length)), qr/\A(?:\d+ PF012 (?:algorithm|malformed|signature)(?:, |\z))+\z/, 'every bit of the header counts');
like(tally(flip($header_length, $header_length + 1)), qr/\A7 PF012 malformed\z/, 'and of the first dot');
like(tally(flip($header_length + 1, $claims_end)), qr/\A(?:\d+ PF012 malformed, )?\d+ PF012 signature\z/, 'and of the claims');
like(tally(flip($claims_end, $claims_end + 1)), qr/\A7 PF012 malformed\z/, 'and of the second dot');
like(tally(flip($claims_end + 1, length $full)), qr/\A\d+ PF012 malformed, \d+ PF012 signature\z/, 'and of the signature');
is(tally(amid(map { my $bytes = $full; vec($bytes, $_ * 8 + 7, 1) ^= 1; $bytes } 0 .. length($full) - 1)), length($full) . ' 22021',
	'what is no UTF-8 is no text');
is(tally(amid(map { my $bytes = $full; substr($bytes, $_, 0) = "\0"; $bytes } 0 .. length $full)), (1 + length $full) . ' 22021',
	'nor is what has a NUL in it');
like(tally(amid(map { join '', map { chr(33 + int rand 94) } 1 .. rand 100 } 1 .. 500)), qr/\A500 PF012 malformed\z/, 'nor is noise a token');
like(tally(amid(map { my $c = $_; map { my $bytes = $full; substr($bytes, $_, 0) = $c; $bytes } 0 .. length $full } ' ', "\n", '=', '.')),
	qr/\A(?:\d+ PF012 (?:malformed|signature)(?:, |\z))+\z/, 'no character can be slipped in anywhere');

# 1 MB: as text, compressed or not, and also signed
my @large = ("repeat('.', 1000000)", "repeat('A', 1000000)", "repeat('[', 1000000)", "'$full' || repeat('A', 1000000)", "repeat('A', 1000000) || '.$full'",
	"'$full' || repeat(' ', 1000000)", "(SELECT string_agg(md5(n::text), '') FROM generate_series(1, 31250) n)",
	"(SELECT string_agg(md5(n::text), '') FROM generate_series(1, 31250) n) || '.$full'", "replace(repeat('$full', 4000), '.', '')");
my $large = join ', ', map { "($_)" } @large;
is(as('app', "CREATE TEMP TABLE t (token text); INSERT INTO t VALUES $large;
	SELECT count(*), string_agg(DISTINCT lab.probe(convert_to(token, 'UTF8')), ', '), min(length(token)) >= 1000000 FROM t;
	SELECT lab.probe('$full');"), scalar(@large) . "|PF012 malformed|t\nok|$one|$user|photographer,retoucher", 'tokens of 1 MB are refused, from a table too');
my $megabyte = 'x' x 750_000;
is(probe_one(token(claims(qq("x":"$megabyte")))), 'PF012 malformed', 'and when their claims are signed');
is(probe_one(token(claims(), qq({"alg":"HS256","x":"$megabyte"}))), 'PF012 malformed', 'and for their header');
is(probe_one(token(claims(qq("x":) . '[' x 500_000 . ']' x 500_000))), 'PF012 malformed', 'and for their nesting');

# One by one

my %cases = (
	# the form
	'empty' => ['', 'malformed'],
	'one dot' => ['.', 'malformed'],
	'two dots' => ['..', 'malformed'],
	'three dots' => ['...', 'malformed'],
	'a dot more at the end' => ["$full.", 'malformed'],
	'a dot more at the beginning' => [".$full", 'malformed'],
	'five parts' => ['a.b.c.d.e', 'malformed'],
	'twice' => ["$full.$full", 'malformed'],
	'Bearer' => ["Bearer $full", 'malformed'],
	'a space in front' => [" $full", 'malformed'],
	'a space behind' => ["$full ", 'malformed'],
	'a newline behind' => ["$full\n", 'malformed'],
	'quoted' => [qq("$full"), 'malformed'],
	'no header' => [sign('.' . encode_base64url(claims())), 'malformed'],
	'no claims' => [sign(encode_base64url($hs256) . '.'), 'malformed'],
	'no signature' => [$full =~ s/[^.]*\z//r, 'signature'],
	'a short signature' => [token(claims(), $hs256, $key, sub { substr hmac_sha256(@_), 0, 31 }), 'signature'],
	'a long signature' => [token(claims(), $hs256, $key, sub { hmac_sha256(@_) . 'x' }), 'signature'],
	# base64url has one spelling; what is signed is the text, so that these are signed as they stand
	'header as it should be' => [sign(encode_base64url('{"alg":"HS256" }') . '.' . encode_base64url(claims())), 'ok'],
	'padded header' => [sign(encode_base64url('{"alg":"HS256" }') . '==.' . encode_base64url(claims())), 'malformed'],
	'header with bits left over' => [sign((encode_base64url('{"alg":"HS256" }') =~ s/Q\z/R/r) . '.' . encode_base64url(claims())), 'malformed'],
	'header with a space' => [sign((encode_base64url($hs256) =~ s/\A..../$& /r) . '.' . encode_base64url(claims())), 'malformed'],
	'padded claims' => [sign(encode_base64url($hs256) . '.' . encode_base64url(padded(1)) . '=='), 'malformed'],
	'claims with half a padding' => [sign(encode_base64url($hs256) . '.' . encode_base64url(padded(1)) . '='), 'malformed'],
	'claims that need no padding, padded' => [sign(encode_base64url($hs256) . '.' . encode_base64url(padded(0)) . '===='), 'malformed'],
	'claims with bits left over' => [sign(encode_base64url($hs256) . '.' . (encode_base64url(padded(1)) =~ s/Q\z/R/r)), 'malformed'],
	'claims with two bits left over' => [sign(encode_base64url($hs256) . '.' . (encode_base64url(padded(2)) =~ s/0\z/1/r)), 'malformed'],
	'claims of a length that is none' => [sign(encode_base64url($hs256) . '.' . encode_base64url(padded(0)) . 'A'), 'malformed'],
	'claims with a newline' => [sign(encode_base64url($hs256) . '.' . encode_base64url(padded(0)) . "\n"), 'malformed'],
	'claims with four spaces' => [sign(encode_base64url($hs256) . '.' . encode_base64url(padded(0)) . '    '), 'malformed'],
	'claims with a tab' => [sign(encode_base64url($hs256) . ".\t" . encode_base64url(padded(0))), 'malformed'],
	'claims with an umlaut' => [sign(encode_base64url($hs256) . '.' . encode_base64url(padded(0)) . "\xc3\xa4\xc3\xa4"), 'malformed'],
	'claims with - and _' => [token(claims('"x":"~~~???"')), 'ok'],
	'claims with +' => [sign(encode_base64url($hs256) . '.' . (encode_base64url(claims('"x":"~~~???"')) =~ tr/-/+/r)), 'malformed'],
	'claims with /' => [sign(encode_base64url($hs256) . '.' . (encode_base64url(claims('"x":"~~~???"')) =~ tr/_/\//r)), 'malformed'],
	'padded signature' => ["$full=", 'malformed'],
	'signature with bits left over' => [other_bits($full), 'malformed'],
	'signature with +' => [with_in_signature('-') =~ tr/-/+/r, 'malformed'],
	'signature with /' => [with_in_signature('_') =~ tr/_/\//r, 'malformed'],
	'signature with -' => [with_in_signature('-'), 'ok'],
	# the header
	'alg none' => [token(claims(), '{"alg":"none"}'), 'algorithm'],
	'alg none, unsigned' => [token(claims(), '{"alg":"none"}', $key, sub { '' }), 'algorithm'],
	'alg NONE' => [token(claims(), '{"alg":"NONE"}'), 'algorithm'],
	'alg None' => [token(claims(), '{"alg":"None"}', $key, sub { '' }), 'algorithm'],
	'alg hs256' => [token(claims(), '{"alg":"hs256"}'), 'algorithm'],
	'alg HS384' => [token(claims(), '{"alg":"HS384"}', $key, \&hmac_sha384), 'algorithm'],
	'alg HS512' => [token(claims(), '{"alg":"HS512"}', $key, \&hmac_sha512), 'algorithm'],
	'HS256 signed with HS384' => [token(claims(), $hs256, $key, \&hmac_sha384), 'signature'],
	'HS256 signed with HS512' => [token(claims(), $hs256, $key, \&hmac_sha512), 'signature'],
	'HS256 signed with HS512, cut to its length' => [token(claims(), $hs256, $key, sub { substr hmac_sha512(@_), 0, 32 }), 'signature'],
	'HS512 signed with HS256' => [token(claims(), '{"alg":"HS512"}'), 'algorithm'],
	'alg RS256' => [token(claims(), '{"alg":"RS256"}', $key, sub { 'x' x 256 }), 'algorithm'],
	'alg RS256 signed with HS256' => [token(claims(), '{"alg":"RS256"}'), 'algorithm'],
	'alg empty' => [token(claims(), '{"alg":""}'), 'algorithm'],
	'alg with a space' => [token(claims(), '{"alg":"HS256 "}'), 'algorithm'],
	'alg with a NUL' => [token(claims(), '{"alg":"HS256\u0000"}'), 'malformed'],
	'alg escaped' => [token(claims(), '{"alg":"HS25\u0036"}'), 'ok'],
	'alg an array' => [token(claims(), '{"alg":["HS256"]}'), 'algorithm'],
	'alg an object' => [token(claims(), '{"alg":{"alg":"HS256"}}'), 'algorithm'],
	'alg a number' => [token(claims(), '{"alg":256}'), 'algorithm'],
	'alg null' => [token(claims(), '{"alg":null}'), 'algorithm'],
	'alg true' => [token(claims(), '{"alg":true}'), 'algorithm'],
	'alg missing' => [token(claims(), '{"typ":"JWT"}'), 'algorithm'],
	'alg in upper case' => [token(claims(), '{"ALG":"HS256"}'), 'algorithm'],
	'alg inside' => [token(claims(), '{"x":{"alg":"HS256"}}'), 'algorithm'],
	'alg twice' => [token(claims(), '{"alg":"HS256","alg":"HS256"}'), 'malformed'],
	'alg HS256 and none' => [token(claims(), '{"alg":"HS256","alg":"none"}'), 'malformed'],
	'alg none and HS256' => [token(claims(), '{"alg":"none","alg":"HS256"}'), 'malformed'],
	'alg twice, escaped' => [token(claims(), '{"alg":"HS256","\u0061lg":"none"}'), 'malformed'],
	'typ twice' => [token(claims(), '{"alg":"HS256","typ":"JWT","typ":"JWT"}'), 'malformed'],
	'a NUL in the header' => [token(claims(), '{"alg":"HS256","x":"\u0000"}'), 'malformed'],
	'a NUL in a name of the header' => [token(claims(), '{"alg":"HS256","\u0000":"x"}'), 'malformed'],
	'a raw NUL in the header' => [token(claims(), qq({"alg":"HS256","x":"\0"})), 'malformed'],
	'a raw NUL behind the header' => [token(claims(), qq({"alg":"HS256"}\0)), 'malformed'],
	'crit' => [token(claims(), '{"alg":"HS256","crit":["exp"],"exp":1}'), 'critical header'],
	'crit b64' => [token(claims(), '{"alg":"HS256","b64":false,"crit":["b64"]}'), 'critical header'],
	'crit empty' => [token(claims(), '{"alg":"HS256","crit":[]}'), 'critical header'],
	'crit null' => [token(claims(), '{"alg":"HS256","crit":null}'), 'critical header'],
	'kid of a key that has none' => [token(claims(), '{"alg":"HS256","kid":"any"}'), 'ok'],
	'kid empty' => [token(claims(), '{"alg":"HS256","kid":""}'), 'ok'],
	'kid a number' => [token(claims(), '{"alg":"HS256","kid":1}'), 'malformed'],
	'kid null' => [token(claims(), '{"alg":"HS256","kid":null}'), 'malformed'],
	'kid an array' => [token(claims(), '{"alg":"HS256","kid":["a"]}'), 'malformed'],
	'kid an object' => [token(claims(), '{"alg":"HS256","kid":{"a":"a"}}'), 'malformed'],
	'kid twice' => [token(claims(), '{"alg":"HS256","kid":"a","kid":"b"}'), 'malformed'],
	'kid with SQL' => [token(claims(), qq({"alg":"HS256","kid":"' OR true --"})), 'ok'],
	'white space in the header' => [token(claims(), qq( {\r\n\t"alg" : "HS256"\n} )), 'ok'],
	'header empty' => [token(claims(), '{}'), 'malformed'],
	'header an array' => [token(claims(), '["alg","HS256"]'), 'malformed'],
	'header an array of one' => [token(claims(), '[1]'), 'malformed'],
	'header an empty array' => [token(claims(), '[]'), 'malformed'],
	'header an array in an array' => [token(claims(), '[["alg"]]'), 'malformed'],
	'header an array of objects' => [token(claims(), '[{"alg":"HS256"}]'), 'malformed'],
	'header a string' => [token(claims(), '"HS256"'), 'malformed'],
	'header a number' => [token(claims(), '256'), 'malformed'],
	'header null' => [token(claims(), 'null'), 'malformed'],
	'header unfinished' => [token(claims(), '{"alg":"HS256"'), 'malformed'],
	'header with a comma too many' => [token(claims(), '{"alg":"HS256",}'), 'malformed'],
	'two headers' => [token(claims(), '{"alg":"HS256"}{"alg":"HS256"}'), 'malformed'],
	'header with a comment' => [token(claims(), '{"alg":"HS256"/**/}'), 'malformed'],
	'header in single quotes' => [token(claims(), "{'alg':'HS256'}"), 'malformed'],
	'header with a byte order mark' => [token(claims(), "\xef\xbb\xbf$hs256"), 'malformed'],
	'header that is no UTF-8' => [token(claims(), qq({"alg":"HS256","x":"\xff"})), 'malformed'],
	'header of UTF-16' => [token(claims(), join "\0", split //, $hs256), 'malformed'],
	'header of open brackets' => [token(claims(), '[' x 760), 'malformed'],
	'header of open braces' => [token(claims(), '{"a":' x 150), 'malformed'],
	'header of nested arrays' => [token(claims(), '[' x 380 . ']' x 380), 'malformed'],
	'nested arrays in the header' => [token(claims(), '{"alg":"HS256","x":' . '[' x 300 . ']' x 300 . '}'), 'ok'],
	# the claims
	'claims an array' => [token('["org_id"]'), 'malformed'],
	'claims an array of one' => [token('[1]'), 'malformed'],
	'claims an array in an array' => [token('[[["a"]]]'), 'malformed'],
	'claims in an array' => [token('[' . claims() . ']'), 'malformed'],
	'claims an empty array' => [token('[]'), 'malformed'],
	'claims a string' => [token('"org_id"'), 'malformed'],
	'claims a number' => [token('1'), 'malformed'],
	'claims null' => [token('null'), 'malformed'],
	'claims true' => [token('true'), 'malformed'],
	'claims an empty object' => [token('{}'), 'malformed'],
	'claims a space' => [token(' '), 'malformed'],
	'claims unfinished' => [token(claims() =~ s/\}\z//r), 'malformed'],
	'claims twice' => [token(claims() . claims()), 'malformed'],
	'claims with a comma too many' => [token(claims() =~ s/\}\z/,}/r), 'malformed'],
	'claims with a byte order mark' => [token("\xef\xbb\xbf" . claims()), 'malformed'],
	'claims with white space' => [token(" \n" . claims() . "\r\n\t"), 'ok'],
	'claims that are no UTF-8' => [token(claims(qq("x":"\xff"))), 'malformed'],
	'claims with an overlong NUL' => [token(claims(qq("x":"\xc0\x80"))), 'malformed'],
	'claims with a surrogate' => [token(claims(qq("x":"\xed\xa0\x80"))), 'malformed'],
	'claims with half a character' => [token(claims(qq("x":"\xe4\xb8"))), 'malformed'],
	'claims beyond Unicode' => [token(claims(qq("x":"\xf4\x90\x80\x80"))), 'malformed'],
	'claims with half a pair' => [token(claims('"x":"\ud800"')), 'malformed'],
	'claims with a raw newline' => [token(claims(qq("x":"\n"))), 'malformed'],
	'a NUL in a claim' => [token(claims('"x":"\u0000"')), 'malformed'],
	'a NUL in a role' => [token(claims('"role":"super_admin\u0000x"')), 'malformed'],
	'a NUL in a name' => [token(claims('"org_id\u0000":"x"')), 'malformed'],
	'a raw NUL in a claim' => [token(claims(qq("x":"\0"))), 'malformed'],
	'a raw NUL behind the claims' => [token(claims() . "\0"), 'malformed'],
	'a raw NUL behind the claims and junk' => [token(claims() . "\0junk"), 'malformed'],
	'org_id twice' => [token(claims(qq("org_id":"$two"))), 'malformed'],
	'org_id twice, the same' => [token(claims(qq("org_id":"$one"))), 'malformed'],
	'org_id twice, escaped' => [token(claims(qq("\\u006frg_id":"$two"))), 'malformed'],
	'exp twice' => [token(claims(qq("exp":$later))), 'malformed'],
	'an unknown claim twice' => [token(claims('"x":1,"x":1')), 'malformed'],
	'an empty name twice' => [token(claims('"":1,"":1')), 'malformed'],
	'role twice' => [token(claims('"role":"a","role":"b"')), 'malformed'],
	'exp and duplicate in another case' => [token(claims('"EXP":1,"Org_Id":1')), 'ok'],
	'unknown claims' => [token(claims(qq("iss":"x","aud":["a",1,null],"jti":7,"x":{"org_id":"$two","role":["super_admin"],"exp":1}))), 'ok'],
	'nested arrays in the claims' => [token(claims('"x":' . '[' x 500 . '"' . $two . '"' . ']' x 500)), 'ok'],
	'nested objects in the claims' => [token(claims('"x":' . '{"org_id":' x 300 . '1' . '}' x 300)), 'ok'],
	'a thousand claims' => [token(claims(join ',', map { qq("$_":1) } 1 .. 600)), 'ok'],
	'org_id missing' => [token(qq({"exp":$later})), 'claims'],
	'org_id only inside' => [token(qq({"exp":$later,"x":{"org_id":"$one"}})), 'claims'],
	'org_id with another name' => [token(qq({"exp":$later,"orgid":"$one"})), 'claims'],
	'org_id null' => [token(qq({"exp":$later,"org_id":null})), 'claims'],
	'org_id a number' => [token(qq({"exp":$later,"org_id":1})), 'claims'],
	'org_id an array' => [token(qq({"exp":$later,"org_id":["$one"]})), 'claims'],
	'org_id an object' => [token(qq({"exp":$later,"org_id":{"x":"$one"}})), 'claims'],
	'org_id true' => [token(qq({"exp":$later,"org_id":true})), 'claims'],
	'org_id empty' => [token(qq({"exp":$later,"org_id":""})), 'claims'],
	'org_id junk' => [token(qq({"exp":$later,"org_id":"junk"})), 'claims'],
	'org_id with junk behind' => [token(qq({"exp":$later,"org_id":"$one "})), 'claims'],
	'org_id two of them' => [token(qq({"exp":$later,"org_id":"$one,$two"})), 'claims'],
	'org_id with a letter that is no digit' => [token(qq({"exp":$later,"org_id":"g1111111-1111-4111-8111-111111111111"})), 'claims'],
	'org_id in upper case' => [token(qq({"exp":$later,"org_id":"ABCDEFAB-1111-4111-8111-111111111111"})), 'ok|abcdefab-1111-4111-8111-111111111111|-|-'],
	'exp missing' => [token(qq({"org_id":"$one"})), 'claims'],
	'exp a string' => [token(qq({"org_id":"$one","exp":"$later"})), 'claims'],
	'exp null' => [token(qq({"org_id":"$one","exp":null})), 'claims'],
	'exp true' => [token(qq({"org_id":"$one","exp":true})), 'claims'],
	'exp an array' => [token(qq({"org_id":"$one","exp":[$later]})), 'claims'],
	'exp negative' => [token(qq({"org_id":"$one","exp":-$later})), 'claims'],
	'exp 0' => [token(qq({"org_id":"$one","exp":0})), 'expired'],
	'exp in milliseconds' => [token(qq({"org_id":"$one","exp":${later}000})), 'claims'],
	'exp in the year 9999' => [token(qq({"org_id":"$one","exp":253402300799})), 'ok'],
	'exp in the year 10000' => [token(qq({"org_id":"$one","exp":253402300800})), 'claims'],
	'exp 1e400' => [token(qq({"org_id":"$one","exp":1e400})), 'claims'],
	'exp -1e400' => [token(qq({"org_id":"$one","exp":-1e400})), 'claims'],
	'exp 1e-400' => [token(qq({"org_id":"$one","exp":1e-400})), 'expired'],
	'exp of 400 digits' => [token(qq({"org_id":"$one","exp":) . '9' x 400 . '}'), 'claims'],
	'exp 4e9' => [token(qq({"org_id":"$one","exp":4e9})), 'ok'],
	'exp with a fraction' => [token(qq({"org_id":"$one","exp":$later.5})), 'ok'],
	'exp in hexadecimal' => [token(qq({"org_id":"$one","exp":0xFFFFFFFF})), 'malformed'],
	'exp NaN' => [token(qq({"org_id":"$one","exp":NaN})), 'malformed'],
	'exp Infinity' => [token(qq({"org_id":"$one","exp":Infinity})), 'malformed'],
	'nbf in the future' => [token(claims(qq("nbf":$later))), 'not yet valid'],
	'nbf in the past' => [token(claims('"nbf":1')), 'ok'],
	'nbf a string' => [token(claims('"nbf":"1"')), 'claims'],
	'nbf null' => [token(claims('"nbf":null')), 'claims'],
	'nbf huge' => [token(claims('"nbf":1e400')), 'claims'],
	'iat in the future' => [token(claims(qq("iat":$later))), 'issued in the future'],
	'iat in the past' => [token(claims('"iat":1')), 'ok'],
	'iat a string' => [token(claims('"iat":"1"')), 'claims'],
	'iat negative' => [token(claims('"iat":-1')), 'claims'],
	'role' => [token(claims('"role":"photographer"')), "ok|$one|-|photographer"],
	'roles' => [token(claims('"role":["photographer","retoucher"]')), "ok|$one|-|photographer,retoucher"],
	'one role in an array' => [token(claims('"role":["photographer"]')), "ok|$one|-|photographer"],
	'role null' => [token(claims('"role":null')), 'ok'],
	'no roles' => [token(claims('"role":[]')), 'ok'],
	'role with letters of others' => [token(claims(qq("role":"fot\xc3\xb3grafo"))), "ok|$one|-|fot\xc3\xb3grafo"],
	'role empty' => [token(claims('"role":""')), 'claims'],
	'roles with an empty one' => [token(claims('"role":["a",""]')), 'claims'],
	'role with a comma' => [token(claims('"role":"photographer,super_admin"')), 'claims'],
	'roles with a comma' => [token(claims('"role":["a","photographer,super_admin"]')), 'claims'],
	'role with a space' => [token(claims('"role":"super admin"')), 'claims'],
	'role with a space in front' => [token(claims('"role":" super_admin"')), 'claims'],
	'role with a newline' => [token(claims('"role":"super_admin\n"')), 'claims'],
	'role with a DEL' => [token(claims('"role":"super_admin\u007f"')), 'claims'],
	'role a number' => [token(claims('"role":1')), 'claims'],
	'role true' => [token(claims('"role":true')), 'claims'],
	'role an object' => [token(claims('"role":{"a":"super_admin"}')), 'claims'],
	'roles with a number' => [token(claims('"role":["a",1]')), 'claims'],
	'roles with null' => [token(claims('"role":[null,"a"]')), 'claims'],
	'roles with an array' => [token(claims('"role":["a",["super_admin"]]')), 'claims'],
	'roles with an array first' => [token(claims('"role":[["super_admin"],"a"]')), 'claims'],
	'roles with an empty array' => [token(claims('"role":["a",[]]')), 'claims'],
	'roles with an object' => [token(claims('"role":["a",{"b":"super_admin"}]')), 'claims'],
	'sub' => [token(claims(qq("sub":"$user"))), "ok|$one|$user|-"],
	'sub null' => [token(claims('"sub":null')), 'ok'],
	'sub empty' => [token(claims('"sub":""')), 'claims'],
	'sub junk' => [token(claims('"sub":"joe"')), 'claims'],
	'sub a number' => [token(claims('"sub":7')), 'claims'],
	'sub an array' => [token(claims(qq("sub":["$user"]))), 'claims'],
);
my @names = sort keys %cases;
my @became = amid(map { $cases{$_}[0] } @names);
foreach my $n (0 .. $#names)
{
	my $expected = $cases{$names[$n]}[1];
	$expected = "ok|$one|-|-" if $expected eq 'ok';
	$expected = "PF012 $expected" unless $expected =~ /^ok/;
	is($became[$n], $expected, $names[$n]);
}
# as deep as a token can be; how deep the parser follows depends on max_stack_depth
like(tally(amid(map { token(claims('"x":' . '[' x $_ . ']' x $_)) } 1000, 2000, 3000)), qr/\A\d (?:ok\|$one\|-\|-|54001)/, 'the deepest claims do no harm');
like(tally(amid(map { token($_) } '[' x 6000, '{"a":' x 1200, '{"a":[' x 1000)), qr/\A\d (?:PF012 malformed|54001)/, 'nor when they have no end');
is(refusal('app', 'SELECT photoflow.authenticate(NULL)'), '22004', 'NULL is no token');
is(as('app', "SELECT expires_at = to_timestamp($later) FROM photoflow.authenticate('$valid')"), 't', 'authenticate() says until when');

# Databases of other encodings: what cannot be converted is refused in the same voice
foreach my $encoding ('LATIN1', 'SQL_ASCII')
{
	my $database = lc $encoding;
	$node->safe_psql('postgres', "CREATE DATABASE $database OWNER studio TEMPLATE template0 ENCODING $encoding LC_COLLATE 'C' LC_CTYPE 'C'");
	$node->safe_psql($database, "CREATE EXTENSION photoflow; SELECT photoflow.create_tables(); SELECT photoflow.set_token_key('" . literal($key) . q{');
		CREATE FUNCTION state(token text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RETURN photoflow.authenticate(token); EXCEPTION WHEN OTHERS THEN RETURN SQLSTATE; END $$});
	my @foreign = (token(claims('"x":"\u4e2d"')), token(claims('"\ud83d\ude00":1')), token(claims(qq("x":"\xe4\xb8\xad"))), token(claims(), '{"alg":"HS256","kid":"\u4e2d"}'));
	is($node->safe_psql($database, join '', map { "SELECT state('$_');" } @foreign), join("\n", ('PF012') x @foreign), "$encoding: foreign letters are refused");
	like($node->safe_psql($database, "SELECT state('" . token(claims('"role":"a\u002bb\\\\\u0061"')) . "')"), qr/\A\($one,,"?a\+b/, "$encoding: escapes are taken");
}

# Keys

is(refusal('studio', "SELECT photoflow.set_token_key('\\x" . '00' x 31 . "')"), '22023', 'a key of 31 bytes is too short');
is(refusal('studio', "SELECT photoflow.add_token_key('\\x" . '00' x 31 . "', 'a')"), '22023', 'also with an id');
is(refusal('studio', "SELECT photoflow.set_token_key('')"), '22023', 'an empty key');
is(refusal('studio', 'SELECT photoflow.set_token_key(NULL)'), '22004', 'no key');
is(refusal('studio', 'SELECT photoflow.add_token_key(sha256($$a$$), NULL)'), '22004', 'no id');
is(as('studio', 'SELECT photoflow.token_key_ids()'), '{""}', 'refused keys leave the old one alone');
foreach my $call ('set_token_key(sha256($$a$$))', 'add_token_key(sha256($$a$$), $$a$$)', 'drop_token_key($$a$$)', 'drop_token_key(NULL)', 'token_key_ids()')
{
	is(refusal('app', "SELECT photoflow.$call"), '42501', "an application may not call $call");
	$node->safe_psql('studio', "GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA photoflow TO app");
	is(refusal('app', "SELECT photoflow.$call"), '42501', 'not even with a grant');
	$node->safe_psql('studio', "REVOKE EXECUTE ON FUNCTION photoflow.set_token_key, photoflow.add_token_key, photoflow.drop_token_key, photoflow.token_key_ids FROM app");
}
my ($key_a, $key_b, $key_c) = map { random_key(40) } 1 .. 3;
my %kid = map { $_ => qq({"alg":"HS256","kid":"$_"}) } 'a', 'b', 'A', '';
as('studio', "SELECT photoflow.add_token_key('" . literal($key_a) . "', 'a'), photoflow.add_token_key('" . literal($key_b) . "', 'b')");
is(as('studio', 'SELECT photoflow.token_key_ids()'), '{"",a,b}', 'three keys');
is(refusal('studio', "SELECT photoflow.add_token_key('" . literal($key_c) . "', 'a')"), '42710', 'an id is taken once');
is(probe_one(token(claims(), $kid{a}, $key_a)), "ok|$one|-|-", 'a key on a token that names it');
is(probe_one(token(claims(), $hs256, $key_a)), "ok|$one|-|-", 'a key on a token that names none');
is(probe_one(token(claims(), $kid{b}, $key_a)), 'PF012 signature', 'a key on a token that names another');
is(probe_one(token(claims(), $kid{A}, $key_a)), 'PF012 signature', 'a key on a token that names it in another case');
is(probe_one(token(claims(), $kid{''}, $key_a)), 'PF012 signature', 'a key on a token with an empty name');
is(probe_one(token(claims(), $kid{a}, $key)), "ok|$one|-|-", 'the key without id on a token that names another');
is(probe_one(token(claims(), $hs256, $key_c)), 'PF012 signature', 'a key that nobody knows');
is(as('studio', 'SELECT photoflow.drop_token_key(NULL), photoflow.drop_token_key(NULL), photoflow.token_key_ids()'), 't|f|{a,b}', 'the key without id is dropped');
is(probe_one($valid), 'PF012 signature', 'and its tokens are refused');
is(probe_one(token(claims(), '{"alg":"HS256","kid":"c"}', $key_a)), 'PF012 unknown key', 'a key id that nobody knows');
is(probe_one(token(claims(), $kid{b}, $key_b)), "ok|$one|-|-", 'the other keys go on');
set_key($key);
is(as('studio', 'SELECT photoflow.token_key_ids()'), '{""}', 'set_token_key() takes the place of all');
is(probe_one(token(claims(), $kid{a}, $key_a)), 'PF012 signature', 'whose tokens are refused');

# rotation, as sessions see it that were open before
my $new = token(claims(qq("sub":"$user")), $kid{a}, $key_a);
my $open = $node->background_psql('studio', on_error_stop => 0, extra_params => ['-U', 'app']);
my $block = $node->background_psql('studio', on_error_stop => 0, extra_params => ['-U', 'app']);
my $snapshot = $node->background_psql('studio', on_error_stop => 0, extra_params => ['-U', 'app']);
$block->query_safe('BEGIN');
$snapshot->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1');
my @sessions = (['an open session', $open], ['a session in a transaction', $block]);
foreach (@sessions)
{
	my ($what, $session) = @$_;
	is(probe_in($session, $valid), "ok|$one|-|-", "$what: the old key");
	is(probe_in($session, $new), 'PF012 signature', "$what: not the new one yet");
}
as('studio', "SELECT photoflow.add_token_key('" . literal($key_a) . "', 'a')");
foreach (@sessions)
{
	my ($what, $session) = @$_;
	is(probe_in($session, $new), "ok|$one|$user|-", "$what: the new key as soon as it is added");
	is(probe_in($session, $valid), "ok|$one|-|-", "$what: beside the old one");
}
is(probe_in($snapshot, $valid), "ok|$one|-|-", 'a session with an old snapshot: the old key');
as('studio', 'SELECT photoflow.drop_token_key(NULL)');
foreach (@sessions)
{
	my ($what, $session) = @$_;
	is(probe_in($session, $valid), 'PF012 signature', "$what: the old key is refused from the next statement on");
	is(probe_in($session, $new), "ok|$one|$user|-", "$what: the new one is not");
}
$snapshot->query_safe('SELECT count(*) FROM "Albums"');
is(probe_in($snapshot, $valid), 'PF012 signature', 'a session with an old snapshot: the old key is refused');
$snapshot->query_safe('COMMIT');
is(probe_in($snapshot, $valid), 'PF012 signature', 'and after its transaction');
is(probe_in($snapshot, $new), "ok|$one|$user|-", 'when the new one is taken');
$_->quit foreach $open, $block, $snapshot;

# what is rolled back was never known
my $literal = literal($key);
is(told('studio', "BEGIN; SELECT photoflow.set_token_key('$literal'); SELECT lab.probe('$valid'); ROLLBACK; SELECT lab.probe('$valid'); SELECT lab.probe('$new');
	BEGIN; SAVEPOINT s; SELECT photoflow.set_token_key('$literal'); SELECT lab.probe('$valid'); ROLLBACK TO s; SELECT lab.probe('$valid'); SELECT lab.probe('$new'); COMMIT;"),
	join(' ', ("ok|$one|-|- PF012 signature ok|$one|$user|-") x 2), 'a key that is rolled back');
set_key($key);

# Nobody reads the table

$node->safe_psql('studio', 'GRANT ALL ON ALL TABLES IN SCHEMA public TO app; ANALYZE "__PhotoflowSecrets"');
is($node->safe_psql('studio', q{SELECT count(*) FROM "__PhotoflowSecrets" WHERE "Kind" = 'token_key'}), 1, 'a superuser sees the key');
is(as('studio', 'SELECT count(*) FROM "__PhotoflowSecrets"'), 0, 'the owner sees no row of it');
is(as('app', 'SELECT count(*) FROM "__PhotoflowSecrets"'), 0, 'nor does an application that somebody gave all there is');
is(as('app', 'TABLE "__PhotoflowSecrets"; COPY "__PhotoflowSecrets" TO STDOUT; UPDATE "__PhotoflowSecrets" SET "Kind" = \'x\' RETURNING *; DELETE FROM "__PhotoflowSecrets" RETURNING *'),
	'', 'in whichever way');
is(as('app', q{SELECT count(*) FROM pg_stats WHERE tablename = '__PhotoflowSecrets'}), 0, 'nor its statistics');
is(refusal('app', 'SET row_security = off; SELECT count(*) FROM "__PhotoflowSecrets"'), '42501', 'nor without row-level security');
is(refusal('app', qq{INSERT INTO "__PhotoflowSecrets" ("Kind", "Secret") VALUES ('token_key', '$literal')}), '42501', 'nor does it add a key');
is(probe_one($valid), "ok|$one|-|-", 'the key is still there');
my $secret = unpack 'H*', $key;
my ($dump, $error) = run_command(['pg_dump', '-d', $node->connstr('studio') . ' user=app']);
like($error, qr/row-level security|permission denied/, 'the application cannot dump the database');
unlike("$dump$error", qr/$secret/i, 'and what it got has no key');
($dump, $error) = run_command(['pg_dump', '--enable-row-security', '-n', 'public', '-d', $node->connstr('studio') . ' user=app']);
like($dump, qr/COPY public\."__PhotoflowSecrets"/, 'it can dump what it sees');
unlike("$dump$error", qr/$secret/i, 'and sees no key');
($dump) = run_command(['pg_dump', '-n', 'public', '-d', $node->connstr('studio')]);
like($dump, qr/$secret/i, 'which a dump by a superuser has');
$node->safe_psql('studio', q{REVOKE ALL ON ALL TABLES IN SCHEMA public FROM app});
as('studio', q{SELECT photoflow.grant_app('app')});

# The context and its transaction

my $token_two = token(qq({"org_id":"$two","exp":$later}));
my $context = q{SELECT coalesce(photoflow.current_org()::text, '-'), coalesce(photoflow.current_user_id()::text, '-'), coalesce(photoflow.current_role_name(), '-'),
	(SELECT count(*) FROM "Albums");};
my ($none, $all, $second) = ('-|-|-|0', "$one|$user|photographer,retoucher|1", "$two|-|-|2");
my $authenticate = "SELECT FROM photoflow.authenticate('$full')";
my $other = "SELECT FROM photoflow.authenticate('$token_two')";
my $junk = "SELECT FROM photoflow.authenticate('junk')";
foreach my $required ('off', 'on')
{
	$node->safe_psql('studio', "ALTER ROLE app IN DATABASE studio SET photoflow.require_token = $required");
	my $scope = sub { my ($name, $sql, @expected) = @_; is(told('app', $sql), join(' ', @expected), "require_token $required: $name") };
	$scope->('until COMMIT', "$context BEGIN; $authenticate; $context COMMIT; $context", $none, $all, $none);
	$scope->('until ROLLBACK', "BEGIN; $authenticate; $context ROLLBACK; $context", $all, $none);
	$scope->('a statement by itself', "$authenticate; $context", $none);
	$scope->('the last token counts', "BEGIN; $authenticate; $other; $context COMMIT; $context", $second, $none);
	$scope->('ROLLBACK TO', "BEGIN; SAVEPOINT a; $authenticate; $context SAVEPOINT b; $other; $context ROLLBACK TO b; $context ROLLBACK TO a; $context COMMIT; $context",
		$all, $second, $all, $none, $none);
	$scope->('RELEASE', "BEGIN; SAVEPOINT a; $authenticate; RELEASE a; $context SAVEPOINT b; $other; RELEASE b; $context COMMIT; $context",
		$all, $second, $none);
	$scope->('a refusal ends the transaction', "BEGIN; $authenticate; $junk; $context COMMIT; $context", $none);
	$scope->('a refusal in a savepoint leaves the context', "BEGIN; $authenticate; SAVEPOINT a; $junk; ROLLBACK TO a; $context COMMIT; $context", $all, $none);
	$scope->('a refusal in a block of PL/pgSQL, too', "BEGIN; $authenticate; DO \$\$ BEGIN PERFORM photoflow.authenticate('junk'); EXCEPTION WHEN OTHERS THEN END \$\$; $context COMMIT; $context",
		$all, $none);
	$scope->('a block of PL/pgSQL that fails takes its context back', "BEGIN; DO \$\$ BEGIN PERFORM photoflow.authenticate('$full'); PERFORM 1 / 0; EXCEPTION WHEN OTHERS THEN END \$\$; $context COMMIT;", $none);
	$scope->('a failed transaction', "BEGIN; $authenticate; SELECT 1 / 0; COMMIT; $context", $none);
	$scope->('set_context(NULL) unsets it', "BEGIN; $authenticate; SELECT photoflow.set_context(NULL); $context COMMIT;", $none);
	$scope->('RESET ALL and DISCARD ALL unset it', "BEGIN; $authenticate; RESET ALL; $context COMMIT; DISCARD ALL; $context", $none, $none);
	$scope->('ids of requests are anybody\'s to set', "BEGIN; $authenticate; SET LOCAL photoflow.request_id = 'r'; SET LOCAL photoflow.correlation_id = 'c'; $context COMMIT;", $all);
	$scope->('in a session that was given another', "SET photoflow.org_id = '$two'; BEGIN; $authenticate; $context COMMIT; $context", $all, $required eq 'on' ? $none : "$two|-|-|2");

	# parallel workers have it from their leader
	my $force = $node->pg_version < 16 ? 'force_parallel_mode' : 'debug_parallel_query';
	$scope->('parallel workers see it', qq{BEGIN; $authenticate; SET LOCAL $force = on; SET LOCAL parallel_setup_cost = 0; SET LOCAL parallel_tuple_cost = 0;
		SET LOCAL min_parallel_table_scan_size = 0; SET LOCAL enable_indexscan = off; SET LOCAL enable_bitmapscan = off; SET LOCAL enable_indexonlyscan = off;
		SELECT min(photoflow.current_org()::text), min(photoflow.current_user_id()::text), min(photoflow.current_role_name()), count(*) FROM "Albums";
		SELECT lab.workers(\$\$ SELECT min(photoflow.current_org()::text), min(photoflow.current_user_id()::text), min(photoflow.current_role_name()), count(*) FROM "Albums" \$\$);
		COMMIT;}, $all, 'launched');
}

# Where a token is required nothing else sets the context

my @attacks = (
	['SET', "SET photoflow.org_id = '$two'"],
	['set_config()', "SELECT FROM set_config('photoflow.org_id', '$two', false)"],
	['SET LOCAL', "BEGIN; SET LOCAL photoflow.org_id = '$two'"],
	['set_context()', "SELECT FROM photoflow.set_context('$two')"],
	['set_context() of a role', "SELECT FROM photoflow.set_context(NULL, NULL, 'super_admin')"],
	['SET of a role', "SET photoflow.role = 'super_admin'; SET photoflow.user_id = '$user'"],
	['require_token off', "SET photoflow.require_token = off; SET photoflow.org_id = '$two'"],
	['require_token off in a transaction', "BEGIN; SET LOCAL photoflow.require_token = off; SAVEPOINT s; SET LOCAL photoflow.require_token = false; SET LOCAL photoflow.org_id = '$two'"],
	['require_token junk', "SET photoflow.require_token = 'junk'; SET photoflow.org_id = '$two'"],
	['require_token RESET', "RESET photoflow.require_token; SET photoflow.org_id = '$two'"],
	['require_token DEFAULT', "SET photoflow.require_token TO DEFAULT; SET photoflow.org_id = '$two'"],
	['RESET ALL', "SET photoflow.require_token = off; RESET ALL; SET photoflow.org_id = '$two'"],
	['DISCARD ALL', "DISCARD ALL; SET photoflow.org_id = '$two'"],
	['pg_settings', "UPDATE pg_settings SET setting = 'off' WHERE name = 'photoflow.require_token'; SET photoflow.org_id = '$two'"],
	['a function\'s SET', "CREATE FUNCTION pg_temp.f() RETURNS bigint LANGUAGE sql SET photoflow.org_id = '$two' AS 'SELECT count(*) FROM \"Albums\"'; SELECT nullif(pg_temp.f(), 0)"],
	['a function\'s SET of require_token', "CREATE FUNCTION pg_temp.f() RETURNS text LANGUAGE plpgsql SET photoflow.require_token = off
		AS 'BEGIN RETURN set_config(''photoflow.org_id'', ''$two'', false); END'; SELECT FROM pg_temp.f()"],
	['the verified context', "SET photoflow.verified_context = '$two  super_admin'"],
	['the verified context in a transaction', "BEGIN; SET LOCAL photoflow.verified_context = '$two  super_admin'; SELECT FROM set_config('photoflow.verified_context', '$two  super_admin', true)"],
	['the options', '', "-c photoflow.org_id=$two -c photoflow.role=super_admin"],
	['require_token in the options', '', '-c photoflow.require_token=off'],
	['require_token and more in the options', "SET photoflow.org_id = '$two'", "-c photoflow.require_token=off -c photoflow.org_id=$two"],
	['require_token junk in the options', "SET photoflow.org_id = '$two'", "-c photoflow.require_token=junk -c photoflow.org_id=$two"],
	['the verified context in the options', '', "-c photoflow.verified_context=$two\\ \\ super_admin"],
	['the role\'s own settings', "ALTER ROLE app SET photoflow.org_id = '$two'; ALTER ROLE app IN DATABASE studio SET photoflow.org_id = '$two';
		ALTER ROLE app IN DATABASE studio RESET photoflow.require_token; ALTER ROLE app IN DATABASE studio SET photoflow.require_token = off; ALTER ROLE app IN DATABASE studio RESET ALL; ALTER ROLE app RESET ALL"],
	['the settings of a moment ago', ''],
);
$node->safe_psql('studio', 'ALTER ROLE app IN DATABASE studio SET photoflow.require_token = on');
foreach my $load ('', 'session_preload_libraries', 'shared_preload_libraries')
{
	$node->append_conf('postgresql.conf', "$load = 'photoflow'\n") if $load;
	$node->restart if $load;
	my $when = $load || 'not preloaded';
	foreach (@attacks)
	{
		my ($name, $sql, $options) = @$_;
		foreach my $first ($load ? '' : ('', 'SELECT FROM photoflow.current_org(); '))
		{
			local $ENV{PGOPTIONS} = $options // '';
			my $result = told('app', "$first$sql; $context ROLLBACK; $context BEGIN; $authenticate; $context COMMIT; $context");
			like($result, qr/\A(?:connection refused|(?:\Q$none\E )?\Q$none $all $none\E)\z/, "$when: $name" . ($first ? ', once it is loaded' : ''));
			isnt($result, 'connection refused', "$when: $name: there is a session") unless defined $options;
		}
	}
	# a setting that the role made elsewhere, and one that a superuser made for all
	$node->safe_psql('studio', "ALTER ROLE app IN DATABASE studio SET photoflow.org_id = '$two'; ALTER DATABASE studio SET photoflow.role = 'super_admin'");
	is(told('app', "$context BEGIN; $authenticate; $context COMMIT; $context"), "$none $all $none", "$when: defaults of the role and of the database do not count");
	$node->safe_psql('studio', 'ALTER ROLE app IN DATABASE studio RESET photoflow.org_id; ALTER DATABASE studio RESET photoflow.role');
	# who says off for the role means it
	$node->safe_psql('studio', 'ALTER ROLE app IN DATABASE studio SET photoflow.require_token = off');
	is(told('app', "SELECT FROM photoflow.current_org(); SET photoflow.org_id = '$two'; $context"), $second, "$when: off is off");
	$node->safe_psql('studio', 'ALTER ROLE app IN DATABASE studio SET photoflow.require_token = on');
}
is(refusal('app', "SET photoflow.org_id = '$two'"), '42501', 'SET is refused with 42501');
is(refusal('app', "SELECT photoflow.set_context('$two')"), '42501', 'and set_context()');
is(refusal('app', 'SET photoflow.require_token = off'), '42501', 'and the way out');
is(refusal('app', "SET photoflow.verified_context = '$two  '"), '42501', 'and the way around');
is(refusal('app', 'SET photoflow.token_clock_skew = 600'), '42501', 'and more time');
is(as('studio', "SET photoflow.org_id = '$two'; SELECT count(*) FROM \"Albums\""), 2, 'other logins are left alone');

# Nothing of keys and tokens in the log, nor in pg_stat_activity; the library is preloaded

$node->append_conf('postgresql.conf', "log_statement = all\nlog_min_duration_statement = 0\nlog_parameter_max_length = -1\n"
	. "log_parameter_max_length_on_error = -1\nlog_error_verbosity = verbose\n");
$node->reload;
my %statements = (
	'a call' => q{SELECT photoflow.set_token_key('<key>')},
	'a call with an id' => q{SELECT photoflow.add_token_key('<key>', 'x')},
	'a call that fails' => q{SELECT photoflow.set_token_key('<key>'), 1 / 0},
	'a call with names' => q{SELECT photoflow.add_token_key(key => '<key>', kid => 'y')},
	'a call in quotes, on lines of its own' => qq{SELECT "photoflow"."set_token_key"\n\t(\n'<key>')},
	'a call in upper case' => q{SELECT PHOTOFLOW.SET_TOKEN_KEY('<key>')},
	'a call with a comment' => q{SELECT photoflow.set_token_key /* the new one */ ('<key>')},
	'a call with another comment' => qq{SELECT photoflow.set_token_key -- the new one\n('<key>')},
	'a call with a form feed' => qq{SELECT photoflow.set_token_key\f('<key>')},
	'a call after others' => q{SELECT 1\; SELECT photoflow.set_token_key('<key>')},
	'a call in FROM' => q{SELECT FROM photoflow.set_token_key('<key>')},
	'a call with a wrong number of arguments' => q{SELECT photoflow.set_token_key('<key>', 1, 2)},
	'an id that is taken' => q{SELECT photoflow.add_token_key(sha256('x'), 'z'); SELECT photoflow.add_token_key('<key>', 'z')},
	'a failed transaction' => q{BEGIN; SELECT 1 / 0; SELECT photoflow.set_token_key('<key>'); ROLLBACK},
	'a cursor' => q{BEGIN; DECLARE c CURSOR FOR SELECT photoflow.set_token_key('<key>'), 1 / (random() * 0)::int; FETCH c; ROLLBACK},
	'DO' => q{DO $$ BEGIN PERFORM photoflow.set_token_key('<key>'); END $$},
	'DO that fails later' => q{DO $$ BEGIN PERFORM photoflow.set_token_key('<key>'); PERFORM 1 / 0; END $$},
	'DO with a mistake' => q{DO $$ BEGIN PERFORM photoflow.set_token_key('<key>', nothing); END $$},
	'DO with a mistake in EXECUTE' => q{DO $$ BEGIN EXECUTE 'SELECT photoflow.set_token_key(''<key>'') FROM nothing'; END $$},
	'a function with EXECUTE' => q{SELECT set_config('lab.key', reverse('<yek>'), false); SELECT lab.run('SELECT photoflow.set_token_key(%L), 1 / 0', current_setting('lab.key'))},
	'a function with a mistake in EXECUTE' => q{SELECT set_config('lab.key', reverse('<yek>'), false); SELECT lab.run('SELECT photoflow.set_token_key(%L) FROM nothing', current_setting('lab.key'))},
	'PREPARE' => q{PREPARE p AS SELECT photoflow.set_token_key('<key>'); EXECUTE p},
	'EXECUTE' => q{PREPARE p(bytea) AS SELECT photoflow.set_token_key($1); EXECUTE p('<key>')},
	'EXECUTE with a comment' => q{PREPARE p(bytea) AS SELECT photoflow.set_token_key($1); EXECUTE/*x*/ p/*x*/('<key>')},
	'EXECUTE within EXPLAIN' => q{PREPARE p(bytea) AS SELECT photoflow.set_token_key($1); EXPLAIN (ANALYZE, COSTS off) EXECUTE p('<key>')},
	'EXECUTE within CREATE TABLE' => q{PREPARE p(bytea) AS SELECT photoflow.set_token_key($1); CREATE TEMP TABLE t AS EXECUTE p('<key>')},
	'EXECUTE after another' => q{PREPARE p(bytea) AS SELECT photoflow.set_token_key($1)\\; SELECT 1\\; EXECUTE p('<key>')},
	'EXECUTE that fails later' => q{PREPARE p(bytea) AS SELECT photoflow.set_token_key($1), 1 / (random() * 0)::int; EXECUTE p('<key>')},
	'EXECUTE of a name in quotes' => q{PREPARE "P (1)"(bytea) AS SELECT photoflow.set_token_key($1, $1); PREPARE "P (2)"(bytea) AS SELECT photoflow.set_token_key($1), 1 / (length($1) * 0); EXECUTE "P (2)"('<key>')},
	'EXECUTE that fails' => q{PREPARE p(bytea) AS SELECT photoflow.set_token_key($1), 1 / (length($1) - length($1)); EXECUTE p('<key>')},
	'text that is no bytea' => q{SELECT photoflow.set_token_key('<key>z')},
	'too short' => q{SELECT photoflow.set_token_key(substr('<key>'::bytea, 1, 12))},
);
foreach my $name (sort keys %statements)
{
	my $hex = unpack 'H*', random_key(32);
	my $logged = logged_by('studio', $statements{$name} =~ s/<key>/\\x$hex/r =~ s/<yek>/reverse "\\x$hex"/er);
	unlike($logged, qr/$hex/i, "$name: the key is not in the log");
	like($logged, qr/not shown/, "$name: which says so");
}
# where the statement itself names no such function, what it calls on the way is not shown either
foreach my $sql ('token_key(%L), 1 / 0', 'token_key(%L) FROM nothing')
{
	my $hex = unpack 'H*', random_key(32);
	my $logged = logged_by('studio', "SELECT set_config('lab.key', reverse('" . reverse("\\x$hex") . "'), false); SELECT lab.run('SELECT photoflow.set_' || '$sql', current_setting('lab.key'))");
	unlike($logged, qr/$hex/i, "$sql: the key is not in the log");
	like($logged, qr/ERROR:/, "$sql: but the error is");
}
my $control = unpack 'H*', random_key(32);
like(logged_by('studio', "SELECT '$control'; SELECT 1 / 0 AS \"$control\""), qr/statement: SELECT '$control'.*STATEMENT:.*$control/s, 'what is no secret is in the log');
like(logged_by('studio', "PREPARE p(text) AS SELECT \$1; EXECUTE p('$control')"), qr/EXECUTE p\('$control'\)/, 'and what is executed');
like(logged_by('studio', "PREPARE p(text) AS SELECT photoflow.uuid_v7(), \$1::int; EXECUTE p('$control')"), qr/STATEMENT:.*$control/, 'and what fails');

my $scripts = 0;
foreach my $protocol ('extended', 'prepared')
{
	my %scripts = (
		'a call' => ['studio', 'SELECT photoflow.set_token_key(:secret)', 0],
		'a call that fails' => ['studio', 'SELECT photoflow.set_token_key(:secret), 1 / (length(:secret) * 0)', 2],
		'too short' => ['studio', 'SELECT photoflow.set_token_key(substr((:secret)::bytea, 1, 12))', 2],
		'not the owner' => ['app', 'SELECT photoflow.set_token_key(:secret)', 2],
		'a token' => ['app', 'SELECT photoflow.authenticate(:secret)', 2],
		'a token in a function' => ['app', "SELECT FROM photoflow.authenticate(convert_from((:secret)::bytea, 'UTF8'))", 2],
	);
	foreach my $name (sort keys %scripts)
	{
		my ($who, $sql, $status) = @{ $scripts{$name} };
		my $hex = unpack 'H*', random_key(32);
		my $offset = -s $node->logfile;
		$scripts++;
		$node->pgbench("-n -t 1 -M $protocol -U $who", $status, [$status ? qr/^/ : qr{processed: 1/1}], [$status ? qr/ERROR/ : qr/^/], "$protocol: $name",
			{ "010_script_$scripts" => $sql }, '-D', "secret=\\x$hex", 'studio');
		my $logged = substr slurp_file($node->logfile), $offset;
		unlike($logged, qr/$hex/i, "$protocol: $name: is not in the log");
		like($logged, qr/not shown/, "$protocol: $name: which says so");
	}
	my $offset = -s $node->logfile;
	$node->pgbench("-n -t 1 -M $protocol -U app", 0, [qr{processed: 1/1}], [qr/^/], "$protocol: what is no secret", { "010_control_$protocol" => 'SELECT :secret' }, '-D', "secret=$control", 'studio');
	like(substr(slurp_file($node->logfile), $offset), qr/\$1 = '$control'/, "$protocol: is in the log, with its parameters");
}
set_key($key);
my $offset = -s $node->logfile;
my $fresh = token(claims('"jti":"of this part"'));
my $late = token(qq({"org_id":"$one","exp":1,"jti":"of this part"}));
foreach my $token ($fresh, $late)
{
	told('app', "SELECT FROM photoflow.authenticate('$token'); SELECT FROM photoflow.authenticate(token => '$token'); BEGIN; SELECT FROM photoflow.authenticate('$token'); SELECT 1 / 0; ROLLBACK;
		DO \$\$ BEGIN PERFORM photoflow.authenticate('$token'); PERFORM 1 / 0; END \$\$; PREPARE p(text) AS SELECT FROM photoflow.authenticate(\$1); EXECUTE p('$token');
		SELECT FROM photoflow.authenticate('$token') WHERE 1 / (random() * 0)::int = 1; SELECT FROM photoflow.authenticate('$token', 1);");
}
my $logged = substr slurp_file($node->logfile), $offset;
my @pieces = map { my @parts = split /\./; @parts[1, 2] } $fresh, $late;
is(join(' ', grep { index($logged, $_) >= 0 } @pieces), '', 'tokens are not in the log, neither good ones nor expired ones');
like($logged, qr/PF012.*token is not valid: expired/, 'what became of them is');

# errors repeat nothing
my $short = 'abcdefghijklmnopqrstuvwxyz';
is(as('studio', "SELECT lab.message(\$\$ SELECT photoflow.set_token_key('$short') \$\$) ~ '$short'"), 'f', 'an error does not repeat a key that is too short');
is(as('studio', "SELECT photoflow.add_token_key(sha256('x'), 'x'); SELECT lab.message(\$\$ SELECT photoflow.add_token_key('$short$short', 'x') \$\$)") =~ s/\A\n//r,
	'there is a token key "x" already Drop it first: SELECT photoflow.drop_token_key(\'x\').', 'nor one whose id is taken');
is(as('app', "SELECT lab.message(\$\$ SELECT photoflow.authenticate('$short.$short.$short') \$\$) ~ '$short'"), 'f', 'nor a token');

# pg_stat_activity, as a superuser sees it: while the call waits for a lock, after it, and after one that failed
my $hidden = unpack 'H*', random_key(32);
my $owner = $node->background_psql('studio', on_error_stop => 0, extra_params => ['-U', 'studio']);
my $pid = $owner->query_safe('SELECT pg_backend_pid()');
my $shown = "SELECT query FROM pg_stat_activity WHERE pid = $pid";
like($node->safe_psql('studio', $shown), qr/pg_backend_pid/, 'a superuser sees what sessions do');
my $locker = $node->background_psql('studio');
$locker->query_safe('BEGIN; LOCK TABLE "__PhotoflowSecrets" IN ACCESS EXCLUSIVE MODE');
$owner->query_until(qr/waiting/, "\\echo waiting\nSELECT photoflow.set_token_key('\\x$hidden');\n");
$node->poll_query_until('studio', "SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = $pid") or die 'does not wait for the lock';
like($node->safe_psql('studio', $shown), qr/\Aphotoflow: /, 'but not the key while it is being set');
$locker->query_safe('COMMIT');
$locker->quit;
$owner->query('SELECT 1');
foreach my $sql ("SELECT photoflow.set_token_key('\\x$hidden')", "BEGIN; SELECT photoflow.add_token_key('\\x$hidden', 'new')", "ROLLBACK; SELECT photoflow.set_token_key(substr('\\x$hidden'::bytea, 1, 9))",
	"DO \$\$ BEGIN PERFORM photoflow.set_token_key('\\x$hidden'); PERFORM 1 / 0; END \$\$", "PREPARE p(bytea) AS SELECT photoflow.set_token_key(\$1);\nEXECUTE p('\\x$hidden')",
	"SELECT photoflow.set_token_key('\\x$hidden', nothing)", "SELECT photoflow.set_token_key('\\x$hidden') FROM")
{
	$owner->query($sql);
	my $name = $sql =~ s/\\x$hidden/.../gr;
	my $query = $node->safe_psql('studio', $shown);
	ok($query ne '' && $query !~ /$hidden/i, "nor after $name") or diag $query;
}
$owner->quit;
my $stranger = $node->background_psql('studio', on_error_stop => 0, extra_params => ['-U', 'app']);
$pid = $stranger->query_safe('SELECT pg_backend_pid()');
$stranger->query("SELECT photoflow.set_token_key('\\x$hidden')");
unlike($node->safe_psql('studio', "SELECT query FROM pg_stat_activity WHERE pid = $pid"), qr/$hidden/i, 'nor when who calls may not');
$stranger->quit;
set_key($key);

# Times, to the second and below, on a clock that stands still

$node->stop;
{
	local %ENV = (%ENV, LD_PRELOAD => $faketime, FAKETIME => '2030-01-01 00:00:00', FAKETIME_DONT_FAKE_MONOTONIC => 1, TZ => 'UTC');
	$node->start;
}
my $now = 1_893_456_000;
is($node->safe_psql('studio', 'SELECT extract(epoch FROM clock_timestamp())::bigint'), $now, 'the clock stands still');
my %edges = (
	0 => [['exp', 0, 'expired'], ['exp', 1, 'ok'], ['exp', 0.001, 'ok'], ['exp', -1, 'expired'], ['nbf', 0, 'ok'], ['nbf', 0.001, 'not yet valid'],
		['nbf', 1, 'not yet valid'], ['nbf', -1, 'ok'], ['iat', 0, 'ok'], ['iat', 0.001, 'issued in the future'], ['iat', 1, 'issued in the future'], ['iat', -1, 'ok']],
	30 => [['exp', -30, 'expired'], ['exp', -29, 'ok'], ['nbf', 30, 'ok'], ['nbf', 31, 'not yet valid'], ['iat', 30, 'ok'], ['iat', 31, 'issued in the future']],
	600 => [['exp', -600, 'expired'], ['exp', -599, 'ok'], ['exp', -600.001, 'expired'], ['exp', -599.999, 'ok'], ['nbf', 600, 'ok'], ['nbf', 600.001, 'not yet valid'],
		['iat', 600, 'ok'], ['iat', 600.001, 'issued in the future']],
);
foreach my $skew (sort keys %edges)
{
	$node->safe_psql('studio', 'ALTER DATABASE studio ' . ($skew == 30 ? 'RESET photoflow.token_clock_skew' : "SET photoflow.token_clock_skew = $skew"));
	foreach (@{ $edges{$skew} })
	{
		my ($claim, $offset, $expected) = @$_;
		my $at = sprintf '%.3f', $now + $offset;
		my $claims = $claim eq 'exp' ? qq({"org_id":"$one","exp":$at}) : qq({"org_id":"$one","exp":4000000000,"$claim":$at});
		is(probe_one(token($claims)), $expected eq 'ok' ? "ok|$one|-|-" : "PF012 $expected", "skew $skew: $claim at $offset s");
	}
}
is(probe_one(token(qq({"org_id":"$one","exp":1,"nbf":4000000000,"iat":4000000000}))), 'PF012 expired', 'expired comes first');
is(probe_one(token(qq({"org_id":"$one","exp":1}), $hs256, $key_a)), 'PF012 signature', 'after the signature');
foreach my $skew (-1, 601)
{
	my (undef, undef, $stderr) = $node->psql('studio', "\\set VERBOSITY sqlstate\nSET photoflow.token_clock_skew = $skew");
	like($stderr, qr/22023/, "a skew of $skew seconds is refused");
}
$node->stop;
unlike(slurp_file($node->logfile), qr/terminated by signal|PANIC/, 'no token was too much for the server');
done_testing();

# Claims for the first organization, with others beside them.
sub claims
{
	my ($more) = @_;
	return qq({"org_id":"$one","exp":$later) . (defined $more ? ",$more" : '') . '}';
}

# Claims of a length that leaves such a rest when it is divided by three: with 1 and 2 base64url ends in bits that do not count.
sub padded
{
	my ($rest) = @_;
	foreach my $spaces ('', ' ', '  ')
	{
		my $claims = claims() =~ s/\}\z/$spaces}/r;
		return $claims if length($claims) % 3 == $rest;
	}
	die;
}

sub sign
{
	my ($input, $with, $hmac) = @_;
	return "$input." . encode_base64url(($hmac // \&hmac_sha256)->($input, $with // $key));
}

sub token
{
	my ($claims, $header, $with, $hmac) = @_;
	return sign(encode_base64url($header // $hs256) . '.' . encode_base64url($claims), $with, $hmac);
}

# The same signature, its last character spelled with other bits that do not count.
sub other_bits
{
	my ($token) = @_;
	my $alphabet = join '', 'A' .. 'Z', 'a' .. 'z', 0 .. 9, '-', '_';
	return $token =~ s/(.)\z/substr $alphabet, index($alphabet, $1) ^ 1, 1/er;
}

# A token with such a character in its signature, and there only.
sub with_in_signature
{
	my ($character) = @_;
	foreach my $n (1 .. 10_000)
	{
		my $token = token(claims(qq("jti":$n)));
		my ($header, $claims, $signature) = split /\./, $token;
		return $token if index("$header$claims", $character) < 0 && index($signature, $character) >= 0;
	}
	die;
}

# No byte of it is zero: HMAC fills short keys up with those.
sub random_key
{
	my ($length) = @_;
	return join '', map { chr(1 + int rand 255) } 1 .. $length;
}

sub literal
{
	my ($bytes) = @_;
	return '\\x' . unpack 'H*', $bytes;
}

sub set_key
{
	my ($bytes) = @_;
	as('studio', "SELECT photoflow.set_token_key('" . literal($bytes) . "')");
	return;
}

sub as
{
	my ($who, $sql, $before) = @_;
	return $node->safe_psql('studio', ($before ? "$before;" : '') . $sql, extra_params => ['-U', $who]);
}

# What becomes of tokens, in one session of the application's.
sub probe
{
	my @tokens = @_;
	my $rows = join '', map { "$_\t\\\\x" . unpack('H*', $tokens[$_]) . "\n" } 0 .. $#tokens;
	return split /\n/, as('app', "CREATE TEMP TABLE given (n int, token bytea);\nCOPY given FROM STDIN;\n$rows\\.\nSELECT lab.probe(token) FROM given ORDER BY n");
}

# What becomes of tokens amid valid ones, which must be taken.
sub amid
{
	my ($before, @became) = probe($full, @_, $full);
	my $after = pop @became;
	die "valid tokens are not taken: $before, $after" unless $before eq $after && $before eq "ok|$one|$user|photographer,retoucher";
	return @became;
}

sub probe_one
{
	my ($token) = @_;
	return (probe($token))[0];
}

sub probe_in
{
	my ($session, $token) = @_;
	return $session->query("SELECT lab.probe('$token')");
}

# How often each came out: '12 PF012 malformed, 3 PF012 signature'.
sub tally
{
	my %count;
	$count{$_}++ foreach @_;
	return join ', ', map { "$count{$_} $_" } sort keys %count;
}

# The token with all that there can be in it, each bit but the highest of these characters flipped in turn.
sub flip
{
	my ($from, $to) = @_;
	my @tokens;
	foreach my $bit (map { my $at = $_; map { $at * 8 + $_ } 0 .. 6 } $from .. $to - 1)
	{
		my $bytes = $full;
		vec($bytes, $bit, 1) ^= 1;
		push @tokens, $bytes;
	}
	return amid(@tokens);
}

# The SQLSTATE that a statement is refused with.
sub refusal
{
	my ($who, $sql) = @_;
	my (undef, undef, $stderr) = $node->psql('studio', "SELECT FROM photoflow.current_org();\n\\set VERBOSITY sqlstate\n$sql", extra_params => ['-U', $who]);
	return $stderr =~ /ERROR:  (\w{5})/ ? $1 : "none ($stderr)";
}

# The rows that statements return, with refused statements among them; those without columns leave nothing.
sub told
{
	my ($who, $sql) = @_;
	my ($code, $stdout, $stderr) = $node->psql('studio', $sql, extra_params => ['-U', $who], on_error_stop => 0);
	return 'connection refused' if $stderr =~ /FATAL/;
	return join ' ', grep { $_ ne '' } split /\n/, $stdout;
}

# What the server writes to its log meanwhile.
sub logged_by
{
	my ($who, $sql) = @_;
	my $offset = -s $node->logfile;
	$node->psql('studio', $sql, extra_params => ['-U', $who], on_error_stop => 0);
	return substr slurp_file($node->logfile), $offset;
}
