{
  outputs = { self, ... }:
    let
      mk = import ./modules/mk.nix;
    in {
      nixosConfigurations.missing = mk ./hosts/malphas/missing.nix;
      nixosConfigurations.thrown = mk ./hosts/malphas/thrown.nix;
      nixosConfigurations.asserts = mk ./hosts/malphas/asserts.nix;
      nixosConfigurations.type = mk ./hosts/malphas/type.nix;
      nixosConfigurations.syntax = mk ./hosts/malphas/syntax.nix;
      nixosConfigurations.undef = mk ./hosts/malphas/undef.nix;
      nixosConfigurations.nofile = mk ./hosts/malphas/nofile.nix;
      nixosConfigurations.readdir = mk ./hosts/malphas/readdir.nix;
      nixosConfigurations.deep = mk ./hosts/malphas/deep.nix;
      nixosConfigurations.abort = mk ./hosts/malphas/abort.nix;
      nixosConfigurations."a.b" = mk ./hosts/malphas/ok.nix;
      nixosConfigurations.ok = mk ./hosts/malphas/ok.nix;
      nixosConfigurations.bad = mk ./hosts/malphas/bad.nix;
    };
}
