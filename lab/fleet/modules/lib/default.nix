# Makes nixosConfigurations out of hosts/*/host.toml:
#
#   nixosConfigurations = import ./modules/lib { root = ./.; };
#
# A host is made of the modules in modules/common, the ones in modules/opt-in
# that its host.toml subscribes to, and its own default.nix. It must come out the
# same from the whole fleet and from a copy that holds nothing else. That is why
# `root` is only read from, file by file, and never becomes part of a string.
{ root }:
let
  inherit (builtins)
    attrNames concatMap filter fromTOML listToAttrs match pathExists readDir readFile;

  # The paths of all *.nix files below `dir`, relative to the root, sorted.
  nixFiles = dir:
    let
      entries = readDir (root + "/${dir}");
      visit = name:
        if entries.${name} == "directory" then nixFiles "${dir}/${name}"
        else if match ".*\\.nix" name != null then [ "${dir}/${name}" ]
        else [ ];
    in
    concatMap visit (attrNames entries);

  # A module is a file, or a folder with a default.nix.
  optIn = host: name:
    let
      file = "modules/opt-in/${name}.nix";
      folder = "modules/opt-in/${name}/default.nix";
    in
    if pathExists (root + "/${file}") then file
    else if pathExists (root + "/${folder}") then folder
    else throw "hosts/${host}/host.toml: subscribes to the module \"${name}\", but there is neither ${file} nor ${folder}";

  own = host:
    let file = "hosts/${host}/default.nix"; in
    if pathExists (root + "/${file}") then [ file ] else [ ];

  build = name:
    let
      host = { modules = [ ]; tags = [ ]; }
        // fromTOML (readFile (root + "/hosts/${name}/host.toml"))
        // { inherit name; };
      files = [ "modules/lib/options.nix" ]
        ++ nixFiles "modules/common"
        ++ map (optIn name) host.modules
        ++ own name;
      config = import ./merge.nix {
        modules = map (file: { inherit file; path = root + "/${file}"; }) files;
        args = { inherit host; };
      };
    in
    {
      config = config // {
        hostSpec = host;
        system = config.system // {
          build.toplevel = import ./toplevel.nix { inherit host config; };
        };
      };
    };

  isHost = name: pathExists (root + "/hosts/${name}/host.toml");
in
listToAttrs (map (name: { inherit name; value = build name; })
  (filter isHost (attrNames (readDir (root + "/hosts")))))
