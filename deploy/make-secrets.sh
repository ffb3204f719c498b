#!/bin/sh
# Makes what the services may not run without, for a trial: a CA, certificates of both services and of
# a client that is no principal by its name, a key ring, tokens, principals and a database password. Usage: make-secrets.sh FOLDER [CONFIG_SERVICE]
# FOLDER must not exist yet; CONFIG_SERVICE is the command, `config-service` unless given.
# In production certificates come from a CA that renews them, and each file from a secret store.
set -eu

folder=$1
command=${2:-config-service}
days=90

# Work goes on in another folder, where a path like .venv/bin/config-service leads nowhere.
command=$(command -v "$command") || { echo "make-secrets.sh: there is no command ${2:-config-service}" >&2; exit 1; }
case $command in
/*) ;;
*) command=$PWD/$command ;;
esac

# Containers run as another user and must read these files, so the folder is what keeps others out.
umask 077
mkdir "$folder"
cd "$folder"

make_ca() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days "$days" \
        -subj "/CN=event-dedup trial CA" -addext "keyUsage=critical,keyCertSign,cRLSign" \
        -keyout ca.key -out ca.crt 2>openssl.log
}

# A service is reached by its name in compose and in a cluster, and on this machine.
make_certificate() {
    name=$1
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$name" \
        -keyout "$name.key" -out "$name.csr" 2>>openssl.log
    cat >"$name.ext" <<EOF
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth, clientAuth
subjectAltName = DNS:$name, DNS:$name.event-dedup, DNS:$name.event-dedup.svc, DNS:$name.event-dedup.svc.cluster.local, DNS:localhost, IP:127.0.0.1
EOF
    openssl x509 -req -in "$name.csr" -CA ca.crt -CAkey ca.key -CAcreateserial -days "$days" \
        -extfile "$name.ext" -out "$name.crt" 2>>openssl.log
    rm "$name.csr" "$name.ext"
}

# The token goes into a file, its SHA-256 and roles into the principals of one service.
make_token() {
    "$command" tokens new "$2" --role "$3" --days "$days" >"$2.token" 2>"$2.entry"
    [ -s "$1" ] || echo "principals:" >"$1"
    grep -v '^#' "$2.entry" >>"$1"
    rm "$2.entry"
}

make_ca
make_certificate config-service
make_certificate matcher-service
make_certificate client
"$command" keys generate >keyring.txt
make_token config-authz.yaml matcher matcher
make_token config-authz.yaml operator admin
make_token matcher-authz.yaml caller caller
openssl rand -hex 24 | tr -d '\n' >database-password
printf 'postgresql://event_dedup:%s@database/event_dedup\n' "$(cat database-password)" >database-url
chmod 0644 -- *.crt *.yaml *.txt *.key *.token database-*
chmod 0600 ca.key
rm openssl.log ./*.srl
