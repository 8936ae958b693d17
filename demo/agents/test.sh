#!/bin/sh
# Normal: turns from the beginning, and an end.
echo '{"phase":"testing"}' >>"$RUNWARDEN_PROGRESS"
for turn in 1 2 3 4 5 6; do
  echo "Turn $turn: all tests pass."
  echo "{\"turn\":$turn,\"progress\":$((turn * 16))}" >>"$RUNWARDEN_PROGRESS"
  sleep 1
done
