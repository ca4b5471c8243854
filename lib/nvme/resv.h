/* SPDX-License-Identifier: MIT */
/*
 * Reservations of a namespace (NVMe Base 2.0, 8.19), from within. resv.c has the commands,
 * resv_change.c what they do to the state, resv_report.c shows it, resv_file.c keeps it
 * through a restart, resv_notify.c tells the hosts that it concerns.
 *
 * A host is its identifier; controllers that have the same are one host's. A command changes
 * a copy, which is kept in the file if it has to be, and only then becomes the state.
 */
#ifndef VIO_NVME_RESV_H
#define VIO_NVME_RESV_H

#include "nvme/nv.h"

#define RESV_HOSTS 128u /* registrants of a namespace */
#define RESV_NOBODY RESV_HOSTS

struct resv_host {
	uint8_t id[16];
	uint64_t key;
};

struct resv_state {
	uint32_t gen;
	uint8_t type;	 /* enum nvme_resv_rtype; 0: there is none */
	bool persists;	 /* through power loss */
	uint16_t n;	 /* registrants */
	uint16_t holder; /* which of them; RESV_NOBODY where all are, or none */
	uint16_t reserved[3];
	struct resv_host host[RESV_HOSTS];
};

/* Hosts to be told, of what: a bit for each type of notification. */
struct resv_notes {
	unsigned n;
	struct {
		uint8_t id[16];
		uint8_t types;
	} to[RESV_HOSTS];
};

#define RESV_NOTE_REGISTRATION_PREEMPTED (1u << NVME_RESV_NOTIFY_RNLPT_REGISTRATION_PREEMPTED)
#define RESV_NOTE_RELEASED (1u << NVME_RESV_NOTIFY_RNLPT_RESERVATION_RELEASED)
#define RESV_NOTE_PREEMPTED (1u << NVME_RESV_NOTIFY_RNLPT_RESERVATION_PREEMPTED)

/* A command, with its data. */
struct resv_cmd {
	const uint8_t *host;
	uint32_t cdw10;
	uint64_t key, other; /* the current one, and the second that some have */
};

/* resv_change.c: a status; the state counts only if it is 0. */
uint16_t resv_register(struct resv_state *s, const struct resv_cmd *c, struct resv_notes *notes);
uint16_t resv_acquire(struct resv_state *s, const struct resv_cmd *c, struct resv_notes *notes);
uint16_t resv_release(struct resv_state *s, const struct resv_cmd *c, struct resv_notes *notes);
unsigned resv_find(const struct resv_state *s, const uint8_t id[16]); /* RESV_NOBODY: not registered */
bool resv_holds(const struct resv_state *s, unsigned host);
bool resv_for_all(uint8_t type); /* all registrants hold it */
/* What a host may do; host: as resv_find says. */
bool resv_may(const struct resv_state *s, unsigned host, bool write);

/* resv_file.c: -errno after a sentence. */
int resv_load(const char *path, struct resv_state *s);
int resv_save(const char *path, const struct resv_state *s);

/* resv_notify.c: takes the subsystem's lock. */
void resv_tell(struct nv_ns *ns, const struct resv_notes *notes);

/* resv_report.c */
uint16_t resv_report(struct nv_ns *ns, struct nvme_req *r);

struct nv_resv {
	pthread_mutex_t lock; /* after the subsystem's */
	char *path;	      /* NULL: nothing outlives the process */
	struct resv_state now;
};

#endif
