file:
let
  lib = import ./lib.nix;
  spec = import file { inherit lib; };
in
{
  config = lib.force spec;
}
