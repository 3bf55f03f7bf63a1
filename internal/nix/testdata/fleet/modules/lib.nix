{
  force = spec: builtins.mapAttrs (name: value: builtins.seq value value) spec;
  pick = set: set.networking.hostname;
}
