#!/bin/sh
# Mutation testing of the code that judges: how many small faults put into it do tests/ notice? Not part of CI.
#
#   pip install mutmut
#   benchmarks/validation/mutation.sh [PATTERN ...]      such as 'twins.judge.agreement.*'; all without one
#
# Works in a copy of the tree under TMPDIR, one mutant at a time, and prints the survivors and their number.
# docs/mutation.md holds the figures, and why each survivor may live.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
cd "$root"
cp -R conftest.py pytest.ini images benchmarks fixtures twins tests "$copy"
cp benchmarks/validation/mutation.cfg "$copy/setup.cfg"
cd "$copy"
mutmut run --max-children 1 "$@"
mutmut results
mutmut export-cicd-stats
cat mutants/mutmut-cicd-stats.json
