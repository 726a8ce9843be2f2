#!/bin/sh
# An application with sessions, run by Apache: says the how manieth request of its session this is, by which web server,
# and which session. $SESSIONS is the directory of this server's sessions, $SERVER its name. As PHP does, a session of which
# this server knows nothing begins anew under the name that it has.

id=
rest="$HTTP_COOKIE; "
while [ -n "$rest" ]; do
    cookie=${rest%%; *}
    rest=${rest#*; }
    case $cookie in
        PHPSESSID=*) id=${cookie#PHPSESSID=} ;;
        evenkeel=*) SERVER="$SERVER(saw:evenkeel)" ;;
    esac
done

given=
case $id in
    "" | *[!0-9a-f-]*)
        read -r id </proc/sys/kernel/random/uuid
        given=yes
        ;;
esac

count=0
if [ -e "$SESSIONS/$id" ]; then
    read -r count <"$SESSIONS/$id"
fi
count=$((${count:-0} + 1))
echo "$count" >"$SESSIONS/$id"
# The work, so that requests are in flight when something goes.
sleep 0.05

body="$count $SERVER $id"
printf 'Content-Type: text/plain\r\nCache-Control: no-store\r\n'
if [ -n "$given" ]; then
    printf 'Set-Cookie: PHPSESSID=%s; Path=/; HttpOnly\r\n' "$id"
fi
printf '\r\n%s\n' "$body"
