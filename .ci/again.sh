#!/bin/sh
# Runs pytest; in CI, tests that failed are run once more by themselves. Some of them watch real
# processes against the clock, and a machine that is shared may be late. Both results are printed.
#   .ci/again.sh 'PYTEST COMMAND' [OPTIONS OF THE FIRST RUN]...
set -eu
cd "$(dirname "$0")/.."
command=$1
shift
# shellcheck disable=SC2086  # a command and its words
if $command "$@"; then exit 0; fi
if [ -z "${CI:-}" ]; then exit 1; fi
echo '== UNSTABLE or broken: what failed above, once more by itself'
# shellcheck disable=SC2086
$command --last-failed --last-failed-no-failures none
