#!/bin/sh
# An upgrade leaves running nodes as they are: restart them one after another,
# each when the one before is ready again.
set -e
systemd-sysusers landfall.conf
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
fi
