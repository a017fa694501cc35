# The diagrams render: Graphviz draws the dot, the Mermaid keeps to its grammar, whatever the states are called.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('diagram');
$node->init(extra => ['--no-locale', '--encoding=UTF8']);
$node->start;
my $org = '00000000-0000-4000-8000-000000000001';
$node->safe_psql('postgres', qq{CREATE EXTENSION photoflow; SELECT photoflow.create_tables(); INSERT INTO "Organizations" ("Id", "Name") VALUES ('$org', 'one');});
my $dot = grep { -x "$_/dot" } split /:/, $ENV{PATH};

my $album = new_album();
$node->safe_psql('postgres', qq{SELECT photoflow.fire('$album', 'SyncRawTag')});
check('version 1', undef, 11, 14);
check('version 1 with an album', $album, 11, 14);

# names that mean something to Mermaid, Graphviz, HTML, JSON, printf, or nobody
my @names = ('end', 'state', 'note', 'End', 'class', 'digraph', 'node', 'a"b', "it's", 'back\\slash', '<script>alert(1)</script>', 'semi;colon', 'co:lon', 'a --> b', '[*]', '%d %s %n', '{brace}',
	'line\nbreak', 'Ünïcödé 写真 🎞', ' ', '#35;', 'x' x 255, 's1', 'S0', '--', '%% comment', '"', 'a,b', '0', '42', '_', 'graph', 'subgraph', '&amp;');
my $states = join ', ', map { '{"name": ' . json($names[$_]) . ', "value": ' . $_ . ($_ == 0 ? ', "initial": true' : '') . '}' } 0 .. $#names;
my $edges = join ', ', map { '{"trigger": ' . json($names[$_]) . ', "from": ' . json($names[$_]) . ', "to": ' . json($names[($_ + 1) % @names]) . ', "policy": "P"}' } 0 .. $#names;
is($node->safe_psql('postgres', "SELECT photoflow.publish_workflow(\$d\${\"states\": [$states], \"policies\": {\"P\": [\"p\"]}, \"transitions\": [$edges]}\$d\$)"), 2, 'a workflow of odd names is published');
my $odd = new_album();
$node->safe_psql('postgres', "SELECT photoflow.fire('$odd', \$t\$$_\$t\$)") foreach @names[0 .. 10];
check('odd names', undef, scalar(@names), scalar(@names));
check('odd names with an album', $odd, scalar(@names), scalar(@names));

done_testing();

sub new_album
{
	return $node->safe_psql('postgres', qq{INSERT INTO "Albums" ("OrgId", "Name") VALUES ('$org', 'a') RETURNING "Id"});
}

sub json
{
	my ($text) = @_;
	$text =~ s/(["\\])/\\$1/g;
	$text =~ s/\\\\n/\\n/g;
	return "\"$text\"";
}

sub check
{
	my ($what, $of, $states, $edges) = @_;
	my $argument = defined $of ? "'$of'" : 'NULL';

	my $drawing = $node->safe_psql('postgres', "SELECT photoflow.state_diagram('dot', $argument)");
	SKIP:
	{
		skip 'no dot here', 3 unless $dot;
		my ($file, $svg) = (PostgreSQL::Test::Utils::tempdir() . '/a.dot', '');
		append_to_file($file, $drawing);
		my ($out, $err) = run_command(['dot', '-Tsvg', $file]);
		is($err, '', "$what: dot has nothing to say against it");
		is(scalar(() = $out =~ /class="node"/g), $states + 1, "$what: it draws every state, and the beginning");
		is(scalar(() = $out =~ /class="edge"/g), $edges + 1, "$what: and every edge");
	}

	my @lines = split /\n/, $node->safe_psql('postgres', "SELECT photoflow.state_diagram('mermaid', $argument)");
	my (%declared, @wrong);
	my ($drawn, $begins, $current) = (0, 0, 0);
	# the part of Mermaid's grammar that a state diagram needs: no text holds what would end it or start something else
	my $id = qr/[A-Za-z][A-Za-z0-9_]*/;
	my $label = qr/(?:[^"#;:<>]|#\d+;)*/;
	is(shift @lines, 'stateDiagram-v2', "$what: Mermaid: the header");
	foreach (@lines)
	{
		if (/^    state "($label)" as ($id)$/) { push @wrong, "twice: $_" if $declared{$2}++; }
		elsif (/^    \[\*\] --> ($id)$/) { $begins++; push @wrong, $_ unless $declared{$1}; }
		elsif (/^    ($id) --> ($id) : ($label)$/) { $drawn++; push @wrong, $_ unless $declared{$1} && $declared{$2}; }
		elsif (/^    ($id) --> \[\*\]$/) { push @wrong, $_ unless $declared{$1}; }
		elsif (/^    class ($id) current$/) { $current++; push @wrong, $_ unless $declared{$1}; }
		elsif (!/^    classDef current [a-z#0-9:,-]+$/) { push @wrong, $_; }
	}
	is(join("\n", @wrong), '', "$what: Mermaid: every line keeps to the grammar");
	is(scalar(keys %declared), $states, "$what: Mermaid: every state is declared under a name of its own");
	is(scalar(grep { /^(end|state|note|class|classDef|direction|default|style|click|as|fork|join|choice)$/i } keys %declared), 0, "$what: Mermaid: none under a reserved one");
	is($drawn, $edges, "$what: Mermaid: every edge");
	is($begins, 1, "$what: Mermaid: one beginning");
	is($current, defined $of ? 1 : 0, "$what: Mermaid: the album is " . (defined $of ? 'in one state' : 'not there'));
	return;
}
