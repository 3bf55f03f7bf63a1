{ lib }:
{
  drv = import ../../overlays;
}
