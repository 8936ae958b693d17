#!/bin/sh
# Hangs in its initialization, with a child in a session of its own and a double-forked daemon.
echo 'Now let me run the setup script to install everything:'
setsid sh -c 'while :; do sleep 1; done' &
(setsid sh -c 'while :; do sleep 1; done' &)
while :; do sleep 1; done
