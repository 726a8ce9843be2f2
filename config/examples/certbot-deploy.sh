#!/bin/sh
# A deploy hook of certbot: lets the user of Evenkeel read certificates and keys, and nobody else.
#
#     install -m 755 certbot-deploy.sh /etc/letsencrypt/renewal-hooks/deploy/evenkeel
#     /etc/letsencrypt/renewal-hooks/deploy/evenkeel     # once, for those that are there
#
# Nothing has to be reloaded: Evenkeel looks at the files four times a second and takes up a pair that fits. ACLs come with
# Debian's package `acl`.
set -eu

user=evenkeel
base=/etc/letsencrypt

# Into the directories, and what certbot makes in them later.
setfacl -m "u:$user:x" "$base"
for directory in "$base/live" "$base/archive"; do
    setfacl -R -m "u:$user:rX" "$directory"
    find "$directory" -type d -exec setfacl -d -m "u:$user:rX" {} +
done
