#!/bin/sh
# Misuse ends with status 2 and says where help is; nothing is read or written.
. "$2/tests/cli/harness.sh"

misuse() { # misuse PATTERN argument...
    pattern=$1
    shift
    expect 2 "$@"
    [ ! -s "$dir/out" ] || fail "stdout is not empty: $*"
    says "$pattern"
    says "^Try 'deft"
}

expect 2
says '^Usage: deft COMMAND'
misuse "no subcommand 'frobnicate'" frobnicate
misuse "no subcommand 'frobnicate'" help frobnicate
misuse "no subcommand '.*x1b" "$(printf '\033[31m')"
p=$src/models/pendulum/td3.onnx
for c in info convert run compare eval bench; do
    misuse "deft $c: too few operands" "$c"
    misuse "deft $c: unknown option '--frobnicate'" "$c" --frobnicate "$p"
    misuse "deft $c: --previous must be one of first|last|none, not 'middle'" "$c" --previous middle "$p"
    misuse "deft $c: option '--encoder' requires an argument" "$c" "$p" --encoder
    misuse "deft $c: --arch must not be empty" "$c" "$p" --arch ''
done
misuse 'too many operands' info "$p" "$p"
misuse 'too many operands' convert "$p" "$p" "$p" -o "$dir/x.deft"
misuse ' -o FILE is missing' convert "$p"
misuse 'neither .onnx nor .deft' convert "$p" -o "$dir/x.bin"
misuse 'not also --encoder' convert "$p" "$p" --encoder "$p" -o "$dir/x.deft"
misuse ' --obs FILE.csv is missing' run "$p"
misuse 'either --obs FILE.csv or --env NAME' compare "$p" "$p"
misuse 'either --obs FILE.csv or --env NAME' compare "$p" "$p" --obs x.csv --env pendulum
misuse 'needs two policies' compare "$p" --env pendulum
misuse ' --env must be one of' eval "$p" --env mars
misuse ' --episodes must be from 1 to 1000000' eval "$p" -n 0
misuse ' --episodes must be a whole number' eval "$p" -n 1.5
misuse ' --episodes must be a whole number' eval "$p" -n 99999999999999999999
misuse ' --seed must be a whole number from 0' eval "$p" --seed -1
misuse ' --heading must be a number' eval "$p" --heading north
misuse ' --heading must be a number' eval "$p" --heading nan
misuse 'the only shell is bash' completion fish
misuse "--vary: 'wind=1' is neither 'typical' nor" eval --env quaid --scene flat --vary wind=1 "$p"
