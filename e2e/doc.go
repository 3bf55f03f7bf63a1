// Package e2e holds the end-to-end tests of `roost update:all` and `roost run`: the real
// program, as a child process that signals and kill -9 reach, on booted hosts
// of package lab, with real Nix, ssh and systemd.
//
//	ROOST_LAB=1 go test ./e2e/
//
// One lab serves all tests. Each begins with the files of lab/fleet and no
// fault, and brings the hosts to where it needs them, so the tests do not depend
// on their order.
package e2e
