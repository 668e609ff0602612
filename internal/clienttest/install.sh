#!/bin/sh
# Installs the clients that the tests of this folder drive, at fixed versions, into a folder that is kept between runs.
# What cannot be had is named and left out; the tests then skip it.
set -u
cd "$(dirname "$0")" || exit 1
home=${STREAMSQL_CLIENTS:-${XDG_CACHE_HOME:-$HOME/.cache}/streamsql-clients}
pgjdbc=42.7.4
have() { command -v "$1" >/dev/null 2>&1; }
missing() { echo "clients: $1 could not be installed; the tests skip it" >&2; }
mkdir -p "$home/java" "$home/node" || exit 0

# A list that has changed is installed again: its copy stands beside what was made of it, once it is whole.
python() { # folder, list
	cmp -s "$2" "$home/$1/installed.txt" && return 0
	have python3 && rm -rf "$home/$1" && python3 -m venv "$home/$1" >/dev/null 2>&1 &&
		"$home/$1/bin/pip" install -q --disable-pip-version-check -r "$2" >/dev/null 2>&1 && cp "$2" "$home/$1/installed.txt"
}
python python python/requirements.txt || missing "Python's drivers"
python python14 python/requirements14.txt || missing "SQLAlchemy 1.4"

cmp -s node/package.json "$home/node/installed.json" || {
	have npm && cp node/package.json "$home/node/" && (cd "$home/node" && npm install --silent --no-audit --no-fund --no-package-lock >/dev/null 2>&1) &&
		cp node/package.json "$home/node/installed.json"
} || missing "node's drivers"

[ -f "$home/java/postgresql-$pgjdbc.jar" ] || {
	have mvn && mvn -q dependency:copy -Dartifact=org.postgresql:postgresql:$pgjdbc -DoutputDirectory="$home/java" >/dev/null 2>&1
} || missing pgjdbc

{ have psql && perl -MDBD::Pg -e 1 2>/dev/null && ls /usr/lib/*/odbc/psqlodbcw.so >/dev/null 2>&1; } || {
	have apt-get && [ "$(id -u)" = 0 ] && {
		apt-get update -qq
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq postgresql-client-15 odbc-postgresql unixodbc libdbd-pg-perl
	} >/dev/null 2>&1
} || missing "psql, psqlODBC or DBD::Pg"
exit 0
