# SPDX-License-Identifier: MIT
# Functions for scripts that run in a guest (busybox sh). A failing command ends the script.
set -eu

fail() {
	echo "guest: $*"
	exit 1
}

# host FUNCTION [ARG...]: has the harness run host_FUNCTION on the host; its status is this one's.
host() {
	echo "HOST $*"
	read -r reply
	return "$reply"
}

expect_eq() { # WHAT WANTED GOT
	[ "$2" = "$3" ] || fail "$1: expected '$2', got '$3'"
}

# wait_for SECONDS WHAT COMMAND...: until COMMAND succeeds. For states that nothing announces to a shell. Counts its
# own naps: the clock of an emulated guest leaps when its host was paused.
wait_for() {
	naps=$(($1 * 20)) what=$2
	shift 2
	until "$@"; do
		[ $((naps -= 1)) -gt 0 ] || fail "waited in vain for $what"
		usleep 50000
	done
}

# partition DISK [INFIX]: one over the whole disk, DISK1 or DISKp1.
partition() {
	printf 'n\np\n1\n\n\nw\n' | fdisk "$1" >/tmp/fdisk.log 2>&1 || { cat /tmp/fdisk.log >&2; return 1; }
	wait_for 10 "the partition $1${2-}1" test -b "$1${2-}1"
}

# make_tree DIR: files of all sorts of lengths from none to 4 MiB, and SUMS to check them by.
make_tree() {
	head -c 65536 /dev/urandom >/tmp/blob
	i=0
	while [ $i -lt 150 ]; do
		mkdir -p "$1/$((i % 17))"
		head -c $(((i * i * 37 + i) % 65000)) /tmp/blob >"$1/$((i % 17))/$i"
		echo $i >>"$1/$((i % 17))/$i"
		i=$((i + 1))
	done
	: >"$1/empty"
	head -c 4194301 /dev/urandom >"$1/big"
	(cd "$1" && find . -type f ! -name SUMS -exec sha256sum {} + >SUMS)
}

check_tree() {
	(cd "$1" && sha256sum -c SUMS >/tmp/sums.log) || { grep -v ': OK$' /tmp/sums.log | head; fail "files differ under $1"; }
}

# The kernel must not have seen a single failed request.
expect_clean_dmesg() {
	! dmesg | grep -E 'I/O error|Buffer I/O|EXT4-fs error|JBD2.*error|blocked for more than|BUG:|Oops' ||
		fail "the guest's kernel reported errors"
}

# has_feature DISK BIT: whether the virtio feature was negotiated.
has_feature() {
	[ "$(cut -c$(($2 + 1)) "/sys/block/$1/device/features")" = 1 ]
}
VIRTIO_F_RING_PACKED=34

# has_net_feature INTERFACE BIT
has_net_feature() {
	[ "$(cut -c$(($2 + 1)) "/sys/class/net/$1/device/features")" = 1 ]
}
VIRTIO_NET_F_GUEST_CSUM=1 VIRTIO_NET_F_GUEST_TSO4=7 VIRTIO_NET_F_MRG_RXBUF=15
