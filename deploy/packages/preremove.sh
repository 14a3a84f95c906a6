#!/bin/sh
# deb says remove, rpm 0; an upgrade is something else, and stops nothing.
set -e
case "$1" in
remove | 0)
	if [ -d /run/systemd/system ]; then
		systemctl --no-reload disable landfall@.service
		systemctl stop 'landfall@*.service'
	fi
	;;
esac
