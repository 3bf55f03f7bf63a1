#!/bin/sh
# Makes this system the current one: its snippets, /etc, the unit files, and at
# last /run/current-system. Runs at boot (init) and in a switch, which sets
# NIXOS_ACTION. Every step may be repeated, so a run that was killed is finished
# by the next one. Exits 2 when a snippet failed; the system is current even so.
set -eu
PATH=/usr/sbin:/usr/bin:/sbin:/bin
toplevel=$(dirname "$(readlink -f "$0")")
units=/run/systemd/system
status=0

# Puts a link in place in one step, whatever file or link was there.
place() { # LINK TARGET
	mkdir -p "$(dirname "$1")"
	ln -sfn "$2" "$1.roost-new"
	mv -fT "$1.roost-new" "$1"
}

for snippet in "$toplevel"/activation/*; do
	[ -e "$snippet" ] || continue
	if ! /bin/sh -eu "$snippet"; then
		echo "Activation script snippet '$(basename "$snippet")' failed" >&2
		status=2
	fi
done

# /etc/NAME links to /etc/static/NAME, and /etc/static to this system: links of
# files that this system does not have dangle then, and go.
place /etc/static "$toplevel/etc"
(cd "$toplevel/etc" && find . -path ./systemd/system -prune -o ! -type d -print) |
	while read -r file; do
		file=${file#./}
		place "/etc/$file" "/etc/static/$file"
	done
find /etc -xtype l -lname '/etc/static/*' -delete

# Units are linked into /run, not /etc: a reboot forgets them, and init links
# those of the system that is booted.
mkdir -p "$units"
find "$units" -type l -lname '/nix/store/*' | while read -r link; do
	[ -e "$toplevel/etc/systemd/system/${link#"$units"/}" ] || rm -f "$link"
done
(cd "$toplevel/etc/systemd/system" && find . ! -type d) | while read -r file; do
	file=${file#./}
	place "$units/$file" "$toplevel/etc/systemd/system/$file"
done

# The garbage collector keeps what runs.
for name in current-system booted-system; do
	place "/nix/var/nix/gcroots/$name" "/run/$name"
done

place /run/current-system "$toplevel"
exit "$status"
