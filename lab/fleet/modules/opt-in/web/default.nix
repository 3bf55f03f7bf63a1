# A small web server. It answers GET /version, GET /health ("ok") and GET /.
{ config, ... }:
let
  cfg = config.web;

  server = builtins.toFile "web-server.pl" (builtins.readFile ./server.pl);

  # One word of a command line of systemd.
  word = text: "\"" + builtins.replaceStrings [ "\\" "\"" "%" "$" ] [ "\\\\" "\\\"" "%%" "$$" ] text + "\"";
in
{
  options.web = {
    version = "1.0";
    port = 8080;
    greeting = "Hello.";

    # The new server fails to start: a switch exits with 4.
    broken = false;

    # It starts, and answers /health with status 500: only a health check sees it.
    unhealthy = false;
  };

  units."web.service" = {
    wantedBy = [ "multi-user.target" ];
    Unit.Description = "Web server ${cfg.version}";
    Unit.After = "network.target";
    Service.Type = "notify";
    Service.DynamicUser = true;
    Service.ExecStartPre =
      if cfg.broken then [ "/bin/sh -c 'echo \"web.broken is set\" >&2; exit 1'" ] else [ ];
    Service.ExecStart = toString (map word [
      "/usr/bin/perl"
      server
      (toString cfg.port)
      cfg.version
      (if cfg.unhealthy then "unhealthy" else "ok")
      cfg.greeting
    ]);
  };
}
