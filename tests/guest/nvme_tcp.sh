#!/bin/bash
# SPDX-License-Identifier: MIT
# Linux as host of our NVMe/TCP target: finds it, connects with and without digests, reads, writes and verifies, sees
# namespaces come, grow and go, resets the controller and loses the target in the midst of I/O.
. "$(dirname "$0")/lib/harness.bash"
. "$guest_lib/nvme.bash"
nvme_harness "$1"

truncate -s 128M "$work/a.raw"
target_start --ns "file:$work/a.raw" --threads 2 --allow $nvme_host --stats
guest_run "${nvme_net[@]}" < <(nvme_script <<'SCRIPT'
# shellcheck disable=SC2086
nvme discover $where --hostnqn "$hostnqn" >/tmp/found || fail "nvme discover"
grep -q "subnqn: *$nqn" /tmp/found || { cat /tmp/found; fail "discovery names no subsystem"; }
! nvme connect $where -n "$nqn" --hostnqn nqn.2014-08.org.example:stranger 2>/tmp/err || fail "a stranger was let in"

host note "connect without digests"
nvme_connect --nr-io-queues=2
expect_eq sectors 262144 "$(sectors nvme0n1)"
expect_eq "I/O and admin queues" 3 "$(cat /sys/class/nvme/nvme0/queue_count)"
nvme list | grep -q /dev/nvme0n1 || fail "nvme list"
nvme id-ctrl /dev/nvme0 >/tmp/id
grep -q "^subnqn *: $nqn" /tmp/id || fail "id-ctrl: $(cat /tmp/id)"
grep -q "^ver *: 0x20000" /tmp/id || fail "id-ctrl: $(cat /tmp/id)"
nvme id-ns /dev/nvme0n1 >/tmp/id
grep -q "^nsze *: 0x40000" /tmp/id || fail "id-ns: $(cat /tmp/id)"
expect_eq "its UUID" "$(cat /sys/block/nvme0n1/uuid)" "$(nvme ns-descs /dev/nvme0n1 | sed -n 's/^uuid *: //p')"
for page in error-log smart-log fw-log effects-log supported-log-pages; do
	nvme $page /dev/nvme0 >/tmp/log || fail "nvme $page: $(cat /tmp/log)"
done
nvme get-feature /dev/nvme0 -f 6 >/tmp/feature || fail "nvme get-feature"
verify shallow 1 --size=4M
verify deep 32 --size=48M
reads=$(nvme smart-log /dev/nvme0 | sed -n 's/^host_read_commands[^:]*: *//p' | tr -d ',' | cut -d' ' -f1)
[ "$reads" -gt 100 ] || fail "SMART counts $reads reads"
nvme flush /dev/nvme0n1 || fail "nvme flush"
blkdiscard /dev/nvme0n1 || fail "discard"
nvme write-zeroes /dev/nvme0n1 -s 0 -c 2047 >/tmp/log || fail "nvme write-zeroes"
dd if=/dev/zero bs=4096 count=1 2>/dev/null | nvme compare /dev/nvme0n1 -s 0 -c 7 -z 4096 >/tmp/log || fail "compare with what is there"
! dd if=/dev/urandom bs=4096 count=1 2>/dev/null | nvme compare /dev/nvme0n1 -s 0 -c 7 -z 4096 >/tmp/log 2>&1 ||
	fail "compare with what is not there"
nvme verify /dev/nvme0n1 -s 0 -c 255 >/tmp/log || fail "nvme verify"

host note "namespaces come, grow and go"
host add b 32M
wait_for 20 "namespace 2" test -b /dev/nvme0n2
expect_eq "its sectors" 65536 "$(sectors nvme0n2)"
host grow b 48M 2
wait_for 20 "its new size" eval '[ "$(sectors nvme0n2)" = 98304 ]'
host remove 2
wait_for 20 "its end" eval '! test -e /dev/nvme0n2'
host add c 16M
wait_for 20 "another in its place" eval '[ "$(cat /sys/block/nvme0n2/size 2>/dev/null)" = 32768 ]'
host remove 2
wait_for 20 "its end" eval '! test -e /dev/nvme0n2'

host note "resets during I/O"
verify_begins resets --size=64M
i=0
while [ $i -lt 5 ]; do
	wait_for 60 "I/O before reset $i" busy_past $(($(completed) + 100))
	nvme reset /dev/nvme0 || fail "nvme reset"
	wait_for 30 "the controller" nvme_is_live
	i=$((i + 1))
done
verify_ends

host note "the target is killed during I/O"
verify_begins kills --size=64M
i=0
while [ $i -lt 3 ]; do
	wait_for 60 "I/O before kill $i" busy_past $(($(completed) + 100))
	host kill
	wait_for 60 "the controller" nvme_is_live
	i=$((i + 1))
done
verify_ends
nvme disconnect -n "$nqn" >/tmp/log || fail "nvme disconnect"
wait_for 20 "the end of the disk" eval '! test -e /dev/nvme0n1'

host note "connect with digests"
nvme_connect --nr-io-queues=2 -g -G
verify digests 16 --size=32M
nvme disconnect -n "$nqn" >/tmp/log || fail "nvme disconnect"
expect_eq "errors of the kernel" "" "$(dmesg | grep -E 'Buffer I/O|BUG:|Oops|digest error|blocked for more')"
SCRIPT
) || fail "the guest's script failed"
child_stop target
grep -q '^  connections: 0, ' "$work/target.log" || fail "connections are left: $(tail -5 "$work/target.log")"
