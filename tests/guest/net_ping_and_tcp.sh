#!/bin/bash
# SPDX-License-Identifier: MIT
# Two guests on split rings: pings, TCP whole both ways with offloads on and off, UDP fragments, jumbo frames.
. "$(dirname "$0")/lib/net.bash"
. "$guest_lib/talk.bash"
net_harness "$1"
talk_begin
switch_start --port "vhost-user:$work/a,name=a" --port "vhost-user:$work/b,name=b"
guest_boot a "$(nic_args a)"
guest_boot b "$(nic_args b)"
guests_ready a b
end_up a
end_up b
talk a b

# 64 KiB packets pass uncut from guest to guest; a sender that cuts them itself must do as well.
fetch_framed a b "${whole[@]}"
fetch_framed b a "${whole[@]}"
do_in b "ethtool -K eth0 gro off"
do_in a "ethtool -K eth0 tso off gso off tx off"
fetch_framed a b "${cut[@]}"

mtu a 9000
mtu b 9000
pings a b 8900
pings b a 8900
fetch_framed a b 3000 9014
expect_no_complaints a b
guest_off a b
switch_stop
