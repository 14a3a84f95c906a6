#!/bin/sh
# The user of the nodes; systemd has none to make in a chroot, and needs none.
set -e
systemd-sysusers landfall.conf
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
fi
# An upgrade leaves running nodes as they are: restart them one after another,
# each when the one before is ready again.
