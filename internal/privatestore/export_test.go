package privatestore

// Wrap makes the store as it is made in a chroot.
func Wrap(dir string) error { return makeWrapped(dir) }

// RemoveMountPoint is what Remove does about /nix.
var RemoveMountPoint = removeMountPoint
