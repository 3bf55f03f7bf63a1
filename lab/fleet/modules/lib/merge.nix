# Merges modules into one config. A module is an attribute set, or a function
# from { host, config, ... } to one:
#
#   { config, ... }: {
#     options.web.port = 8080;                       # declares it, with its default
#     etc."web/port".text = toString config.web.port; # sets another option
#   }
#
# An option whose default is { } takes any names below it; every other name must
# be declared. Two modules may set the same option to the same value; lists are
# joined; everything else that differs is an error which names both files.
{ modules, args }:
let
  inherit (builtins)
    all attrNames concatLists concatStringsSep filter head isAttrs isFunction isList length map
    mapAttrs removeAttrs toJSON typeOf zipAttrsWith;

  # A definition is { file, value }: what was written, and where.
  loaded = map
    ({ file, path }:
      let module = import path; in
      {
        inherit file;
        value = if isFunction module then module (args // { inherit config; }) else module;
      })
    modules;

  dotted = concatStringsSep ".";
  writtenIn = defs: concatStringsSep " and " (map (d: d.file) defs);

  # From definitions of a set to the definitions of each name in it.
  children = defs:
    zipAttrsWith (_: found: found)
      (map (d: mapAttrs (_: value: { inherit (d) file; inherit value; }) d.value) defs);

  # The tree of declared options; its leaves are the defaults.
  declare = path: decls:
    if all (d: isAttrs d.value && d.value != { }) decls
    then mapAttrs (name: declare (path ++ [ name ])) (children decls)
    else if length decls == 1 then (head decls).value
    else throw "option ${dotted path} is declared in ${writtenIn decls}: declare it once";

  # What `defs` make of a declared option.
  define = path: option: defs:
    if isAttrs option then
      let
        inner = childrenOf path defs;
        unknown = filter (name: ! option ? ${name}) (attrNames inner);
        wrong = head unknown;
      in
      if option == { } then mapAttrs (name: free (path ++ [ name ])) inner
      else if unknown != [ ] then
        throw ("${writtenIn inner.${wrong}}: there is no option ${dotted (path ++ [ wrong ])}; known here: "
          + concatStringsSep ", " (attrNames option))
      else mapAttrs (name: below: define (path ++ [ name ]) below (inner.${name} or [ ])) option
    else if defs == [ ] then option
    else
      let value = join path defs; in
      if typeOf value == typeOf option then value
      else throw "${writtenIn defs}: ${dotted path} must be of type ${typeOf option}, like its default ${toJSON option}";

  childrenOf = path: defs:
    let wrong = filter (d: ! isAttrs d.value) defs; in
    if wrong == [ ] then children defs
    else throw "${writtenIn wrong}: ${dotted path} must be an attribute set";

  # What `defs` make of a name below an option of default { }.
  free = path: defs:
    if all (d: isAttrs d.value) defs
    then mapAttrs (name: free (path ++ [ name ])) (children defs)
    else join path defs;

  join = path: defs:
    let first = (head defs).value; in
    if all (d: isList d.value) defs then concatLists (map (d: d.value) defs)
    else if all (d: d.value == first) defs then first
    else throw "${dotted path} is set differently in ${writtenIn defs}";

  options = declare [ ]
    (map (d: d // { value = d.value.options; }) (filter (d: d.value ? options) loaded));

  config = define [ ] options
    (map (d: d // { value = removeAttrs d.value [ "options" ]; }) loaded);
in
config
