#!/bin/sh
# A tree that survives naive kills. It ignores SIGTERM, and so does everything below it (an ignored signal is inherited).
# $1: when every part is up, its pid stands in this file, a line each: NAME PID.
trap '' TERM
pids=$1
note() { read -r pid rest </proc/self/stat; echo "$1 $pid" >>"$pids"; }

note root
( note child; exec sleep 1000 ) &
setsid sh -c 'echo "setsid $$" >>"$0"; exec sleep 1001' "$pids" &
# Double fork: the middle one is gone before the daemon runs, so that its parent is a stranger.
( ( setsid sh -c 'echo "daemon $$" >>"$0"; exec sleep 1002' "$pids" & ) & )
# Forks as fast as it can, from a parent that stays.
( note fork-loop; while :; do /bin/true; done ) &
wait
