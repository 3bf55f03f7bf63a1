#!/bin/sh
# What stage 2 does: makes this system the one that was booted. The host's own
# systemd runs it early at boot, so what it finds in /run is empty.
set -eu
PATH=/usr/sbin:/usr/bin:/sbin:/bin
toplevel=$(dirname "$(readlink -f "$0")")

ln -sfn "$toplevel" /run/booted-system

# A snippet that fails must not stop the boot: it is told by the exit status.
status=0
"$toplevel/activate" || status=$?

# systemd planned this boot before the units were linked: load them, and queue
# what their targets want. --no-block, for this script is a part of the boot.
systemctl daemon-reload
for want in "$toplevel"/etc/systemd/system/*.wants/*; do
	if [ -e "$want" ]; then
		systemctl start --no-block "$(basename "$want")"
	fi
done
exit "$status"
