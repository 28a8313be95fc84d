#!/bin/sh
# Installs the packages of system-packages.txt whose command is missing, as root on Debian. Never fails: the tests
# that need an absent command are skipped with that reason.
list="$(dirname "$0")/../system-packages.txt"
missing=$(grep -v '^#' "$list" | while read -r package command; do
	[ -z "$package" ] || command -v "$command" >/dev/null 2>&1 || printf '%s ' "$package"
done)
[ -n "$missing" ] || exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
	echo "Not installed, so some tests are skipped: $missing" >&2
	exit 0
fi
echo "Installing $missing" >&2
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086 # a list of words
{ apt-get -qq update && apt-get -qq install -y --no-install-recommends $missing; } >/dev/null ||
	echo "Could not install $missing: the tests that need them are skipped." >&2
exit 0
