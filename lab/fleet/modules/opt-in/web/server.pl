# The web server: perl server.pl PORT VERSION HEALTH GREETING, started by systemd.
# It answers GET /version, /health (500 unless HEALTH is "ok") and / (the greeting).
use strict;
use warnings;
use IO::Socket::INET;
use IO::Socket::UNIX;
use Socket qw(SOCK_DGRAM);

$| = 1; # the journal gets each line at once

my ($port, $version, $health, $greeting) = @ARGV;
my %pages = (
    "/"        => ["200 OK", $greeting],
    "/version" => ["200 OK", $version],
    "/health"  => [$health eq "ok" ? "200 OK" : "500 Internal Server Error", $health],
);

my $server = IO::Socket::INET->new(
    LocalPort => $port, Listen => 16, ReuseAddr => 1,
) or die "cannot listen on port $port: $@\n";

# Only now it can be reached: tell systemd, which waits for that (Type=notify).
my $notify = IO::Socket::UNIX->new(Type => SOCK_DGRAM, Peer => $ENV{"NOTIFY_SOCKET"})
    or die "cannot reach systemd: $!\n";
$notify->send("READY=1");
print "web $version listens on port $port\n";

# One request at a time, and none may hold up the next for long.
$SIG{"PIPE"} = "IGNORE";
while (1) {
    my $client = $server->accept or next;
    eval {
        local $SIG{"ALRM"} = sub { die "too slow\n" };
        alarm 5;
        my ($path) = (<$client> || "") =~ m{^GET ([^\s?]+)};
        while (defined(my $header = <$client>)) { last if $header =~ /^\r?\n/ }
        my ($status, $body) = @{ $pages{$path || ""} || ["404 Not Found", "not found"] };
        my $length = length($body);
        print $client "HTTP/1.0 $status\r\nContent-Type: text/plain\r\n",
            "Content-Length: $length\r\n\r\n$body";
    };
    alarm 0;
    close($client);
}
