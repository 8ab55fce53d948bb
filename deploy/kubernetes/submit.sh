#!/usr/bin/env bash
# Run one command of featurestore as a Spark driver in its own pod, wait for it, and exit with its success or failure.
#
#   submit.sh materialize --all --start 2026-11-01T00:00:00Z --end 2026-11-02T00:00:00Z --tenant acme \
#       --conf /opt/featurestore/conf
#
# MASTER: k8s://https://<address of the API server>. IMAGE: the image of docker/Dockerfile, in a registry. NAMESPACE:
# the namespace of the pods. SERVICE_ACCOUNT: the account that may create pods there (kubernetes/service_account.yaml).
# EXECUTORS: the number of executors. Secrets are not passed here: the drivers' environment takes them from the secret
# `featurestore` of the namespace.
#
# Tested: the parsing of its command line. Not tested: a cluster. The exit code of spark-submit is 1 for any error in
# the driver; the driver's log has the code of docs/cli.md.
set -euo pipefail

: "${MASTER:?k8s://https://...}" "${IMAGE:?registry/featurestore:version}"
namespace=${NAMESPACE:-features}
command=${1:?usage: submit.sh COMMAND [WORDS...]}
shift
case $command in
    profile) job=profile_features ;;
    *) job=${command//-/_} ;;
esac

exec spark-submit \
    --master "$MASTER" \
    --deploy-mode cluster \
    --name "featurestore-$command" \
    --properties-file "$(dirname "$0")/spark-kubernetes.conf" \
    --conf "spark.kubernetes.namespace=$namespace" \
    --conf "spark.kubernetes.authenticate.driver.serviceAccountName=${SERVICE_ACCOUNT:-featurestore}" \
    --conf "spark.kubernetes.container.image=$IMAGE" \
    --conf "spark.executor.instances=${EXECUTORS:-4}" \
    --conf "spark.kubernetes.driver.secretKeyRef.FEATURESTORE_POSTGRES_DSN=featurestore:postgres_dsn" \
    "local:///opt/featurestore/jobs/$job.py" "$@"
