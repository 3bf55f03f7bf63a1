# Packs the folders of backup.paths into /var/backups each night.
{ host, config, ... }:
{
  options.backup.paths = [ "/etc" ];
  options.backup.at = "03:00";

  units."backup.service" = {
    Unit.Description = "Back up ${toString config.backup.paths}";
    # A switch must not start a backup over.
    Unit.X-RestartIfChanged = false;
    Service.Type = "oneshot";
    Service.ExecStart =
      "/bin/tar --create --gzip --file=/var/backups/${host.name}.tar.gz ${toString config.backup.paths}";
  };

  units."backup.timer" = {
    wantedBy = [ "timers.target" ];
    Unit.Description = "Back up each night";
    Timer.OnCalendar = config.backup.at;
    Timer.RandomizedDelaySec = "10min";
  };
}
