{ lib }:
{
  drv = assert 1 == 2; "x";
}
