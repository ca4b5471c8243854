/* SPDX-License-Identifier: MIT */
/* The Internet checksum in any pieces is the one that RFC 1071 defines byte by byte; and a frame's is put
 * where it asks. */
#include "frames.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

/* As the definition reads. */
static uint16_t sum_defined(const uint8_t *p, size_t len)
{
	uint32_t sum = 0;
	uint8_t out[2];
	uint16_t v;

	for (size_t i = 0; i < len; i++) {
		sum += i & 1 ? p[i] : (uint32_t)p[i] << 8;
		sum = (sum & 0xffff) + (sum >> 16);
	}
	packet_put16(out, (uint16_t)~sum);
	memcpy(&v, out, 2);
	return v;
}

static uint8_t bytes[70000];

static void fill(unsigned seed)
{
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)((seed = seed * 1664525u + 1013904223u) >> 24);
}

static unsigned cut_into(struct iovec *iov, unsigned most, uint8_t *p, size_t len, unsigned step)
{
	unsigned n = 0;

	for (; len && n + 1 < most; n++) {
		size_t piece = VIO_MIN(len, (size_t)(n * step % 37));

		iov[n] = (struct iovec){ p, piece };
		p += piece;
		len -= piece;
	}
	iov[n++] = (struct iovec){ p, len };
	return n;
}

static void any_pieces(void **state)
{
	struct iovec iov[64];

	(void)state;
	fill(1);
	for (unsigned step = 1; step < 37; step++)
		for (unsigned len = 0; len < 700; len += 1 + step % 5) {
			unsigned n = cut_into(iov, 64, bytes + step % 8, len, step);
			unsigned offset = VIO_MIN(len, step * 3);

			assert_int_equal(vio__packet_fold(vio__packet_sum(iov, n, 0, len)),
					 sum_defined(bytes + step % 8, len));
			assert_int_equal(vio__packet_fold(vio__packet_sum(iov, n, offset, len - offset)),
					 sum_defined(bytes + step % 8 + offset, len - offset));
		}
}

static void carries(void **state)
{
	struct iovec iov = { bytes, 0 };

	(void)state;
	memset(bytes, 0xff, sizeof(bytes));
	for (iov.iov_len = 0; iov.iov_len < sizeof(bytes); iov.iov_len = iov.iov_len * 2 + 1)
		assert_int_equal(vio__packet_fold(vio__packet_sum(&iov, 1, 0, iov.iov_len)),
				 sum_defined(bytes, iov.iov_len));
}

/* Asking for more than there is ends where it ends. */
static void beyond_the_end(void **state)
{
	struct iovec iov[2] = { { bytes, 3 }, { bytes + 3, 4 } };

	(void)state;
	fill(2);
	assert_int_equal(vio__packet_fold(vio__packet_sum(iov, 2, 0, 1000)), sum_defined(bytes, 7));
	assert_int_equal(vio__packet_sum(iov, 2, 8, 1), 0);
	assert_int_equal(vio__packet_sum(NULL, 0, 0, 9), 0);
}

static void put_where_asked(void **state)
{
	static struct frame f;
	struct iovec iov[3];
	struct vio_offload o = { 0 };
	uint16_t was, is;

	(void)state;
	for (unsigned cut = 15; cut < 60; cut++) {
		frame_eth(&f);
		frame_ipv4(&f, "10.0.0.1", "10.0.0.2", IPPROTO_TCP, 0);
		frame_tcp(&f, 1, 2, 0x10, 0);
		frame_payload(&f, 21);
		frame_end(&f);
		o.csum_start = (uint16_t)f.l4;
		o.csum_offset = (uint16_t)frame_pseudo(&f, IPPROTO_TCP);
		was = sum_defined(f.b + f.l4, f.len - f.l4);
		iov[0] = (struct iovec){ f.b, cut };
		iov[1] = (struct iovec){ f.b + cut, 1 };
		iov[2] = (struct iovec){ f.b + cut + 1, FRAME_ROOM - cut - 1 };
		assert_int_equal(vio__packet_sum_put(iov, 3, f.len, &o), 0);
		memcpy(&is, f.b + f.l4 + o.csum_offset, 2);
		assert_int_equal(is, was);
	}
}

/* A sum of 0 would say that there is none. */
static void never_zero(void **state)
{
	uint8_t b[20] = { [14] = 0xff, [15] = 0xff };
	struct iovec iov = { b, sizeof(b) };
	const struct vio_offload o = { .csum_start = 14, .csum_offset = 2 };

	(void)state;
	assert_int_equal(vio__packet_sum_put(&iov, 1, sizeof(b), &o), 0);
	assert_true(b[16] == 0xff && b[17] == 0xff);
}

static void refuses_what_is_outside(void **state)
{
	uint8_t b[64] = { 0 };
	struct iovec iov[2] = { { b, 30 }, { b + 30, 34 } };
	const struct vio_offload bad[] = {
		{ 0, 0, 63, 0 }, { 0, 0, 0, 63 }, { 0, 0, 65535, 65535 }, { 0, 0, 40, 23 }
	};

	(void)state;
	for (unsigned i = 0; i < VIO_ARRAY_SIZE(bad); i++)
		assert_int_equal(vio__packet_sum_put(iov, 2, 64, &bad[i]), -EINVAL);
	assert_int_equal(vio__packet_sum_put(iov, 2, 65, &(struct vio_offload){ 0, 0, 14, 0 }), -EINVAL);
	assert_int_equal(vio__packet_sum_put(iov, 2, 64, &(struct vio_offload){ 0, 0, 62, 0 }), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_pieces),	  cmocka_unit_test(carries),
		cmocka_unit_test(beyond_the_end), cmocka_unit_test(put_where_asked),
		cmocka_unit_test(never_zero),	  cmocka_unit_test(refuses_what_is_outside),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
