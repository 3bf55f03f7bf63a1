# The session that a person gets at the screen.
{ config, ... }:
{
  options.desktop.session = "plasma";
  options.desktop.theme = "light";

  etc."desktop/session".text = ''
    session ${config.desktop.session}
    theme ${config.desktop.theme}
  '';
}
