{ lib }:
{
  drv = throw "The option `services.foo' does not exist.\n\nDefinition values:\n- In `/x/y.nix': true";
}
