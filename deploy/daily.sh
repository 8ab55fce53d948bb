#!/usr/bin/env bash
# A tenant's day: materialize, profile, sync embeddings, apply retention. Safe to repeat: finished parts are skipped.
#
#   daily.sh TENANT [YYYY-MM-DD]        the day of data, in UTC; yesterday by default
#
# RUN_JOB is the command that runs each job's arguments: featurestore by default (on this machine), or
# kubernetes/submit.sh.
# Exit code: 0, or that of the first command that failed (docs/cli.md). After 20 (a group broke its expectations) and 21
# (some parts failed) the other commands still run, since the other groups are valid; any other code ends the script.
set -euo pipefail

tenant=${1:?usage: daily.sh TENANT [YYYY-MM-DD]}
day=${2:-$(date -u -d yesterday +%F)}
start=${day}T00:00:00Z
end=$(date -u -d "$day + 1 day" +%F)T00:00:00Z
conf=${CONF:-conf}
first=0

run() {
    local code=0
    "${RUN_JOB:-featurestore}" "$@" --conf "$conf" --profile prod --tenant "$tenant" --log json || code=$?
    case $code in
        0) ;;
        20 | 21) [ "$first" -ne 0 ] || first=$code ;;
        *) exit "$code" ;;
    esac
}

run materialize --all --start "$start" --end "$end" --lookback 2d
# Without dates, because a value of the day begins at its end, and corrections belong to earlier days. The command finds
# the changed dates itself.
run profile
run sync-embeddings --all
run cleanup
exit "$first"
