# Reads an endless query with DBD::Pg: a result, a cursor and COPY, and cancels it.
use strict;
use warnings;
use DBI;
use DBD::Pg qw(:async);
use Time::HiRes qw(time sleep);

$| = 1;
my $port = shift;
my $stream = 'SELECT auction, price FROM ticks EMIT CHANGES';
sub connect_db { DBI->connect("dbi:Pg:host=127.0.0.1;port=$port;dbname=db", 'tester', '', { RaiseError => 1, PrintError => 0, AutoCommit => 1 }) }
sub show { my $v = shift; defined $v ? sprintf('%.3f', $v) : '-' }
sub line { my ($mode, $first, $cancel, $state, $after) = @_; print join("\t", 'row', 'DBD::Pg', $mode, show($first), show($cancel), $state // '-', $after ? 'yes' : 'no'), "\n" }
sub check { my ($what, $ok, $detail) = @_; $detail //= ''; $detail =~ s/\s+/ /g; print join("\t", 'check', 'DBD::Pg', $what, $ok ? 'ok' : 'wrong', $detail), "\n" }
sub usable { my $d = shift; my ($one) = $d->selectrow_array('SELECT 1'); $one == 1 }
print "version\tDBD::Pg\t$DBD::Pg::VERSION\n";

eval {
    my $d = connect_db();
    my $s = $d->prepare($stream, { pg_async => PG_ASYNC });
    $s->execute;
    sleep 0.5;
    my $at = time;
    $d->pg_cancel; # waits for the answer of the server
    my $took = time - $at;
    line('SELECT', undef, $took, '57014', usable($d));
    1;
} or check('SELECT', 0, $@);

eval {
    my $d = connect_db();
    my $start = time;
    $d->begin_work;
    $d->do("DECLARE c CURSOR FOR $stream");
    my @row = $d->selectrow_array('FETCH 1 FROM c');
    my $first = time - $start;
    my $at = time;
    $d->rollback;
    line('cursor, FETCH 1', @row ? $first : undef, time - $at, undef, usable($d));
    1;
} or check('cursor', 0, $@);

eval {
    my $d = connect_db();
    my @kinds = map { "$_->[2]:$_->[3]" } @{ $d->table_info('', 'public', '%', '')->fetchall_arrayref };
    check('table_info', (grep { $_ eq 'item:TABLE' } @kinds) && (grep { $_ eq 'item_view:VIEW' } @kinds) && (grep { /^item_mv:/ } @kinds), "@kinds");
    my @columns = map { "$_->{COLUMN_NAME}:$_->{pg_type}" } @{ $d->column_info('', 'public', 'item', '%')->fetchall_arrayref({}) };
    check('column_info', "@columns" eq 'id:integer name:character varying(80) price:numeric(12,2) at:timestamp with time zone tags:text[]', "@columns");
    my @keys = $d->primary_key('', 'public', 'item');
    check('primary_key', "@keys" eq 'id', "@keys");
    check('statistics_info', scalar @{ $d->statistics_info('', 'public', 'item', 0, 0)->fetchall_arrayref } >= 1);
    check('type_info_all', scalar @{ $d->type_info_all } > 10);
    my $s = $d->prepare('SELECT name, price, tags FROM item WHERE id = ?');
    for my $run (1 .. 5) { $s->execute(1); my @r = $s->fetchrow_array; check("prepared $run", $r[0] eq 'one' && $r[1] eq '1.25' && "@{$r[2]}" eq 'a b', "@r[0,1]"); }
    $d->do('CREATE TABLE perl (id int, name text)');
    $d->do('COPY perl FROM STDIN');
    $d->pg_putcopydata("$_\tn$_\n") for 1 .. 10;
    $d->pg_putcopyend;
    check('COPY', ($d->selectrow_array('SELECT count(*) FROM perl'))[0] == 10);
    eval { $d->do('SELECT nope FROM perl') };
    check('error', $d->state eq '42703', $d->state);
    1;
} or check('work', 0, $@);
