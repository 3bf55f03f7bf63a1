# The derivation of one system. What is in it has the names and meanings of NixOS:
#
#   nixos-version  system  init  activate  bin/switch-to-configuration
#   etc/  etc/systemd/system/  switch-inhibitors  kernel  initrd  kernel-modules
#
# It needs /bin/sh and coreutils where it is built, and nothing else.
{ host, config }:
let
  inherit (builtins)
    attrNames baseNameOf concatMap concatStringsSep readFile removeAttrs toFile;

  # Two kinds of lines of the build script. Links keep what they point to in a
  # store path of its own, which hosts share and a copy sends once.
  link = target: to: "link '${target}' '${to}'";
  copy = target: mode: from: "copy '${target}' ${mode} '${from}'";

  script = name: copy name "0555" (toFile (baseNameOf name) (readFile (./. + "/${baseNameOf name}.sh")));

  unit = name:
    let
      value = config.units.${name};
      text = import ./unit.nix { sections = removeAttrs value [ "wantedBy" ]; };
      wants = target: link "etc/systemd/system/${target}.wants/${name}" "../${name}";
    in
    # A copy: systemd takes a link to a file of another name for an alias.
    [ (copy "etc/systemd/system/${name}" "0444" (toFile name text)) ]
    ++ map wants (value.wantedBy or [ ]);

  etcFile = name: link "etc/${name}" (toFile (baseNameOf name) config.etc.${name}.text);

  snippet = name: copy "activation/${name}" "0444" (toFile name config.activation.${name});

  inhibitor = name: "${name} ${config.system.switchInhibitors.${name}}\n";

  forEach = set: f: map f (attrNames set);

  text = name: value: copy name "0444" (toFile name value);

  commands = [
    (text "nixos-version" config.system.label)
    (text "system" host.system)
    (text "switch-inhibitors" (concatStringsSep "" (forEach config.system.switchInhibitors inhibitor)))
    (script "init")
    (script "activate")
    (script "bin/switch-to-configuration")
  ]
  ++ concatMap unit (attrNames config.units)
  ++ forEach config.etc etcFile
  ++ forEach config.activation snippet
  ++ forEach config.files (name: link name config.files.${name});
in
derivation {
  name = "nixos-system-${host.name}-${config.system.label}";
  inherit (host) system;
  builder = "/bin/sh";
  args = [
    "-euc"
    ''
      PATH=/bin:/usr/bin
      link() { mkdir -p "$(dirname "$out/$1")"; ln -s "$2" "$out/$1"; }
      copy() { mkdir -p "$(dirname "$out/$1")"; cp "$3" "$out/$1"; chmod "$2" "$out/$1"; }
      ${concatStringsSep "\n" commands}
    ''
  ];
}
