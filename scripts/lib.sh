# shellcheck shell=bash
# Set-up shared by the commands beside this file; sourced, not run.
# Packages are installed only when something is missing, on systems with apt-get.

say() { printf '\n==> %s\n' "$*"; }

die() {
    printf '\nerror: %s\n' "$*" >&2
    exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

# Runs a command as root; on a desktop this is where sudo may ask for a password.
as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif have sudo; then
        sudo "$@"
    else
        die "this needs root: $*
Run it as root (there is no sudo here), then start again."
    fi
}

apt_updated=

# apt_install PACKAGE...: installs Debian packages; tries three times, the network may be slow.
apt_install() {
    have apt-get || die "please install what Debian calls: $*"
    say "Installing $*"
    local try
    for try in 1 2 3; do
        if [ -z "$apt_updated" ]; then
            as_root apt-get -q -o Acquire::Retries=3 update && apt_updated=yes
        fi
        if as_root env DEBIAN_FRONTEND=noninteractive \
            apt-get -q -y -o Acquire::Retries=3 install --no-install-recommends "$@"; then
            return 0
        fi
        apt_updated=
        echo "apt-get failed (try $try of 3)" >&2
        sleep $((try * 5))
    done
    die "apt-get could not install: $*"
}

need_rust() {
    if ! have cargo && [ -x "$HOME/.cargo/bin/cargo" ]; then
        export PATH="$HOME/.cargo/bin:$PATH"
    fi
    have cargo || die "there is no cargo; install Rust from https://rustup.rs and start again"
}

# A C compiler and linker: Rust links with it, and a few dependencies hold C code.
need_linker() {
    if ! have cc || ! have make; then
        apt_install build-essential
    fi
}

# A Vulkan loader and a driver: any GPU's, or Mesa's software one.
need_vulkan() {
    local missing=()
    if ! PATH="$PATH:/sbin:/usr/sbin" ldconfig -p 2>/dev/null | grep 'libvulkan\.so\.1' >/dev/null; then
        missing+=(libvulkan1)
    fi
    if ! compgen -G '/usr/share/vulkan/icd.d/*lvp*.json' >/dev/null &&
        ! compgen -G '/etc/vulkan/icd.d/*lvp*.json' >/dev/null; then
        missing+=(mesa-vulkan-drivers)
    fi
    if [ "${#missing[@]}" -gt 0 ]; then
        apt_install "${missing[@]}"
    fi
}

# Node.js 18 or newer with npm, for the wallet libraries from npm.
need_node() {
    local missing=()
    have node || missing+=(nodejs)
    have npm || missing+=(npm)
    if [ "${#missing[@]}" -gt 0 ]; then
        apt_install "${missing[@]}"
    fi
    node -e 'process.exit(Number(process.versions.node.split(".")[0]) >= 18 ? 0 : 1)' ||
        die "Node.js $(node --version) is too old; the client tests need 18 or newer"
}

# Python 3 that can make virtual environments, for web3.py from PyPI.
need_python() {
    if ! have python3 || ! python3 -c 'import venv, ensurepip' >/dev/null 2>&1; then
        apt_install python3 python3-venv
    fi
}
