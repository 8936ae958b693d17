#!/bin/sh
# Runs one command for Runwarden and writes down how it ended, whether or not Runwarden is still there.
#
#   sh shim.sh ATTEMPT RUN_CGROUP SHIM_CGROUP COMMAND...     in the run's directory; '' where there is no cgroup
#
# The files root, shim and exit are made beforehand and filled in place (1<>), which works on a full disk.
# A line counts once its end mark is there.

# Not '': an ignored signal would stay ignored in the run.
trap : TERM INT HUP

# What this shell itself has to say ("Terminated") is not the run's output.
exec 3>&2 2>/dev/null

attempt=$1 run_cgroup=$2 shim_cgroup=$3
shift 3

# Whoever makes this directory launches; Runwarden puts something else in its place to stop a launch.
mkdir "claim-$attempt" || exit 75

# Prints pid and start time of the shell that calls it. Builtins only: any other program would describe itself.
identity() {
  read -r stat </proc/self/stat
  pid=${stat%% *}
  set -- ${stat##*) }
  echo "$pid ${20} ."
}

give_up() {
  echo "failed ." 1<>root
  exit 74
}

[ -z "$shim_cgroup" ] || echo 0 >"$shim_cgroup/cgroup.procs" || give_up
identity 1<>shim

# In the foreground: a command started with & ignores SIGINT and SIGQUIT.
(
  [ -z "$run_cgroup" ] || echo 0 >"$run_cgroup/cgroup.procs" || give_up
  # The kernel, short of memory, takes the run before it takes Runwarden.
  echo 500 >/proc/self/oom_score_adj
  identity 1<>root
  # A session and a group of its own: "kill -9 0" in the run must not take this shell, and the exit status, with it.
  exec setsid "$@" 2>&3 3>&-
)
echo "$? ." 1<>exit
