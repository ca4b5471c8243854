# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# The switch is killed while two guests have a TCP stream each way, and started again, over and over. Sourced after
# talk.bash.

# stream FROM TO: sends the file again and again until it is told to end; the other end compares each round of it.
stream() {
	end_do "$1" "socat -U TCP6-LISTEN:7005,reuseaddr SYSTEM:'while [ ! -e /tmp/end ]; do cat /www/data; done' &"
	end_do "$2" "echo 0 >/tmp/rounds
		socat -u TCP:$(end_address "$1"):7005,retry=50,interval=0.1 - | (
			n=0
			while dd bs=$talk_bytes count=1 iflag=fullblock >/tmp/round 2>/dev/null && [ -s /tmp/round ]; do
				cmp /tmp/round /www/data || exit
				n=\$((n + 1))
				echo \$n >/tmp/rounds
			done
			echo whole >/tmp/streamed
		) >/tmp/stream.log 2>&1 &"
}

# Both have received something more, and it was whole.
streams_go_on() {
	local end
	for end in a b; do
		do_in "$end" "before=\$(cat /tmp/rounds); more() { [ \$(cat /tmp/rounds) -gt \$before ]; }
			wait_for 100 'the stream to go on' more || { cat /tmp/stream.log; exit 1; }"
	done
}

streams_end() {
	local end
	for end in a b; do
		do_in "$end" "touch /tmp/end"
	done
	for end in a b; do
		do_in "$end" "wait_for 100 'the end of the stream' test -s /tmp/streamed || { cat /tmp/stream.log; exit 1; }"
		note "guest $end: $(do_in "$end" "cat /tmp/rounds") rounds of $talk_bytes bytes, whole"
	done
}

# round_the_rings FROM TO: more pings than a ring has buffers; none is lost.
round_the_rings() {
	end_do "$1" "ping -A -q -c 300 -w 100 $(end_address "$2") >/tmp/pings || { cat /tmp/pings; exit 1; }
		grep -q ' 30[0-9] packets received' /tmp/pings || { cat /tmp/pings; exit 1; }"
}

# killed_under_traffic TIMES: the guests are a and b.
killed_under_traffic() {
	local times=$1 i
	stream a b
	stream b a
	for i in $(seq "$times"); do
		streams_go_on
		switch_restart
		note "killed $i times"
	done
	streams_go_on
	streams_end
	round_the_rings a b
	round_the_rings b a
}
