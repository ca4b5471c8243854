#!/bin/bash
# SPDX-License-Identifier: MIT
# The NVMe/TCP host authenticates at Linux's own target, of Debian's backports (6.12), which a guest runs: with several
# hashes and groups, of one end and of both, and comes back when the target was away.
. "$(dirname "$0")/lib/harness.bash"
harness_begin "$1" copy
harness_image
image=$("$guest_lib/image" backports) || skip "no kernel of the backports"
words=$("$guest_lib/qemu") || skip "no QEMU that runs it"
read -r -a guest_qemu <<<"$words"
"$build/examples/copy" --help | grep -q 'dhchap' || skip "built without NVMe"
grep -q '^VIO_CRYPTO:BOOL=ON' "$build/CMakeCache.txt" || skip "built without OpenSSL"

nqn=nqn.2014-08.org.example:guest
hostnqn=nqn.2014-08.org.example:host
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
mib=8

secret() { # HASH BYTES
	python3 -c 'import base64, os, sys, zlib
key = os.urandom(int(sys.argv[2]))
print("DHHC-1:%s:%s:" % (sys.argv[1], base64.b64encode(key + zlib.crc32(key).to_bytes(4, "little")).decode()))' "$@"
}

umask 077
secret 01 32 >"$work/host"
secret 00 48 >"$work/ctrl"
secret 01 32 >"$work/other"
head -c ${mib}M /dev/urandom >"$work/a.raw"

stack() { # HOST-SECRET [CTRL-SECRET]
	echo "nvme-tcp:127.0.0.1:$port,nqn=$nqn,hostnqn=$hostnqn,keep-alive=20,timeout=120,queues=2${1:+,dhchap=$work/$1}${2:+,dhchap-ctrl=$work/$2}"
}

copy() { # FROM TO
	timeout 200 "$build/examples/copy" --quiet --depth 16 --chunk "${chunk:-128}" "$1" "$2" >"$work/copy.log" 2>&1
}

# There and back again.
host_round() { # WHAT SECRET...
	local what=$1
	shift
	copy "file:$work/a.raw" "$(stack "$@")" || { cat "$work/copy.log"; return 1; }
	head -c ${mib}M /dev/zero >"$work/b.raw"
	copy "$(stack "$@")" "file:$work/b.raw" && cmp "$work/a.raw" "$work/b.raw" || return 1
	note "$what: ok"
}

host_refused() { # WORDS SECRET...: a sentence has them, separated by _
	local says=${1//_/ }
	shift
	! copy "file:$work/a.raw" "$(stack "$@")" || return 1
	grep -q "$says" "$work/copy.log" || { cat "$work/copy.log"; return 1; }
	note "refused: $says"
}

# A copy that goes on while the guest's target comes and goes.
host_begin() {
	chunk=4 copy "file:$work/a.raw" "$(stack host ctrl)" &
	child[copy]=$!
}

host_still_copying() {
	kill -0 "${child[copy]}" 2>/dev/null
}

host_end() {
	wait "${child[copy]}" || { cat "$work/copy.log"; return 1; }
	unset "child[copy]"
}

guest_mb=1024
guest_run "-netdev user,id=n0,hostfwd=tcp:127.0.0.1:$port-:4420" "-device virtio-net-pci,netdev=n0" < <(
	echo "mib=$mib nqn=$nqn hostnqn=$hostnqn secret=$(cat "$work/host") ctrl=$(cat "$work/ctrl")"
	cat <<'SCRIPT'
modprobe virtio_net
modprobe nvmet-tcp
ip link set lo up
ip link set eth0 up
ip addr add 10.0.2.15/24 dev eth0
mount -t configfs none /sys/kernel/config
t=/sys/kernel/config/nvmet
head -c $((mib << 20)) /dev/zero >/tmp/disk
mkdir $t/subsystems/$nqn $t/subsystems/$nqn/namespaces/1 $t/ports/1 $t/hosts/$hostnqn
echo 1 >$t/subsystems/$nqn/namespaces/1/buffered_io
echo /tmp/disk >$t/subsystems/$nqn/namespaces/1/device_path
echo 1 >$t/subsystems/$nqn/namespaces/1/enable
echo tcp >$t/ports/1/addr_trtype
echo ipv4 >$t/ports/1/addr_adrfam
echo 0.0.0.0 >$t/ports/1/addr_traddr
echo 4420 >$t/ports/1/addr_trsvcid
echo "$secret" >$t/hosts/$hostnqn/dhchap_key
ln -s $t/hosts/$hostnqn $t/subsystems/$nqn/allowed_hosts/
on() {
	ln -s $t/subsystems/$nqn $t/ports/1/subsystems/$nqn
}
off() {
	rm $t/ports/1/subsystems/$nqn
}
on

rounds() { # HASH GROUP SECRET...
	echo "hmac($1)" >$t/hosts/$hostnqn/dhchap_hash
	echo "$2" >$t/hosts/$hostnqn/dhchap_dhgroup
	round=$1-$2
	shift 2
	host round "$round" "$@" || fail "round with $round"
}
rounds sha256 null host
rounds sha384 ffdhe2048 host
host refused "wants_its_hosts_to_authenticate" "" || fail "without a secret"
host refused "does_not_accept_our_secret" other || fail "with another secret"
host refused "the_target_" host ctrl || fail "a target that has no secret of its own"
echo "$ctrl" >$t/hosts/$hostnqn/dhchap_ctrl_key
rounds sha512 ffdhe3072 host ctrl
rounds sha256 null host ctrl
host refused "does_not_know_the_secret" host other || fail "with another secret of the target"
rounds sha512 ffdhe4096 host ctrl

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
	usleep 900000
	times=$((times + 1))
done
host end || fail "a copy during which the target went away"
[ $times -gt 1 ] || fail "the copy was over after $times times"
host note "the target went away $times times"
! dmesg | grep -E 'BUG:|Oops|blocked for more than' || fail "the guest's kernel reported errors"
SCRIPT
) || fail "the guest's script failed"
