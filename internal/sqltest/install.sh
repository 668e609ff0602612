#!/bin/sh
# Installs psql and PostgreSQL 15, which some tests drive or compare with, where the system has apt and we may use it.
set -u
have() { command -v "$1" >/dev/null 2>&1; }
if have psql && { have postgres || [ -x /usr/lib/postgresql/15/bin/postgres ]; }; then
	exit 0
fi
if have apt-get && [ "$(id -u)" = 0 ]; then
	(apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq postgresql-15 postgresql-client-15) >/dev/null 2>&1 && exit 0
fi
echo "psql and PostgreSQL 15 are not installed and could not be: the tests that need them will be skipped" >&2
exit 0
