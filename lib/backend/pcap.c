/* SPDX-License-Identifier: MIT */
#include "backend/pcap.h"
#include "base/arg.h"

#include <byteswap.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* Nothing but a capture is written over: a path may be a mistake. */
static int pcap_may_overwrite(const struct pcap_store *s)
{
	uint32_t magic = 0;
	ssize_t got = pread(s->fd, &magic, sizeof(magic), 0);

	if (got < 0)
		return vio__fail(errno, "pcap: %s can't be read: %s", s->path, strerror(errno));
	if (got && !pcap_is_ours(magic) && !pcap_is_ours(bswap_32(magic)) && magic != PCAPNG_MAGIC)
		return vio__fail(EEXIST, "pcap: %s is there and is no capture: it is not written over",
				 s->path);
	if (flock(s->fd, LOCK_EX | LOCK_NB))
		return vio__fail(EBUSY, "pcap: %s is being written by another capture", s->path);
	return 0;
}

static int pcap_open_file(struct pcap_store *s)
{
	int flags = s->replay ? O_RDONLY : O_RDWR | O_CREAT, rc;
	struct stat st;

	/* A FIFO must not keep us waiting; it is refused below. */
	s->fd = open(s->path, flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0600);
	if (s->fd < 0)
		return vio__fail(errno, "pcap: %s can't be opened: %s", s->path, strerror(errno));
	if (fstat(s->fd, &st) || !S_ISREG(st.st_mode))
		rc = vio__fail(EINVAL, "pcap: %s is no regular file", s->path);
	else if (s->replay)
		rc = pcap_read_check(s);
	else
		rc = pcap_may_overwrite(s);
	if (!rc && !s->replay)
		rc = pcap_write_begin(s);
	if (rc)
		close(s->fd);
	return rc;
}

static int pcap_mode(struct pcap_store *s, const char *mode)
{
	if (!s->path || !*s->path)
		return vio__fail(EINVAL, "pcap: the file must be named, as in \"pcap:frames.pcap\"");
	s->replay = mode && !strcmp(mode, "replay");
	if (mode && !s->replay && strcmp(mode, "capture"))
		return vio__fail(EINVAL, "pcap: mode=%s, expected capture or replay", mode);
	if (s->loop && !s->replay)
		return vio__fail(EINVAL, "pcap: loop=on is for mode=replay");
	return 0;
}

static int pcap_open(struct vio_backend *b, const char *arg)
{
	struct pcap_store *s = b->priv;
	char *mode = NULL;
	const struct vio__arg args[] = {
		{ "", VIO__ARG_TEXT, &s->path, 0, 0 },
		{ "mode", VIO__ARG_TEXT, &mode, 0, 0 },
		{ "loop", VIO__ARG_BOOL, &s->loop, 0, 0 },
		{ "offloads", VIO__ARG_BOOL, &s->offloads, 0, 0 },
		{ "limit", VIO__ARG_SIZE, &s->limit, 4096, 0 },
	};
	int rc = vio__args("pcap", arg, args, VIO_ARRAY_SIZE(args));

	rc = rc ? rc : pcap_mode(s, mode);
	rc = rc ? rc : pcap_open_file(s);
	free(mode);
	if (rc)
		free(s->path);
	else
		pthread_mutex_init(&s->lock, NULL);
	return rc;
}

static void pcap_close(struct vio_backend *b)
{
	struct pcap_store *s = b->priv;

	close(s->fd);
	free(s->path);
	pthread_mutex_destroy(&s->lock);
}

static int pcap_info(struct vio_backend *b, struct vio_backend_info *i)
{
	const struct pcap_store *s = b->priv;

	i->ops = 1u << VIO_OP_SEND | 1u << VIO_OP_RECV;
	i->pairs = 1;
	if (s->offloads)
		i->offloads = VIO_PACKET_CSUM | VIO_PACKET_CSUM_OK | VIO_PACKET_GSO | VIO_PACKET_ECN;
	return 0;
}

static void pcap_stats(struct vio_backend *b,
		       void (*each)(void *ctx, const char *layer, const char *counter, uint64_t value),
		       void *ctx)
{
	static const char *const names[PCAP_COUNTERS] = {
		[PCAP_SENT] = "sent",
		[PCAP_SENT_BYTES] = "sent_bytes",
		[PCAP_RECEIVED] = "received",
		[PCAP_RECEIVED_BYTES] = "received_bytes",
		[PCAP_DROP_FULL] = "dropped_full",
		[PCAP_DROP_LIMIT] = "dropped_limit",
		[PCAP_DROP_REPLAY] = "dropped_replay",
		[PCAP_DROP_MALFORMED] = "dropped_malformed",
		[PCAP_DROP_TRUNCATED] = "dropped_truncated",
		[PCAP_DROP_TOO_LONG] = "dropped_too_long",
	};
	struct pcap_store *s = b->priv;

	for (unsigned i = 0; i < PCAP_COUNTERS; i++)
		each(ctx, "pcap", names[i], __atomic_load_n(&s->count[i], __ATOMIC_RELAXED));
}

const struct vio_backend_type vio__backend_pcap = {
	.sz = sizeof(struct vio_backend_type),
	.name = "pcap",
	.help = "FILE[,mode=capture|replay][,loop=on|off][,offloads=on|off][,limit=SIZE]: a capture file",
	.priv = sizeof(struct pcap_store),
	.lane_priv = sizeof(struct pcap_lane),
	.open = pcap_open,
	.close = pcap_close,
	.info = pcap_info,
	.lane_open = pcap_lane_open,
	.lane_close = pcap_lane_close,
	.room = pcap_lane_room,
	.submit = pcap_lane_submit,
	.reap = pcap_lane_reap,
	.stats = pcap_stats,
	.recall = pcap_lane_recall,
};
