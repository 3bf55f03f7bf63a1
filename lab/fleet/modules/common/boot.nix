# What a running system cannot change. Another kernelVersion needs a reboot: the
# links kernel, initrd and kernel-modules of the booted and of the current system
# differ. Another dbus implementation is a switch inhibitor: it is refused until
# the host boots into it.
{ config, ... }:
let
  version = config.boot.kernelVersion;
in
{
  options.boot.kernelVersion = "6.12.30";
  options.dbus.implementation = "dbus-daemon";

  files.kernel = builtins.toFile "linux-${version}" "kernel ${version}\n";
  files.initrd = builtins.toFile "initrd-linux-${version}" "initrd for ${version}\n";
  files.kernel-modules = builtins.toFile "linux-${version}-modules" "modules for ${version}\n";

  system.switchInhibitors.dbus = config.dbus.implementation;
}
