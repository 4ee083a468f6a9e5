#!/bin/sh
# learning_curves.sh OUT.svg LABEL=RUN,RUN... ... - evaluated returns and distances of training runs by step,
# one colour a label, one line a run (gnuplot). RUN: a folder of 'deft train'.
set -eu
out=$1
shift
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
n=0
for group in "$@"; do
    n=$((n + 1))
    label=${group%%=*}
    for run in $(echo "${group#*=}" | tr , ' '); do
        # step, return, distance of every evaluation; an empty line parts the runs
        awk -F, 'NR > 1 && $9 != "" { print $1 / 1000, $9, $11 / 100 } END { print "" }' "$run/progress.csv" >>"$tmp/$n"
    done
    for panel in 2 3; do
        title="notitle"
        [ $panel = 3 ] || title="title \"$label\""
        echo "'$tmp/$n' using 1:$panel with lines lc $n lw 1.5 $title" >>"$tmp/plot$panel"
    done
done
gnuplot <<G
set terminal svg size 900,430 font "sans,12" background "white"
set output "$tmp/out.svg"
set multiplot layout 1,2
set grid lc rgb "#dddddd"
set xlabel "environment steps, thousands"
set key below vertical maxrows 3 font ",9"
set ylabel "return of an evaluation"
plot $(paste -sd, "$tmp/plot2")
set ylabel "distance, m"
plot $(paste -sd, "$tmp/plot3")
unset multiplot
G
mv "$tmp/out.svg" "$out"
