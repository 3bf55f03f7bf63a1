# The options that toplevel.nix builds a system from.
{
  options = {
    # The text of the file nixos-version.
    system.label = "26.05.lab";

    # Values that must not change under a running system, by name: a switch that
    # would change one is refused before it does anything.
    system.switchInhibitors = { };

    # Unit files by name, as sections of settings; a list repeats the setting.
    #   units."web.service" = {
    #     wantedBy = [ "multi-user.target" ];
    #     Service.ExecStart = "/bin/sleep infinity";
    #   };
    # Unit.X-RestartIfChanged = false and Unit.X-ReloadIfChanged = true say what a
    # switch does with a changed unit, as on NixOS.
    units = { };

    # Files in /etc, by path: etc."motd".text = "hello";
    etc = { };

    # Shell snippets by name, run in the order of their names by each activation.
    activation = { };

    # Further files of the system, by name: the store path that the name links to.
    files = { };
  };
}
