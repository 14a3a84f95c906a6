#!/bin/sh
# /var/lib/landfall stays, and its user with it: it may hold messages that
# Postgres does not have.
set -e
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
fi
