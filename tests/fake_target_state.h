/* SPDX-License-Identifier: MIT */
/* What the fake target is told to be, and to lie about: see fake_target.h. */
#ifndef TESTS_FAKE_TARGET_STATE_H
#define TESTS_FAKE_TARGET_STATE_H

#include "wire/nvme_dhchap.h"
#include "wire/nvme_tcp.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define TARGET_NQN "nqn.2014-08.org.example:fake"
#define TARGET_SIZE (1u << 20)
#define TARGET_CONNS 1024
#define TARGET_GROUP 5u /* of the namespace, if it reports asymmetric access */
#define TARGET_FN static __attribute__((unused))

enum target_lie {
	HONEST,
	/* in the ICResp */
	LIE_IC_PFV,
	LIE_IC_ALIGN,
	LIE_IC_MAXH2C,
	LIE_IC_DIGEST,
	LIE_IC_LENGTH,
	LIE_IC_TYPE,
	LIE_IC_SILENT,
	/* about the controller and the namespace */
	LIE_CONNECT,
	LIE_NEVER_READY,
	LIE_FAILED,
	LIE_CAPSULE,
	LIE_OFFSET,
	LIE_NO_SGLS,
	LIE_DISCOVERY,
	LIE_ONE_ENTRY,
	LIE_SHIFT_0,
	LIE_SHIFT_60,
	LIE_NO_BLOCKS,
	LIE_HUGE,
	LIE_METADATA,
	LIE_IDENTIFY_SHORT,
	LIE_AUTH,
	LIE_ANA_NO_GROUP,
	LIE_ANA_ENDLESS,
	LIE_ANA_LONG,
	LIE_ANA_SHORT,
	LIE_ANA_REFUSED,
	LIE_ANA_STATE,
	/* about I/O: reads */
	LIE_R2T_FOR_READ,
	LIE_DATA_BEYOND,
	LIE_DATA_TWICE,
	LIE_DATA_BACKWARDS,
	LIE_DATA_STRANGE,
	LIE_DATA_NONE,
	LIE_SUCCESS_EARLY,
	LIE_DATA_PLEN,
	LIE_DATA_PDO,
	LIE_DATA_FLAGS,
	LIE_DATA_EMPTY,
	LIE_HEADER_DIGEST,
	LIE_DATA_DIGEST,
	/* writes */
	LIE_R2T_RANGE,
	LIE_R2T_TWICE,
	LIE_R2T_STRANGE,
	LIE_R2T_WRAP,
	LIE_R2T_NONE,
	LIE_DATA_FOR_WRITE,
	/* any */
	LIE_CQE_STRANGE,
	LIE_CQE_TWICE,
	LIE_HLEN,
	LIE_PLEN,
	LIE_PLEN_HUGE,
	LIE_TYPE,
	LIE_SECOND_IC,
	LIE_TERM,
	LIE_HANG_UP,
	LIE_SILENT,
};

struct target {
	int listen_fd;
	uint16_t port;
	pthread_t acceptor, thread[TARGET_CONNS];
	int fd[TARGET_CONNS]; /* under lock; -1: over */
	unsigned conns;
	pthread_mutex_t lock;
	bool stop;
	char *disk;

	/* What it says; set before it is asked. */
	unsigned shift, mqes, mdts;
	uint32_t ioccsz, max_h2c;
	uint8_t cpda, vwc, uuid[16];
	uint16_t oncs;
	uint64_t blocks;
	unsigned c2h_max, r2t_max; /* bytes of a PDU's data, of an R2T; 0: all */
	bool success;		   /* says so with the last data */
	unsigned ana_before;	   /* groups that the namespace is not in */

	/* Since it runs. */
	int lie;  /* enum target_lie */
	int lies; /* how often; -1: always */
	int fail; /* a status that I/O is answered with, so many times: */
	int fails;
	int closed; /* connections are closed at once */
	int hold;   /* I/O is taken, and not answered */
	int ana;    /* enum nvme_ana_state; 0: it doesn't report */
	unsigned ana_logs, writes;
	unsigned io, resets, leaves, keep_alives, flushes;
	uint32_t csts;
	bool auth, chap_io; /* it wants hosts to authenticate; its lies are about I/O queues only */
	int chap_lie;	    /* enum chap_lie */
	unsigned convinced; /* hosts that it has proved itself to */
	int event_fd;	    /* the connection that waits for an event, or -1 */
	uint16_t event_cid;
	bool event_hdgst;
};

/* A command that came while another's data was waited for. */
struct target_later {
	struct target_later *next;
	struct nvme_cmd cmd;
	uint32_t n;
	_Alignas(16) char data[];
};

struct target_conn {
	struct target *t;
	struct target_later *first, *last;
	int fd;
	unsigned index;
	bool hdgst, ddgst, admin;
	struct dhchap chap;
	uint8_t said, heard[32];
	bool right;
	_Alignas(16) char data[TARGET_SIZE];
};

#define TARGET_GET(field) __atomic_load_n(&(field), __ATOMIC_SEQ_CST)
#define TARGET_SET(field, v) __atomic_store_n(&(field), v, __ATOMIC_SEQ_CST)
#define TARGET_ADD(field) __atomic_add_fetch(&(field), 1, __ATOMIC_SEQ_CST)

/* True, once, if that is the lie to be told now. */
static bool target_lies(struct target *t, enum target_lie lie)
{
	int left;

	if (TARGET_GET(t->lie) != (int)lie)
		return false;
	left = TARGET_GET(t->lies);
	if (!left)
		return false;
	if (left > 0)
		TARGET_SET(t->lies, left - 1);
	return true;
}

#endif
