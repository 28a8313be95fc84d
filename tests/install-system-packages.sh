#!/bin/sh
# Installs the packages of system-packages.txt, or of the list that is named, whose command is missing, as root on Debian.
# Never fails: the tests that need an absent command are skipped with that reason. Services that come with them (name servers on port 53!) are
# neither started nor enabled: tests start their own.
PATH="$PATH:/usr/sbin:/sbin"
list="${1:-$(dirname "$0")/../system-packages.txt}"
missing=$(grep -v '^#' "$list" | while read -r package command; do
	[ -z "$package" ] || command -v "$command" >/dev/null 2>&1 || printf '%s ' "$package"
done)
[ -n "$missing" ] || exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
	echo "Not installed, so some tests are skipped: $missing" >&2
	exit 0
fi

services() {
	find /lib/systemd/system /usr/lib/systemd/system /etc/init.d -maxdepth 1 \( -name '*.service' -o -path '/etc/init.d/*' \) \
		-printf '%f\n' 2>/dev/null | sed 's/\.service$//' | sort -u
}

echo "Installing $missing" >&2
export DEBIAN_FRONTEND=noninteractive
work=$(mktemp -d) || exit 0
policy=/usr/sbin/policy-rc.d # asked by the packages before they start something; 101 is "don't"
trap 'rm -rf "$work"; [ -z "$own_policy" ] || rm -f "$policy"' EXIT
trap 'exit 0' HUP INT TERM
own_policy=
if [ ! -e "$policy" ]; then
	own_policy=yes
	printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod 755 "$policy"
fi
services >"$work/before"
# shellcheck disable=SC2086 # a list of words
{ apt-get -qq update && apt-get -qq install -y --no-install-recommends $missing; } >/dev/null ||
	echo "Could not install $missing: the tests that need them are skipped." >&2
services >"$work/after"
comm -13 "$work/before" "$work/after" | while read -r service; do
	update-rc.d "$service" disable >/dev/null 2>&1
done
exit 0
