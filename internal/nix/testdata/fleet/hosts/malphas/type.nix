{ lib }:
{
  drv = "a" + 1;
}
