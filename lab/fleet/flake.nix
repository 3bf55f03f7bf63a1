{
  description = "The lab's fleet: NixOS in shape, raw derivations in substance, so that it needs no nixpkgs";

  # No inputs. The fleet is read as `./.`, never as `self`: no system may depend
  # on the hash of the whole source.
  outputs = _: {
    nixosConfigurations = import ./modules/lib { root = ./.; };
  };
}
