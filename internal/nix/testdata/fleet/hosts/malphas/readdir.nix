{ lib }:
{
  drv = builtins.attrNames (builtins.readDir ../../overlays);
}
