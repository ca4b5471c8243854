# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# A guest in which our driver drives QEMU's NVMe controllers by VFIO, behind an IOMMU: data is what it should be with
# interrupts and without, a second opener is told, and a controller that is unplugged in the midst of I/O costs errors
# and no more. Sourced by tests/guest/nvme_vfio*.sh.

# What the guest asks for: the controller's end is announced, and comes when its driver lets go of it.
host_unplug() { # ID
	printf '%s\n' '{"execute":"qmp_capabilities"}' '{"execute":"device_del","arguments":{"id":"'"$1"'"}}' |
		socat -t 5 - "UNIX-CONNECT:$work/qmp" >>"$work/qmp.log" || return 1
	! grep -q '"error"' "$work/qmp.log"
}

nvme_vfio_drive() { # NAME PORT
	truncate -s 64M "$work/$1.raw"
	echo "-device pcie-root-port,id=port$2,chassis=$2,slot=$2 -drive if=none,id=$1,file=$work/$1.raw,format=raw,cache=unsafe"
	echo "-device nvme,id=nvme$2,drive=$1,serial=vio$2,bus=port$2"
}

nvme_vfio_life() {
	local build_hammer=$build/tests/guest/hammer
	command -v socat >/dev/null || skip "no socat: run tools/setup guest"
	[ -x "$build_hammer" ] || skip "$build_hammer is not built"
	"$build/examples/copy" --help | grep -q nvme-vfio || skip "built without NVMe"
	guest_program "$(realpath "$build_hammer")"
	guest_append="intel_iommu=on"
	guest_run "-device intel-iommu,intremap=on,caching-mode=on" "-qmp unix:$work/qmp,server=on,wait=off" \
		"$(nvme_vfio_drive a 1)" "$(nvme_vfio_drive b 2)" < <(
			echo "hammer=$(realpath "$build_hammer")"
			cat <<'SCRIPT'
modprobe vfio-pci
modprobe vfio_iommu_type1
controllers=$(grep -l 0x010802 /sys/bus/pci/devices/*/class | sed 's,.*devices/\([^/]*\)/.*,\1,')
expect_eq controllers 2 "$(echo "$controllers" | wc -l)"
a=$(echo "$controllers" | sed -n 1p) b=$(echo "$controllers" | sed -n 2p)

! $hammer "nvme-vfio:$a" 1 1 1 event 2>/tmp/log || fail "a controller without vfio-pci was opened"
grep -q 'expected vfio-pci' /tmp/log || fail "a controller without vfio-pci: $(cat /tmp/log)"
for controller in $a $b; do
	echo vfio-pci >/sys/bus/pci/devices/$controller/driver_override
	[ ! -e /sys/bus/pci/devices/$controller/driver ] ||
		echo $controller >/sys/bus/pci/devices/$controller/driver/unbind
	echo $controller >/sys/bus/pci/drivers_probe
done
host note "$(uname -r): controllers $a and $b"

# LANES DEPTH REQUESTS event|busy [MORE]
round() {
	$hammer "nvme-vfio:$a${5-}" $1 $2 $3 $4 >/tmp/log 2>&1 || fail "$*: $(cat /tmp/log)"
	host note "$(tail -1 /tmp/log)"
}
round 1 1 300 event
round 1 32 1500 busy
round 2 16 1500 event
round 4 64 1500 busy
round 2 64 1500 event ,shadow=off,depth=16
# As many regions as the queues need: guest memory is copied.
limit=/sys/module/vfio_iommu_type1/parameters/dma_entry_limit
before=$(cat $limit)
echo 2 >$limit
round 1 16 300 event
grep -q 'bounced=300' /tmp/log || fail "with 2 regions: $(cat /tmp/log)"
! $hammer "nvme-vfio:$a" 2 1 1 event >/tmp/log 2>&1 || fail "two queues with 2 regions"
grep -q dma_entry_limit /tmp/log || fail "two queues with 2 regions: $(cat /tmp/log)"
echo $before >$limit

$hammer "nvme-vfio:$b" 1 4 100000000 event gone >/tmp/gone 2>&1 &
hammer_pid=$!
wait_for 20 "the hammer" grep -q open /tmp/gone
! $hammer "nvme-vfio:$b" 1 1 1 event 2>/tmp/log || fail "a controller was opened twice"
grep -q 'somebody has its group' /tmp/log || fail "the second opener was told: $(cat /tmp/log)"
host unplug nvme2 || fail "device_del"
wait_for 60 "the end of $b" eval '! test -e /sys/bus/pci/devices/$b'
wait $hammer_pid || fail "unplugged: status $?: $(cat /tmp/gone)"
host note "unplugged: $(tail -1 /tmp/gone)"
grep -q errors= /tmp/gone || fail "no request failed: $(cat /tmp/gone)"
! $hammer "nvme-vfio:$b" 1 1 1 event 2>/tmp/log || fail "what was unplugged was opened"

round 2 8 300 event # the other is none the worse
# And the kernel's own driver finds it in order.
modprobe nvme
echo >/sys/bus/pci/devices/$a/driver_override
echo $a >/sys/bus/pci/drivers/vfio-pci/unbind
echo $a >/sys/bus/pci/drivers_probe
wait_for 20 "the kernel's driver" test -b /dev/nvme0n1
head -c 1048576 /dev/nvme0n1 >/dev/null || fail "the kernel can't read"
! dmesg | grep -E 'BUG:|Oops|DMAR:.*fault|blocked for more than' || fail "the guest's kernel reported errors"
SCRIPT
		) || fail "the guest's script failed"
}
