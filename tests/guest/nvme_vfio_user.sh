#!/bin/bash
# SPDX-License-Identifier: MIT
# Linux finds our NVMe controller on its PCI bus: reads, writes and verifies, has a file system on it, sees namespaces come,
# grow and go, resets it by its registers and by FLR in the midst of I/O, reaches one subsystem by two controllers and by
# a third that it sets on line, and rings doorbells in a page that is mapped.
. "$(dirname "$0")/lib/harness.bash"
. "$guest_lib/nvme.bash"
nvme_harness "$1"
qemu=$("$guest_lib/qemu" 11) || skip "no QEMU that has vfio-user-pci"
read -r -a guest_qemu <<<"$qemu"

# guests_start ARG...: returns when it listens at both sockets.
guests_start() {
	touch "$work/target.log"
	"$build/examples/nvme-target" --vfio-user "$work/n0,secondaries=2" --vfio-user "$work/n1" \
		--vfio-user "$work/n2,secondary=2" --nqn $nvme_nqn \
		--control "$work/control" "$@" >>"$work/target.log" 2>&1 &
	child[target]=$!
	await_listener target "$work/n0"
	await_listener target "$work/n1"
	await_listener target "$work/n2"
}

drive() { # SOCKET
	echo "-device {\"driver\":\"vfio-user-pci\",\"socket\":{\"type\":\"unix\",\"path\":\"$work/$1\"}}"
}

truncate -s 128M "$work/a.raw"
guests_start --ns "file:$work/a.raw" --threads 2 --stats
guest_run "$(drive n0)" < <(nvme_script <<'SCRIPT'
modprobe nvme
wait_for 20 "namespace 1" test -b /dev/nvme0n1
expect_eq sectors 262144 "$(sectors nvme0n1)"
expect_eq "I/O and admin queues" 3 "$(cat /sys/class/nvme/nvme0/queue_count)"
expect_eq transport pcie "$(cat /sys/class/nvme/nvme0/transport)"
nvme list | grep -q /dev/nvme0n1 || fail "nvme list"
nvme id-ctrl /dev/nvme0 >/tmp/id
grep -q "^vid *: 0x1234" /tmp/id || fail "id-ctrl: $(cat /tmp/id)"
grep -q "^ver *: 0x20000" /tmp/id || fail "id-ctrl: $(cat /tmp/id)"
nvme id-ns /dev/nvme0n1 >/tmp/id
grep -q "^nsze *: 0x40000" /tmp/id || fail "id-ns: $(cat /tmp/id)"
for page in error-log smart-log fw-log effects-log; do
	nvme $page /dev/nvme0 >/tmp/log || fail "nvme $page: $(cat /tmp/log)"
done
for feature in 1 2 4 5 6 7 8 9 10 11; do
	nvme get-feature /dev/nvme0 -f $feature >/tmp/feature || fail "nvme get-feature $feature"
done
interrupts=$(awk '/nvme0q[1-9]/ { n++ } END { print n }' /proc/interrupts)
expect_eq "vectors for I/O" 2 "$interrupts"
verify shallow 1 --size=4M
verify deep 64 --size=48M
nvme flush /dev/nvme0n1 || fail "nvme flush"
blkdiscard /dev/nvme0n1 || fail "discard"
nvme write-zeroes /dev/nvme0n1 -s 0 -c 2047 >/tmp/log || fail "nvme write-zeroes"
dd if=/dev/zero bs=4096 count=1 2>/dev/null | nvme compare /dev/nvme0n1 -s 0 -c 7 -z 4096 >/tmp/log || fail "compare"

host note "a file system"
partition /dev/nvme0n1 p
modprobe ext4
mkfs.ext4 -q /dev/nvme0n1p1
mkdir -p /mnt
mount /dev/nvme0n1p1 /mnt
make_tree /mnt
sync
umount /mnt
echo 3 >/proc/sys/vm/drop_caches
mount /dev/nvme0n1p1 /mnt
check_tree /mnt
umount /mnt

host note "namespaces come, grow and go"
host add b 32M
wait_for 20 "namespace 2" test -b /dev/nvme0n2
expect_eq "its sectors" 65536 "$(sectors nvme0n2)"
host grow b 48M 2
wait_for 20 "its new size" eval '[ "$(sectors nvme0n2)" = 98304 ]'
host remove 2
wait_for 20 "its end" eval '! test -e /dev/nvme0n2'

host note "resets during I/O"
verify_begins resets --size=64M
i=0
while [ $i -lt 5 ]; do
	wait_for 60 "I/O before reset $i" busy_past $(($(completed) + 100))
	echo 1 >/sys/class/nvme/nvme0/reset_controller || fail "reset_controller"
	wait_for 30 "the controller" nvme_is_live
	i=$((i + 1))
done
while [ $i -lt 8 ]; do
	wait_for 60 "I/O before FLR $i" busy_past $(($(completed) + 100))
	echo 1 >/sys/class/nvme/nvme0/device/reset || fail "FLR"
	wait_for 30 "the controller" nvme_is_live
	i=$((i + 1))
done
verify_ends
expect_eq "errors of the kernel" "" "$(dmesg | grep -E 'I/O error|Buffer I/O|BUG:|Oops|blocked for more')"

host note "the driver leaves and returns"
pci=$(basename "$(readlink -f /sys/class/nvme/nvme0/device)")
echo "$pci" >/sys/bus/pci/drivers/nvme/unbind
echo "$pci" >/sys/bus/pci/drivers/nvme/bind
wait_for 30 "the controller" eval 'nvme_is_live 2>/dev/null && test -b /dev/nvme0n1'
verify returned 16 --size=8M
SCRIPT
) || fail "the guest's script failed"

note "two controllers, one subsystem"
guest_run "$(drive n0)" "$(drive n1)" "$(drive n2)" < <(nvme_script <<'SCRIPT'
modprobe nvme
wait_for 20 "namespace 1" eval 'test -b /dev/nvme0n1 || test -b /dev/nvme1n1'
[ -b /dev/nvme0n1 ] || ln -s nvme1n1 /dev/nvme0n1 # it has its name of the one that was first
wait_for 20 "both controllers" eval '[ "$(cat /sys/class/nvme/nvme*/state)" = "$(printf "live\nlive")" ]'
expect_eq "subsystems" 1 "$(ls /sys/class/nvme-subsystem | wc -l)"
for c in 0 1; do # 64 bits of who it is
	printf "\\$((c + 1))\\0\\0\\0\\0\\0\\0\\0" >/tmp/hostid
	nvme set-feature /dev/nvme$c -f 0x81 -l 8 -d /tmp/hostid >/tmp/log 2>&1 || fail "the host's id: $(cat /tmp/log)"
	resv $c register --nrkey=$((c + 1)) --rrega=0 || fail "resv-register: $(cat /tmp/resv)"
done
resv 1 acquire --crkey=2 --rtype=2 --racqa=0 || fail "resv-acquire: $(cat /tmp/resv)"
writes 1 || fail "its holder can't write: $(cat /tmp/log)"
! writes 0 || fail "the other writes"
expect_eq "its type" 2 "$(resv_type 0)"
resv 0 acquire --crkey=1 --prkey=2 --rtype=3 --racqa=1 || fail "preempt: $(cat /tmp/resv)"
writes 0 || fail "the one that preempts can't write: $(cat /tmp/log)"
! writes 1 || fail "its old holder writes"
resv 0 release --crkey=1 --rrela=1 || fail "clear: $(cat /tmp/resv)"
writes 1 || fail "it is not cleared: $(cat /tmp/log)"
nvme copy /dev/nvme0n1 --sdlba=64 --slbs=0 --blocks=7 >/tmp/log || fail "nvme copy: $(cat /tmp/log)"
nvme write-uncor /dev/nvme0n1 -s 64 -c 0 >/tmp/log || fail "nvme write-uncor"
! nvme verify /dev/nvme0n1 -s 64 -c 0 >/tmp/log 2>&1 || fail "a marked block was read"
nvme write-zeroes /dev/nvme0n1 -s 64 -c 0 >/tmp/log || fail "nvme write-zeroes"
nvme verify /dev/nvme0n1 -s 64 -c 0 >/tmp/log || fail "it can't be read after it was written"

echo round-robin | tee /sys/class/nvme-subsystem/nvme-subsys*/iopolicy
verify_begins both --size=32M
i=0
while [ $i -lt 3 ]; do
	wait_for 60 "I/O before reset $i" busy_past $(($(completed) + 100))
	echo 1 >/sys/class/nvme/nvme1/reset_controller || fail "reset_controller"
	wait_for 30 "the other controller" eval '[ "$(cat /sys/class/nvme/nvme1/state)" = live ]'
	i=$((i + 1))
done
verify_ends
for c in 0 1; do
	[ "$(awk '{ print $1 + $5 }' /sys/class/nvme/nvme$c/nvme*n1/stat)" -gt 100 ] || fail "no I/O by controller $c"
done

host note "a secondary controller"
primary=
for c in 0 1; do
	nvme primary-ctrl-caps /dev/nvme$c >/tmp/caps 2>&1 && primary=/dev/nvme$c
done
[ -n "$primary" ] || fail "no primary controller: $(cat /tmp/caps)"
nvme list-secondary "$primary" >/tmp/list || fail "nvme list-secondary: $(cat /tmp/list)"
scid=$(sed -n 's/.*SCID.*: *\(0x[0-9a-f]*\)$/\1/p' /tmp/list)
[ -n "$scid" ] || fail "nvme list-secondary: $(cat /tmp/list)"
pci=
for d in /sys/bus/pci/devices/*; do
	if [ "$(cat "$d/class")" = 0x010802 ] && ! [ -e "$d/driver" ]; then pci=$(basename "$d"); fi
done
[ -n "$pci" ] || fail "a driver has taken a controller that is off line"
for resource in 0 1; do
	nvme virt-mgmt "$primary" -c "$scid" -r $resource -a 8 -n 3 >/tmp/log 2>&1 || fail "nvme virt-mgmt: $(cat /tmp/log)"
done
nvme virt-mgmt "$primary" -c "$scid" -a 9 >/tmp/log 2>&1 || fail "nvme virt-mgmt: $(cat /tmp/log)"
echo "$pci" >/sys/bus/pci/drivers/nvme/bind
third() {
	for t in /sys/class/nvme/nvme*; do
		if [ "$(basename "$(readlink -f "$t/device")")" = "$pci" ]; then basename "$t"; fi
	done
}
wait_for 20 "the secondary" eval '[ "$(cat /sys/class/nvme/$(third)/state)" = live ]'
expect_eq "its id" "$((scid))" "$(cat "/sys/class/nvme/$(third)/cntlid")"
expect_eq "its queues" 3 "$(cat "/sys/class/nvme/$(third)/queue_count")"
verify three 16 --size=16M
[ "$(awk '{ print $1 + $5 }' /sys/class/nvme/"$(third)"/nvme*n1/stat)" -gt 100 ] || fail "no I/O by the secondary"
echo "$pci" >/sys/bus/pci/drivers/nvme/unbind
nvme virt-mgmt "$primary" -c "$scid" -a 7 >/tmp/log 2>&1 || fail "nvme virt-mgmt: $(cat /tmp/log)"
nvme list-secondary "$primary" | grep -q "Offline" || fail "nvme list-secondary: $(nvme list-secondary "$primary")"
SCRIPT
) || fail "the guest with two controllers failed"
child_stop target
grep -q ': 0 controllers, 0 queues$' "$work/target.log" || fail "controllers are left: $(tail -5 "$work/target.log")"

note "a poller that never sleeps: doorbells are mapped"
pool_make
(umask 077; head -c 64 /dev/urandom >"$work/a.key")
guests_start --ns "file:$work/a.raw | crypt:keyfile=$work/a.key,erase=on" --poll busy --log debug "${nvme_pool[@]}"
guest_run "$(drive n0)" < <(nvme_script <<'SCRIPT'
modprobe nvme
wait_for 20 "namespace 1" test -b /dev/nvme0n1
verify mapped 16 --size=8M

host note "namespaces of the guest's own"
nvme_manage
nvme_manage_ends -a start-crypto-erase
SCRIPT
) || fail "the guest with mapped doorbells failed"
# QEMU tells of the page as of any memory, without a descriptor.
grep -q "memory 0x.*1000+0x1000 can't be reached" "$work/target.log" || fail "the doorbells were not mapped"
child_stop target
