#!/bin/bash
# SPDX-License-Identifier: MIT
# The NVMe/TCP host against Linux's own target, which a guest runs: data goes there and back, with digests and without,
# a namespace that grows is seen, and a target that goes away in the middle and comes back loses nothing.
. "$(dirname "$0")/lib/harness.bash"
harness_begin "$1" copy
harness_image
"$build/examples/copy" --help | grep -q 'nvme-tcp' || skip "built without NVMe"

nqn=nqn.2014-08.org.example:guest
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
mib=24

stack() { # MORE
	echo "nvme-tcp:127.0.0.1:$port,nqn=$nqn,keep-alive=20,timeout=120$1"
}

copy() { # FROM TO
	timeout 300 "$build/examples/copy" --quiet --depth 16 --chunk "${chunk:-128}" "$1" "$2" >>"$work/copy.log" 2>&1
}

# There and back again, in pieces of several sizes: inside capsules, and by R2T.
host_round() { # MORE
	local chunk
	for chunk in 4 128 2048; do
		head -c ${mib}M /dev/urandom >"$work/a.raw"
		copy "file:$work/a.raw" "$(stack "${1-}")" || return 1
		head -c ${mib}M /dev/zero >"$work/b.raw"
		copy "$(stack "${1-},queues=1,depth=7")" "file:$work/b.raw" || return 1
		cmp "$work/a.raw" "$work/b.raw" || return 1
	done
	note "round with '${1-}': ok"
}

# A copy that goes on while the guest's target comes and goes.
host_begin() {
	head -c ${mib}M /dev/urandom >"$work/a.raw"
	chunk=4 copy "file:$work/a.raw" "$(stack "")" &
	child[copy]=$!
}

host_still_copying() {
	kill -0 "${child[copy]}" 2>/dev/null
}

host_end() {
	wait "${child[copy]}" || return 1
	unset "child[copy]"
}

host_same() { # SHA256
	[ "$1" = "$(sha256sum <"$work/a.raw" | cut -d' ' -f1)" ]
}

host_refused() { # MORE
	! copy "file:$work/a.raw" "$(stack "$1")"
}

# A namespace that is smaller than the source is refused by copy; one that has grown is not.
host_fits() {
	head -c $((mib + 8))M /dev/urandom >"$work/c.raw"
	copy "file:$work/c.raw" "$(stack "")"
}

guest_mb=1024
guest_run "-netdev user,id=n0,hostfwd=tcp:127.0.0.1:$port-:4420" "-device virtio-net-pci,netdev=n0" \
	< <(echo "mib=$mib nqn=$nqn"; cat <<'SCRIPT'
modprobe virtio_net
modprobe nvmet-tcp
ip link set lo up
ip link set eth0 up
ip addr add 10.0.2.15/24 dev eth0
mount -t configfs none /sys/kernel/config
t=/sys/kernel/config/nvmet
head -c $((mib << 20)) /dev/zero >/tmp/disk
mkdir $t/subsystems/$nqn $t/subsystems/$nqn/namespaces/1 $t/ports/1
echo 1 >$t/subsystems/$nqn/attr_allow_any_host
echo 1 >$t/subsystems/$nqn/namespaces/1/buffered_io
echo /tmp/disk >$t/subsystems/$nqn/namespaces/1/device_path
echo 1 >$t/subsystems/$nqn/namespaces/1/enable
echo tcp >$t/ports/1/addr_trtype
echo ipv4 >$t/ports/1/addr_adrfam
echo 0.0.0.0 >$t/ports/1/addr_traddr
echo 4420 >$t/ports/1/addr_trsvcid
on() {
	ln -s $t/subsystems/$nqn $t/ports/1/subsystems/$nqn
}
off() {
	rm $t/ports/1/subsystems/$nqn
}
on

for more in "" ,digests=header ,digests=data ,digests=both; do
	host round "$more" || fail "round with '$more'"
done
host refused ,nsid=2 || fail "a namespace that is not there was found"
host refused ,nqn=nqn.2014-08.org.example:other || fail "a subsystem that is not there was found"

dd if=/dev/zero of=/tmp/disk bs=1024k count=$mib conv=notrunc 2>/dev/null
begun() {
	[ "$(head -c 4096 /tmp/disk | tr -d '\0' | wc -c)" -gt 0 ]
}
host begin
wait_for 30 "the copy's first block" begun
times=0
while host still_copying; do
	off
	usleep 300000
	on
	usleep 600000
	times=$((times + 1))
done
host end || fail "a copy during which the target went away"
[ $times -gt 1 ] || fail "the copy was over after $times times"
sha=$(sha256sum </tmp/disk)
host same "${sha%% *}" || fail "the target has other data"
host note "the target went away $times times"

! host fits || fail "32 MiB fit into $mib"
echo 0 >$t/subsystems/$nqn/namespaces/1/enable
head -c $((mib + 8 << 20)) /dev/zero >/tmp/disk
echo 1 >$t/subsystems/$nqn/namespaces/1/enable
host fits || fail "the namespace has not grown"
! dmesg | grep -E 'BUG:|Oops|blocked for more than' || fail "the guest's kernel reported errors"
SCRIPT
) || fail "the guest's script failed"
