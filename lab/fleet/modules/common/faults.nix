# Faults to order, for the demo and the end-to-end tests. All are off; a host's
# default.nix switches one on by a line like `faults.payload = 50000000;`.
# How the web server fails is set in its own module: web.broken, web.unhealthy.
{ host, config, ... }:
let
  cfg = config.faults;
  when = condition: value: if condition then value else { };

  broken = derivation {
    name = "broken-package";
    inherit (host) system;
    builder = "/bin/sh";
    args = [ "-c" "echo 'broken-package does not compile: faults.buildFails is set' >&2; exit 1" ];
  };

  # One random mebibyte over and over: quick to make, the same wherever it is
  # made, and too far apart for the compression of ssh.
  payload = derivation {
    name = "payload-${toString cfg.payload}";
    inherit (host) system;
    builder = "/usr/bin/perl";
    args = [
      "-e"
      ''
        my ($size) = @ARGV;
        srand(1);
        my $block = pack("L*", map { int(rand(4294967296)) } 1 .. 262144);
        open(my $file, ">:raw", $ENV{"out"}) or die "$ENV{'out'}: $!\n";
        for (my $left = $size; $left > 0; $left -= length($block)) {
          print $file ($left < length($block) ? substr($block, 0, $left) : $block) or die "$!\n";
        }
        close($file) or die "$!\n";
      ''
      (toString cfg.payload)
    ];
  };
in
{
  options.faults = {
    # The build fails with a message: nothing may be copied or activated.
    buildFails = false;

    # The system grows by a file of so many bytes: time to cut the link in
    # mid-copy, and enough to fill a small disk.
    payload = 0;

    # Activation takes so many seconds in a switch (not at boot): time to cut the
    # link, or to kill something, before the system is current.
    slowSwitch = 0;

    # A snippet of the activation fails: the exit status is 2, and the system is
    # current even so.
    activationFails = false;

    # No sshd while the system is active: what is connected stays, but nothing new
    # gets in. The one mistake that only the host itself can undo, by going back
    # to a system without it.
    stopsSsh = false;
  };

  files =
    when cfg.buildFails { broken = "${broken}"; }
    // when (cfg.payload > 0) { payload = "${payload}"; };

  activation =
    when (cfg.slowSwitch > 0) {
      slow-switch = "if [ -n \"\${NIXOS_ACTION:-}\" ]; then sleep ${toString cfg.slowSwitch}; fi\n";
    }
    // when cfg.activationFails {
      fails = "echo 'faults.activationFails is set' >&2\nexit 1\n";
    };

  units = when cfg.stopsSsh {
    "no-ssh.service" = {
      wantedBy = [ "multi-user.target" ];
      Unit.Description = "Keep this host out of reach";
      Unit.Conflicts = [ "ssh.service" "ssh.socket" ];
      Service.Type = "oneshot";
      Service.RemainAfterExit = true;
      Service.ExecStart = "/bin/true";
      Service.ExecStop = "/bin/systemctl start --no-block ssh.service";
    };
  };
}
