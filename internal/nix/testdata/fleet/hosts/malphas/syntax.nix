{ lib }:
{
  drv = "a"
}
