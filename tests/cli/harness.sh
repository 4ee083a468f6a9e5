# harness.sh - for tests of the program. Sourced by a script whose
# arguments are BINARY_DIR SOURCE_DIR.
# shellcheck shell=sh disable=SC2034
deft=$(cd "$1" && pwd)/deft src=$2
LC_ALL=C
export LC_ALL
dir=$(mktemp -d) || exit 1
trap 'chmod -R u+w "$dir"; rm -rf "$dir"' EXIT
policies=$src/tests/golden/policies

fail() {
    echo "FAILED: $*"
    echo "--- stdout"
    head -n 40 "$dir/out"
    echo "--- stderr"
    head -n 40 "$dir/err"
    exit 1
}

# expect STATUS argument... - runs deft; what it printed is in $dir/out and $dir/err
expect() {
    wanted=$1
    shift
    status=0
    "$deft" "$@" >"$dir/out" 2>"$dir/err" </dev/null || status=$?
    [ "$status" = "$wanted" ] || fail "status $status, not $wanted: deft $*"
}

# prints PATTERN - in what the last expect wrote to stdout; says: to stderr
prints() { grep -q -e "$1" "$dir/out" || fail "stdout has no '$1'"; }
says() { grep -q -e "$1" "$dir/err" || fail "stderr has no '$1'"; }
silent() { [ ! -s "$dir/err" ] || fail "stderr is not empty"; }

# json EXPRESSION - true of the last stdout, which is j
json() {
    /usr/bin/python3 - "$dir/out" "$1" <<'PY' || fail "json: $1"
import json, math, sys
def refuse(x): raise ValueError(x)  # NaN and Infinity are not JSON
j = json.load(open(sys.argv[1]), parse_constant=refuse)
sys.exit(not eval(sys.argv[2]))
PY
}
