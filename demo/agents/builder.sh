#!/bin/sh
# Hangs in its initialization and ignores SIGTERM, as the request's BUILDER did; a better prompt helps.
case $RUNWARDEN_PROMPT in
  *'skip the installation'*)
    echo '{"phase":"build"}' >>"$RUNWARDEN_PROGRESS"
    for turn in 1 2 3; do
      sleep 0.3
      echo "Turn $turn: building without the installation."
      echo "{\"turn\":$turn,\"progress\":$((turn * 33))}" >>"$RUNWARDEN_PROGRESS"
    done
    exit 0
    ;;
esac
trap '' TERM
echo 'Now let me run the installation script to set everything up:'
echo '{"usage":{"inputTokens":1200,"cacheReadTokens":17500}}' >>"$RUNWARDEN_PROGRESS"
while :; do sleep 1; done
