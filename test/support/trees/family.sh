# A root and everything that is hard to kill: a plain child, a child in another session, a double-forked daemon, a
# process that ignores SIGTERM, a stopped one. Each appends its pid to $RUNWARDEN_WORKSPACE/pids.
pids=$RUNWARDEN_WORKSPACE/pids
sh -c 'echo $$ >>"$0"; exec sleep 1000' "$pids" &
setsid sh -c 'echo $$ >>"$0"; exec sleep 1000' "$pids" &
(setsid sh -c 'echo $$ >>"$0"; exec sleep 1000' "$pids" &)
sh -c 'trap "" TERM; echo $$ >>"$0"; while :; do sleep 0.2; done' "$pids" &
sh -c 'echo $$ >>"$0"; kill -STOP $$; sleep 1000' "$pids" &
echo $$ >>"$pids"
echo "a family"
wait
