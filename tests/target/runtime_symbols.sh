#!/bin/sh
# runtime_symbols.sh NM OBJDUMP ARCHIVE - libdeft_rt.a may refer to string.h's mem functions and to itself.
set -eu
nm=$1 objdump=$2 archive=$3
defined=$("$nm" -g --defined-only "$archive" | awk 'NF == 3 { print $3 }' | sort -u)
undefined=$("$nm" -u "$archive" | awk '$1 == "U" { print $2 }' | sort -u)
bad=
for s in $undefined; do
    case $s in
    memcpy | memset | memmove | memcmp | _GLOBAL_OFFSET_TABLE_) continue ;;
    esac
    printf '%s\n' "$defined" | grep -qx "$s" || bad="$bad $s"
done
[ -z "$bad" ] || { echo "the runtime refers to:$bad"; exit 1; }
# nothing that can change (constants with pointers in them are in .data.rel.ro)
if "$objdump" -t "$archive" | grep -E '[[:space:]](\.data|\.bss|\.tdata|\.tbss|\*COM\*)[[:space:]]+0*[1-9a-f]'; then
    echo "the runtime has variables"
    exit 1
fi
printf '%s\n' "$defined" | grep -qx deft_policy_step || { echo "no deft_policy_step"; exit 1; }
echo "$(printf '%s\n' "$defined" | wc -l) symbols, none from outside but string.h's"
