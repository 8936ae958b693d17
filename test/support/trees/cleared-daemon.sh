# A double-forked daemon in a session of its own, with an empty environment. Its parents live for $1 seconds.
env -i setsid sh -c 'echo $$ >>"$0"; exec sleep 1000' "$RUNWARDEN_WORKSPACE/pids" &
sleep "$1"
exit 0
