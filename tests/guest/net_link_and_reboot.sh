#!/bin/bash
# SPDX-License-Identifier: MIT
# A port that is down passes nothing until it is up again; a guest reboots, and is reached again. (QEMU keeps a network
# card's configuration to itself: a vhost-user server cannot tell its guest of the carrier.)
. "$(dirname "$0")/lib/net.bash"
. "$guest_lib/talk.bash"
net_harness "$1"
talk_begin
guest_reboots=()
switch_start --port "vhost-user:$work/a,name=a" --port "vhost-user:$work/b,name=b"
guest_boot a "$(nic_args a)"
guest_boot b "$(nic_args b packed=on)"
guests_ready a b
end_up a
end_up b
pings a b 56

ctl link a down
! in_guest b "ping -q -c 1 -W 1 10.0.0.1 >/dev/null" || fail "a port answers whose link is down"
ctl link a up
pings b a 56
fetch a b
note "link down and up: ok"

echo "reboot -f" | base64 -w0 >&"${guest_in[b]}"
echo >&"${guest_in[b]}"
guests_ready b
end_up b
pings a b 56
fetch b a
note "reboot: ok"
expect_no_complaints a b
guest_off a b
switch_stop
