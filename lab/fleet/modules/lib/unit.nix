# The text of a unit file: a set of sections, each a set of settings.
{ sections }:
let
  inherit (builtins) attrNames concatMap concatStringsSep isBool isList;

  show = value: if isBool value then (if value then "true" else "false") else toString value;

  setting = name: value:
    map (v: "${name}=${show v}") (if isList value then value else [ value ]);

  section = name:
    let settings = sections.${name}; in
    [ "[${name}]" ] ++ concatMap (key: setting key settings.${key}) (attrNames settings);
in
concatStringsSep "\n" (concatMap section (attrNames sections)) + "\n"
