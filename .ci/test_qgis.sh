#!/bin/sh
# Runs tests/qgis with a QGIS's own Python: the installed one, or VERSION through qgis-version.
#   .ci/test_qgis.sh [VERSION]
set -eu
cd "$(dirname "$0")/.."
tool=../shared/tools/qgis-version
export QT_QPA_PLATFORM=offscreen
export TORCHGEO_EXT_PYTHON="${TORCHGEO_EXT_PYTHON:-$PWD/.venv/bin/python}"
set -- "${1:-}"
run='/usr/bin/python3'
if [ -n "$1" ]; then
    "$tool" --setup "$1"
    run="$tool $1 python3"
fi
.ci/again.sh "$run -m pytest -c tests/qgis/pytest.ini tests/qgis"
