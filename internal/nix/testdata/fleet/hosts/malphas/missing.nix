{ lib }:
{
  drv = lib.pick { networking.hostName = "malphas"; };
}
