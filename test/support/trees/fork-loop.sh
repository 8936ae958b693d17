# A steady parent that forks without end.
echo $$ >>"$RUNWARDEN_WORKSPACE/pids"
while :; do
  /bin/true
  /bin/true &
done
