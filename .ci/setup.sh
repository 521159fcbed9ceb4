#!/bin/sh
# Installs what is missing: uv, the Python environment .venv, QGIS. Each step is skipped when done.
#   .ci/setup.sh python     uv and .venv with the engine and the development tools
#   .ci/setup.sh qgis       QGIS and a virtual screen, from the system's packages
set -eu
cd "$(dirname "$0")/.."

say() { printf '== %s\n' "$*"; }

root() { # runs a command as root, directly or through sudo
    if [ "$(id -u)" -eq 0 ]; then "$@"
    elif command -v sudo >/dev/null; then sudo "$@"
    else echo "This needs root: $*" >&2; exit 1
    fi
}

apt() { # apt PACKAGE...
    if ! command -v apt-get >/dev/null; then
        echo "Please install with your system's package manager: $*" >&2; exit 1
    fi
    say "installing $*"
    root env DEBIAN_FRONTEND=noninteractive apt-get update -qq
    root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

find_uv() {
    if command -v uv >/dev/null && uv --version >/dev/null 2>&1; then command -v uv; return; fi
    for path in "$HOME/.local/bin/uv" .cache/uv/bin/uv; do
        if [ -x "$path" ]; then echo "$path"; return; fi
    done
}

install_uv() {
    say 'installing uv into .cache/uv'
    mkdir -p .cache
    if ! python3 -m venv .cache/uv 2>/dev/null; then
        rm -rf .cache/uv
        apt python3-venv
        /usr/bin/python3 -m venv .cache/uv
    fi
    .cache/uv/bin/python -m pip install --quiet --disable-pip-version-check uv
}

find_python() { # a Python 3.12 or newer: on the path, of pyenv, or one that uv fetches
    for path in "${PYTHON:-}" $(command -v python3.12 python3.13 python3.14 || true) \
        "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.1[2-9]*/bin/python; do
        if [ -n "$path" ] && "$path" -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2>/dev/null
        then echo "$path"; return; fi
    done
    cat .python-version
}

python_environment() {
    wanted=$(cat pyproject.toml constraints.txt | cksum)
    if [ -f .venv/installed ] && [ "$(cat .venv/installed)" = "$wanted" ]; then return; fi
    uv=$(find_uv)
    if [ -z "$uv" ]; then install_uv; uv=.cache/uv/bin/uv; fi
    python=$(find_python)
    say "making .venv with $python"
    [ -x .venv/bin/python ] || "$uv" venv --quiet --python "$python" .venv
    "$uv" pip install --quiet --python .venv/bin/python --constraint constraints.txt \
        --editable . --group dev
    echo "$wanted" > .venv/installed
}

qgis() {
    missing=''
    command -v qgis_process.bin >/dev/null || command -v qgis_process >/dev/null || missing="$missing qgis"
    /usr/bin/python3 -c 'import qgis.core' 2>/dev/null || missing="$missing python3-qgis"
    /usr/bin/python3 -c 'import pytest' 2>/dev/null || missing="$missing python3-pytest"
    command -v xvfb-run >/dev/null || missing="$missing xvfb xauth"
    # shellcheck disable=SC2086  # several words
    [ -z "$missing" ] || apt $missing
}

for part in "$@"; do
    case "$part" in
        python) python_environment ;;
        qgis) qgis ;;
        *) echo "unknown part: $part" >&2; exit 2 ;;
    esac
done
