{ lib }:
let
  d = name: script: derivation { inherit name; system = "x86_64-linux"; builder = "/bin/sh"; args = [ "-c" "PATH=/bin:/usr/bin; ${script}" ]; };
in
{
  drv = (d "parent" "cat ${d "child" "echo one; echo error: two; exit 3"} > $out").drvPath;
}
