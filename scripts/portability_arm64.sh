#!/bin/sh
# A whole arm64 Python under emulation, beside an x86-64 Debian and without changing it.
#
#     scripts/portability_arm64.sh setup          make it (about 350 MB; again: nothing to do)
#     scripts/portability_arm64.sh run ARGUMENTS  python ARGUMENTS in it, in the present folder
#
# Everything lies in $ISOCONV_ARM64, by default build/arm64: Debian's emulator qemu-user-static and
# its arm64 Python, unpacked from packages, and the library's dependencies as arm64 wheels. It takes
# packages from wherever this machine's apt and pip take theirs, and needs no root.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
here=${ISOCONV_ARM64:-$root/build/arm64}
sysroot=$here/sysroot
wheels=$here/wheels
python=${ISOCONV_PYTHON:-$root/.venv/bin/python}
packages="python3-minimal libpython3-stdlib libstdc++6 libgcc-s1"

# apt with lists and records of its own: the machine's say that it is amd64.
apt() {
    command=$1 architecture=$2
    shift 2
    state=$here/apt/$architecture
    mkdir -p "$state/lists/partial" "$state/archives/partial"
    : > "$state/status"
    sources=/etc/apt/sources.list.d/debian.sources
    [ -e "$sources" ] || sources=/etc/apt/sources.list
    # Run from where its archives go: `download` writes to the working folder.
    (cd "$state/archives" && apt-get -qq -y --no-install-recommends \
        -o APT::Architecture="$architecture" -o APT::Architectures::="$architecture" \
        -o APT::Sandbox::User=root \
        -o Dir::Etc::sourcelist="$sources" -o Dir::Etc::sourceparts=- \
        -o Dir::State="$state" -o Dir::State::lists="$state/lists" \
        -o Dir::State::status="$state/status" \
        -o Dir::Cache="$state" -o Dir::Cache::archives="$state/archives" \
        -o Debug::NoLocking=1 "$command" "$@")
}

setup() {
    if [ -e "$here/.ready" ] && [ "$here/.ready" -nt "$root/pyproject.toml" ] &&
        [ "$here/.ready" -nt "$0" ]; then
        return
    fi
    rm -rf "$here"
    mkdir -p "$here"

    host=$(dpkg --print-architecture)
    apt update "$host"
    apt download "$host" qemu-user-static
    # The package holds emulators of all kinds of machines; one is wanted.
    dpkg-deb --fsys-tarfile "$here/apt/$host/archives"/qemu-user-static_*.deb |
        tar -x -C "$here" --strip-components=3 ./usr/bin/qemu-aarch64-static

    apt update arm64
    # shellcheck disable=SC2086  # a list of words
    apt install arm64 --download-only $packages
    mkdir -p "$sysroot"
    for package in "$here/apt/arm64/archives"/*.deb; do
        dpkg-deb -x "$package" "$sysroot"
    done
    rm -rf "$here/apt"

    # The same versions as beside the tests, where they are installed there.
    version=$(basename "$(echo "$sysroot"/usr/lib/python3.[0-9]*)" | sed 's/python//')
    "$python" "$root/scripts/portability_wheels.py" > "$here/wheels.txt"
    "$python" -m pip install --quiet --disable-pip-version-check --no-compile \
        --target "$wheels" --only-binary=:all: --implementation cp --python-version "$version" \
        --platform manylinux_2_28_aarch64 --platform manylinux_2_27_aarch64 \
        --platform manylinux_2_26_aarch64 --platform manylinux_2_17_aarch64 \
        --platform manylinux2014_aarch64 --requirement "$here/wheels.txt"
    ln -s "python$version" "$sysroot/usr/bin/python-of-this-sysroot"
    touch "$here/.ready"
}

run() {
    [ -e "$here/.ready" ] || { echo "there is no arm64 Python yet: run $0 setup" >&2; exit 1; }
    exec "$here/qemu-aarch64-static" -L "$sysroot" -cpu max,sve=off \
        -E PYTHONPATH="$wheels:$root/src:$root" -E PYTHONDONTWRITEBYTECODE=1 \
        "$sysroot/usr/bin/python-of-this-sysroot" "$@"
}

case ${1:-} in
    setup) setup ;;
    run) shift; run "$@" ;;
    *) echo "usage: $0 setup | run ARGUMENTS" >&2; exit 2 ;;
esac
