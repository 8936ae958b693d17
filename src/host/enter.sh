# The last step of a launch, already as the run's account: sh -c "$(cat enter.sh)" sh WORKSPACE COMMAND...
# The run's environment arrives as RUNWARDEN_ENV_<NAME>: under their own names variables such as LD_PRELOAD
# would act on the shim and on setpriv, which still are Runwarden's account.
cd "$1" || exit 126
shift
umask 022
unset OLDPWD PWD
for name in $RUNWARDEN_ENV; do
  eval "export $name=\"\$RUNWARDEN_ENV_$name\""
  unset "RUNWARDEN_ENV_$name"
done
unset RUNWARDEN_ENV name
exec "$@"
