#!/bin/bash
# SPDX-License-Identifier: MIT
# The switch is killed five times while guests on split rings talk TCP, and started again; one guest connects to it, it
# connects to the other. The streams go on and are whole, and then no ping is lost in more than a ring's length.
. "$(dirname "$0")/lib/net.bash"
. "$guest_lib/talk.bash"
. "$guest_lib/killed_under_traffic.bash"
net_harness "$1"
talk_bytes=1000000
talk_begin
switch_start --port "vhost-user:$work/a,name=a" --port "vhost-user:$work/b,name=b,client=on"
guest_boot a "$(nic_args a)"
nic_socket=server=on
guest_boot b "$(nic_args b)"
guests_ready a b
end_up a
end_up b
killed_under_traffic 5
talk a b
expect_no_complaints a b
guest_off a b
switch_stop
