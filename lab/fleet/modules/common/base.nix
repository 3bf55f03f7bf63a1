# What every host has: who it is, and a timer that shows it is alive.
{ host, ... }:
{
  etc."motd".text = "This is ${host.name}, a ${host.role} of the lab's fleet.\n";

  etc."fleet/host".text = ''
    name ${host.name}
    role ${host.role}
    tags ${toString host.tags}
  '';

  units."heartbeat.service" = {
    Unit.Description = "Note that this host is alive";
    Service.Type = "oneshot";
    Service.ExecStart = "/bin/touch /run/heartbeat";
  };

  units."heartbeat.timer" = {
    wantedBy = [ "timers.target" ];
    Unit.Description = "Note every minute that this host is alive";
    Timer.OnActiveSec = "1s";
    Timer.OnUnitActiveSec = "1min";
    Timer.AccuracySec = "1s";
  };
}
