# A chain: each link starts the next one in a session of its own and ends. It stops by itself when it is told to.
[ -e "$RUNWARDEN_WORKSPACE/stop" ] && exit
setsid sh "$0" &
