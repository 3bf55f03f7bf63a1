# The desktop at home. As the canary it gets every update first.
{
  web.version = "1.0";
  web.port = 8080;
  web.greeting = "Hello from malphas.";
  web.broken = false;

  desktop.theme = "dark";
  backup.paths = [ "/etc" "/root" ];
}
