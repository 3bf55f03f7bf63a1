#!/bin/sh
# Puts the system it lies in on the host, with the actions, messages and exit
# statuses of NixOS:
#
#   check         the pre-switch checks, and nothing else
#   dry-activate  say what a switch would do with the units
#   test          activate, but leave the boot entry alone
#   boot          write the boot entry, but do not activate
#   switch        both
#
# Exit status: 0 done; 4 the system is active, but units failed; 3 it is active,
# but systemd could not load its units; 2 it is active, but a snippet of its
# activation failed; anything else: it is not active.
# A run that was killed is finished by running it again.
set -eu
PATH=/usr/sbin:/usr/bin:/sbin:/bin
toplevel=$(dirname "$(dirname "$(readlink -f "$0")")")
running=/run/current-system
profile=/nix/var/nix/profiles/system
boot=/boot/loader
state=/run/nixos # lists of what is still to be done with the units

say() { echo "$*" >&2; }

# "a b c" -> "a, b, c"
commas() { echo "$*" | sed 's/ /, /g'; }

pre_switch_check() {
	# Booting into other values is always safe, and so is any first system.
	if [ "$action" = boot ] || [ -n "${NIXOS_NO_CHECK:-}" ] || [ ! -e "$running/switch-inhibitors" ]; then
		return
	fi
	if ! cmp -s "$running/switch-inhibitors" "$toplevel/switch-inhibitors"; then
		say "These must not change in a running system:"
		diff "$running/switch-inhibitors" "$toplevel/switch-inhibitors" |
			sed -n 's/^< /  running: /p; s/^> /  wanted:  /p' >&2
		say "Use the action boot and reboot. NIXOS_NO_CHECK=1 switches nevertheless."
		say "Pre-switch check 'switchInhibitors' failed"
		exit 1
	fi
}

# One entry for each generation of the profile; the default is the profile's.
install_boot_entries() {
	if [ "$(readlink -f "$profile")" != "$toplevel" ]; then
		say "cannot make $toplevel the default of the boot loader: it is not the system of $profile"
		say "First run: nix-env -p $profile --set $toplevel"
		exit 1
	fi
	mkdir -p "$boot/entries"
	for link in "$profile"-*-link; do
		generation=${link#"$profile"-}
		generation=${generation%-link}
		system=$(readlink -f "$link")
		write "$boot/entries/nixos-generation-$generation.conf" <<-END
			title NixOS
			version Generation $generation, $(cat "$system/nixos-version")
			linux $(readlink -f "$system/kernel")
			initrd $(readlink -f "$system/initrd")
			options init=$system/init
		END
	done
	for entry in "$boot"/entries/nixos-generation-*.conf; do
		generation=$(basename "$entry" .conf)
		[ -L "$profile-${generation#nixos-generation-}-link" ] || rm -f "$entry"
	done
	generation=$(basename "$(readlink "$profile")" -link)
	echo "default nixos-generation-${generation#system-}.conf" | write "$boot/loader.conf"
}

# Replaces a file by what is read, in one step.
write() { # FILE
	cat >"$1.new"
	mv -f "$1.new" "$1"
}

is_wanted() { # UNIT
	for want in "$toplevel"/etc/systemd/system/*.wants/"$1"; do
		[ ! -L "$want" ] || return 0
	done
	return 1
}

is_up() { # UNIT
	case $(systemctl show -P ActiveState "$1") in
	active | activating | reloading | refreshing) return 0 ;;
	*) return 1 ;;
	esac
}

unit_says() { # UNIT SETTING
	grep -qxF "$2" "$toplevel/etc/systemd/system/$1"
}

# What a killed run had still to do with units that this system has too.
left_over() { # LIST
	for unit in $(cat "$state/$1-list" 2>/dev/null); do
		if [ -e "$toplevel/etc/systemd/system/$unit" ]; then
			echo "$unit"
		fi
	done
}

# Sorts the units of both systems into $to_stop, $to_start, $to_restart,
# $to_reload and $to_skip.
compare_units() {
	to_stop='' to_skip=''
	to_start=$(left_over start) to_restart=$(left_over restart) to_reload=$(left_over reload)
	for file in "$running"/etc/systemd/system/*.*; do
		unit=$(basename "$file")
		if [ -f "$file" ] && [ ! -e "$toplevel/etc/systemd/system/$unit" ] && is_up "$unit"; then
			to_stop="$to_stop $unit"
		fi
	done
	for file in "$toplevel"/etc/systemd/system/*.*; do
		[ -f "$file" ] || continue
		unit=$(basename "$file")
		if ! is_up "$unit"; then
			! is_wanted "$unit" || to_start="$to_start $unit"
		elif cmp -s "$file" "$running/etc/systemd/system/$unit"; then
			: # runs, and as it should
		elif unit_says "$unit" X-ReloadIfChanged=true; then
			to_reload="$to_reload $unit"
		elif unit_says "$unit" X-RestartIfChanged=false; then
			to_skip="$to_skip $unit"
		else
			to_restart="$to_restart $unit"
		fi
	done
	to_start=$(sorted $to_start) to_restart=$(sorted $to_restart) to_reload=$(sorted $to_reload)
	to_stop=$(sorted $to_stop) to_skip=$(sorted $to_skip)
}

# Each word once, on one line.
sorted() { echo $(printf '%s\n' "$@" | sort -u); }

announce() { # PHRASE UNIT...
	phrase=$1
	shift
	if [ $# -gt 0 ]; then
		say "$phrase the following units: $(commas "$@")"
	fi
}

dry_activate() {
	announce "would stop" $to_stop
	announce "would NOT restart" $to_skip
	say "would activate the configuration..."
	announce "would reload" $to_reload
	announce "would restart" $to_restart
	announce "would start" $to_start
}

# Runs a verb of systemctl on units. A unit that fails is found by report_failed.
tell() { # VERB PHRASE UNIT...
	verb=$1
	announce "$2" $3
	[ -z "$3" ] || systemctl "$verb" -- $3 || true
}

activate() {
	tell stop stopping "$to_stop"
	announce "NOT restarting" $to_skip

	# From here on the running system may be this one, and a next run would see
	# no changes. What is still to be done is noted before that.
	echo "$to_start" | write "$state/start-list"
	echo "$to_restart" | write "$state/restart-list"
	echo "$to_reload" | write "$state/reload-list"

	say "activating the configuration..."
	status=0
	NIXOS_ACTION=$action "$toplevel/activate" || status=$?
	if [ "$(readlink -f "$running")" != "$toplevel" ]; then
		say "activation failed: $running is not $toplevel"
		exit 1
	fi
	if ! systemctl reset-failed || ! systemctl daemon-reload; then
		exit 3
	fi

	tell reload reloading "$to_reload"
	tell restart restarting "$to_restart"
	tell start starting "$to_start"
	rm -f "$state/start-list" "$state/restart-list" "$state/reload-list"
	report_failed
	return "$status"
}

report_failed() {
	failed=''
	for file in "$toplevel"/etc/systemd/system/*.*; do
		unit=$(basename "$file")
		if [ -f "$file" ] && systemctl --quiet is-failed "$unit"; then
			failed="$failed $unit"
		fi
	done
	if [ -n "$failed" ]; then
		systemctl status --no-pager --full --lines=5 -- $failed >&2 || true
		say "warning: the following units failed: $(commas $failed)"
		exit 4
	fi
}

action=${1-}
case $action in
check | dry-activate | test | boot | switch) ;;
*)
	say "usage: switch-to-configuration check|dry-activate|test|boot|switch"
	exit 1
	;;
esac

# What it starts inherits the lock: an activation whose parent was killed keeps
# it until it ends.
mkdir -p "$state"
exec 9>>"$state/switch-to-configuration.lock"
if ! flock --nonblock 9; then
	say "Could not acquire lock"
	exit 1
fi

pre_switch_check
case $action in
check) ;;
boot) install_boot_entries ;;
dry-activate)
	compare_units
	dry_activate
	;;
test)
	compare_units
	activate
	;;
switch)
	install_boot_entries
	compare_units
	activate
	;;
esac
