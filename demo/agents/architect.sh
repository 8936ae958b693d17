#!/bin/sh
# Slow: its first turn comes late. But it progresses, and nobody should kill it for that.
echo 'Reading the whole repository first.'
sleep 5
echo '{"phase":"design"}' >>"$RUNWARDEN_PROGRESS"
turn=1
while :; do
  echo "{\"turn\":$turn,\"progress\":$((turn < 50 ? turn * 2 : 99))}" >>"$RUNWARDEN_PROGRESS"
  echo "Turn $turn: one more page of the design."
  turn=$((turn + 1))
  sleep 1
done
