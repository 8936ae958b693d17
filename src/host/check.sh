# Looks, as the run's account, whether a launch can work: sh -c "$(cat check.sh)" sh WORKSPACE IO PATH EXECUTABLE
# Exit: 0 it can; 10 the workspace cannot be entered and read; 11 no such executable; 12 it is a directory;
# 13 it is not executable; 14 the directory for progress and temporary files cannot be reached; 15 there is no such
# workspace; 16 it is no directory; 17 the way to it leads through a file.
if ! cd "$1" 2>/dev/null; then
  [ -d "$1" ] && exit 10
  [ -e "$1" ] && exit 16
  above=${1%/*}
  until [ -z "$above" ] || [ -e "$above" ]; do above=${above%/*}; done
  [ -d "${above:-/}" ] || exit 17
  [ -x "${above:-/}" ] || exit 10
  exit 15
fi
[ -r . ] || exit 10
[ -w "$2" ] && [ -x "$2" ] || exit 14

verdict=11
judge() {
  if [ -d "$1" ]; then verdict=12
  elif [ -f "$1" ] && [ -x "$1" ]; then exit 0
  elif [ -e "$1" ]; then verdict=13
  fi
}

case $4 in
*/*) judge "$4" ;;
*)
  IFS=:
  set -f
  for directory in $3; do judge "${directory:-.}/$4"; done
  ;;
esac
exit $verdict
