#!/bin/sh
# Prints the Secrets that the overlays dev and production mount, from the folder that make-secrets.sh
# made:  deploy/k8s/secrets.sh deploy/secrets | kubectl apply -f -
set -eu

folder=$1

secret() {
    name=$1
    shift
    kubectl create secret generic "$name" --namespace=event-dedup --dry-run=client --output=yaml "$@"
    echo "---"
}

for service in config-service matcher-service; do
    secret "$service-tls" --from-file=ca.crt="$folder/ca.crt" \
        --from-file=tls.crt="$folder/$service.crt" --from-file=tls.key="$folder/$service.key"
done
secret config-service-keyring --from-file=keyring.txt="$folder/keyring.txt"
secret config-service-authz --from-file=authz.yaml="$folder/config-authz.yaml"
secret config-service-database --from-file=url="$folder/database-url"
secret matcher-service-authz --from-file=authz.yaml="$folder/matcher-authz.yaml"
secret matcher-service-token --from-file=token="$folder/matcher.token"
