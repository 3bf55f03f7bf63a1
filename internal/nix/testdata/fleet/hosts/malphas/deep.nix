{ lib }:
let
  f = n: if n == 0 then builtins.head [ ] else f (n - 1);
in
{
  drv = f 5;
}
