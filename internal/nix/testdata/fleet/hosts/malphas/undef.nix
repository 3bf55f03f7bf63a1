{ lib }:
{
  drv = pkgs.hello;
}
