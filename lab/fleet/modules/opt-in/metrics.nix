# Notes the load of the host in /run/metrics for a collector to read.
{ config, ... }:
{
  options.metrics.interval = "30s";

  units."metrics.service" = {
    Unit.Description = "Note the load of this host";
    Service.Type = "oneshot";
    Service.RuntimeDirectory = "metrics";
    Service.RuntimeDirectoryPreserve = true;
    Service.ExecStart = "/bin/sh -c 'cut -d\" \" -f1 /proc/loadavg >/run/metrics/load1'";
  };

  units."metrics.timer" = {
    wantedBy = [ "timers.target" ];
    Unit.Description = "Note the load of this host every ${config.metrics.interval}";
    Timer.OnActiveSec = "1s";
    Timer.OnUnitActiveSec = config.metrics.interval;
    Timer.AccuracySec = "1s";
  };
}
