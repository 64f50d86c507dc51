#!/usr/bin/env bash
# Shows that the CPU image's steps work, without a container engine: the instructions of docker/Dockerfile
# are done, one by one, in a fresh Debian root made by debootstrap, and its default command must then
# produce a forecast as the image's user, without a network.
#
#     sudo docker/check.sh            # a quarter of an hour; 4 GB under $TMPDIR, removed at the end
#
# What this is not: the base is Debian with Debian's own Python 3.11 where the image has python:3.11-slim,
# and layers, the build cache and the engine's isolation are not exercised.
# Dockerfile.cuda is only linted and compose.yaml only read (tests/docker): what they need (a GPU, an
# engine) is not here.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '=== %s\n' "$*"; }
fail() { printf 'docker/check.sh: %s\n' "$*" >&2; exit 1; }

if [ -n "${CHECK_INSIDE:-}" ]; then
    : # linted before
elif command -v hadolint > /dev/null; then
    hadolint docker/Dockerfile docker/Dockerfile.cuda
    say "hadolint: nothing to complain about"
else
    say "hadolint is not on PATH: lint SKIPPED"
fi

[ "$(id -u)" = 0 ] || fail "not root, so no chroot: give the command as root"
for tool in debootstrap unshare chroot python3; do
    command -v "$tool" > /dev/null || fail "$tool is not here; install it (Debian: apt-get install $tool)"
done
unshare --mount true 2> /dev/null || fail "mount namespaces are not permitted here"

# Everything below runs in a mount namespace of its own: its mounts are gone with it, whatever happens.
if [ -z "${CHECK_INSIDE:-}" ]; then
    scratch="$(mktemp -d "${TMPDIR:-/tmp}/weathersvq-image.XXXXXX")"
    trap 'rm -rf --one-file-system "$scratch"' EXIT
    CHECK_INSIDE=1 CHECK_SCRATCH="$scratch" unshare --mount --propagation private "$0" "$@"
    exit
fi
root="$CHECK_SCRATCH/root"

# The host's own mirror of Debian, as its apt knows it; debootstrap's default where there is none.
mirror="$(cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources 2> /dev/null \
    | grep -v '^#' | grep -oE 'https?://[^ ]+/debian/?( |$)' | head -n 1 | tr -d ' ' || true)"
say "no container engine is used: the steps of docker/Dockerfile are done in a chroot"
say "a fresh Debian root, with Debian's Python in the place of the base image's"
# shellcheck disable=SC2086
debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates bookworm "$root" $mirror \
    > "$CHECK_SCRATCH/debootstrap.log" 2>&1 || { tail -n 20 "$CHECK_SCRATCH/debootstrap.log"; fail "debootstrap failed"; }
mount --bind /dev "$root/dev"

# What an engine hands to a build: name resolution, certificates and package indexes of the host, for
# the time of the build. They lie over the root's files and never in them.
lend() { # lend FILE_OR_FOLDER: the host's, read-only, at the same path
    local place="$root$1"
    [ -e "$1" ] || return 0
    if [ ! -e "$place" ]; then
        if [ -d "$1" ]; then mkdir -p "$place"; else mkdir -p "$(dirname "$place")" && : > "$place"; fi
        lent+=("$1")
    fi
    mount --bind -o ro "$1" "$place"
    mounted+=("$place")
}
lent=() mounted=()
lend /etc/resolv.conf
lend /etc/ssl/certs
lend /etc/pip.conf
for folder in $(python3 -m pip config list 2> /dev/null | grep -oE "/[^ ']+" | sed 's,^//*,/,' | sort -u); do
    if [ -d "$folder" ] && [ "$folder" != / ]; then lend "$folder"; fi
done

python3 docker/replay.py docker/Dockerfile "$root" "$@"

for place in "${mounted[@]}"; do umount "$place"; done
for path in "${lent[@]}"; do rmdir "$root$path" 2> /dev/null || rm -f "$root$path"; done
say "size of the root: $(du -sxh "$root" | cut -f1), of it the environment: $(du -sh "$root/opt/venv" | cut -f1)"

say "the default command"
python3 docker/replay.py docker/Dockerfile "$root" --command
files="$(cd "$root/data" && find . -type f -printf '%P (%s bytes, user %U)\n' | sort)"
say "in /data: ${files//$'\n'/, }"
[ -s "$root/data/t2m.nc" ] || fail "no forecast at /data/t2m.nc"
[ "$(stat --format %u "$root/data/t2m.nc")" = 1000 ] || fail "the forecast was not written by the image's user"
say "passed: $(basename "$root"/data/*.nc) was made offline by user 1000"
