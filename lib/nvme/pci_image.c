/* SPDX-License-Identifier: MIT */
/* What is written of a controller, and read again without trust. */
#include "nvme/pci_image.h"

#include "nvme/pci.h"

#define IMAGE_ADMIN_ENTRIES 4096u

struct npci_image *npci_image_new(unsigned queues, unsigned answers)
{
	struct npci_image *im = calloc(1, sizeof(*im));

	if (!im)
		return NULL;
	im->cq = calloc(queues + 1, sizeof(*im->cq));
	im->sq = calloc(queues + 1, sizeof(*im->sq));
	im->answers = calloc(answers + 1, sizeof(*im->answers));
	if (im->cq && im->sq && im->answers)
		return im;
	npci_image_free(im);
	return NULL;
}

void npci_image_free(struct npci_image *im)
{
	if (!im)
		return;
	free(im->cq);
	free(im->sq);
	free(im->answers);
	free(im);
}

static void put_features(const struct nv_features *f, struct pci_out *o)
{
	pci_put(o, f->arbitration, 4);
	pci_put(o, f->power, 4);
	pci_put(o, f->temp_over, 4);
	pci_put(o, f->temp_under, 4);
	pci_put(o, f->recovery, 4);
	pci_put(o, f->atomicity, 4);
	pci_put(o, f->events, 4);
	pci_put(o, f->write_cache, 1);
	pci_put(o, f->queues, 2);
	pci_put(o, f->coalescing, 4);
	pci_put_bytes(o, f->not_coalesced, sizeof(f->not_coalesced));
}

static void put_cq(const struct npci_image_cq *q, struct pci_out *o)
{
	pci_put(o, q->base, 8);
	pci_put(o, q->size, 4);
	pci_put(o, q->tail, 4);
	pci_put(o, q->bell, 4);
	pci_put(o, q->qid, 2);
	pci_put(o, q->vector, 2);
	pci_put(o, q->phase, 1);
	pci_put(o, q->interrupts, 1);
	pci_put(o, q->broken, 1);
}

static void put_sq(const struct npci_image_sq *q, struct pci_out *o)
{
	pci_put(o, q->base, 8);
	pci_put(o, q->size, 4);
	pci_put(o, q->head, 4);
	pci_put(o, q->bell, 4);
	pci_put(o, q->qid, 2);
	pci_put(o, q->cqid, 2);
	pci_put(o, q->broken, 1);
}

static void put_answer(const struct npci_image_answer *a, struct pci_out *o)
{
	pci_put(o, a->result, 8);
	pci_put(o, a->sqid, 2);
	pci_put(o, a->cid, 2);
	pci_put(o, a->status, 2);
}

static void put_queues(const struct npci_image *im, struct pci_out *o)
{
	pci_put(o, im->ncqs, 2);
	for (unsigned i = 0; i < im->ncqs; i++)
		put_cq(&im->cq[i], o);
	pci_put(o, im->nsqs, 2);
	for (unsigned i = 0; i < im->nsqs; i++)
		put_sq(&im->sq[i], o);
	pci_put(o, im->naers, 1);
	for (unsigned i = 0; i < im->naers; i++)
		pci_put(o, im->aers[i], 2);
	pci_put(o, im->nanswers, 4);
	for (unsigned i = 0; i < im->nanswers; i++)
		put_answer(&im->answers[i], o);
}

void npci_image_put(const struct npci_image *im, struct pci_out *o)
{
	pci_put_bytes(o, im->nqn, sizeof(im->nqn));
	pci_put_bytes(o, im->serial, sizeof(im->serial));
	pci_put(o, im->cntlid, 2);
	pci_put(o, im->queues, 2);
	pci_put(o, im->cc, 4);
	pci_put(o, im->csts, 4);
	pci_put(o, im->aqa, 4);
	pci_put(o, im->asq, 8);
	pci_put(o, im->acq, 8);
	pci_put(o, im->up, 1);
	pci_put(o, im->kato, 4);
	pci_put(o, im->events_masked, 4);
	pci_put_bytes(o, im->hostid, sizeof(im->hostid));
	put_features(&im->f, o);
	pci_put(o, im->shadow_at, 8);
	pci_put(o, im->event_at, 8);
	put_queues(im, o);
}

static void take_features(struct nv_features *f, struct pci_in *in)
{
	f->arbitration = (uint32_t)pci_take(in, 4);
	f->power = (uint32_t)pci_take(in, 4);
	f->temp_over = (uint32_t)pci_take(in, 4);
	f->temp_under = (uint32_t)pci_take(in, 4);
	f->recovery = (uint32_t)pci_take(in, 4);
	f->atomicity = (uint32_t)pci_take(in, 4);
	f->events = (uint32_t)pci_take(in, 4);
	f->write_cache = pci_take(in, 1) & 1;
	f->queues = (uint16_t)pci_take(in, 2);
	f->coalescing = (uint32_t)pci_take(in, 4);
	pci_take_bytes(in, f->not_coalesced, sizeof(f->not_coalesced));
}

static void take_cq(struct npci_image_cq *q, struct pci_in *in)
{
	q->base = pci_take(in, 8);
	q->size = (uint32_t)pci_take(in, 4);
	q->tail = (uint32_t)pci_take(in, 4);
	q->bell = (uint32_t)pci_take(in, 4);
	q->qid = (uint16_t)pci_take(in, 2);
	q->vector = (uint16_t)pci_take(in, 2);
	q->phase = pci_take(in, 1) & 1;
	q->interrupts = pci_take(in, 1) & 1;
	q->broken = pci_take(in, 1) & 1;
}

static void take_sq(struct npci_image_sq *q, struct pci_in *in)
{
	q->base = pci_take(in, 8);
	q->size = (uint32_t)pci_take(in, 4);
	q->head = (uint32_t)pci_take(in, 4);
	q->bell = (uint32_t)pci_take(in, 4);
	q->qid = (uint16_t)pci_take(in, 2);
	q->cqid = (uint16_t)pci_take(in, 2);
	q->broken = pci_take(in, 1) & 1;
}

static void take_answer(struct npci_image_answer *a, struct pci_in *in)
{
	a->result = pci_take(in, 8);
	a->sqid = (uint16_t)pci_take(in, 2);
	a->cid = (uint16_t)pci_take(in, 2);
	a->status = (uint16_t)pci_take(in, 2) & (uint16_t)~1u;
}

static int image_wrong(const char *what, unsigned value)
{
	return vio__fail(EINVAL, "nvme: the controller's state can't be: %s (%u)", what, value);
}

static bool ring_ok(uint64_t base, uint32_t size, uint16_t qid)
{
	return base % NRING_PAGE == 0 && size >= 2 && size <= (qid ? NPCI_ENTRIES : IMAGE_ADMIN_ENTRIES);
}

static const struct npci_image_cq *image_cq(const struct npci_image *im, uint16_t qid, unsigned before)
{
	for (unsigned i = 0; i < before; i++)
		if (im->cq[i].qid == qid)
			return &im->cq[i];
	return NULL;
}

static const struct npci_image_sq *image_sq(const struct npci_image *im, uint16_t qid, unsigned before)
{
	for (unsigned i = 0; i < before; i++)
		if (im->sq[i].qid == qid)
			return &im->sq[i];
	return NULL;
}

static int take_cqs(struct npci_image *im, struct pci_in *in, unsigned queues, unsigned vectors)
{
	unsigned n = (unsigned)pci_take(in, 2);

	if (n > queues + 1)
		return image_wrong("so many completion queues", n);
	for (; im->ncqs < n; im->ncqs++) {
		struct npci_image_cq *q = &im->cq[im->ncqs];

		take_cq(q, in);
		if (q->qid > queues || image_cq(im, q->qid, im->ncqs))
			return image_wrong("a completion queue with this id", q->qid);
		if (!ring_ok(q->base, q->size, q->qid) || q->tail >= q->size || q->bell >= q->size ||
		    q->vector >= vectors)
			return image_wrong("where this completion queue stands", q->qid);
	}
	return 0;
}

static int take_sqs(struct npci_image *im, struct pci_in *in, unsigned queues)
{
	unsigned n = (unsigned)pci_take(in, 2);

	if (n > queues + 1)
		return image_wrong("so many submission queues", n);
	for (; im->nsqs < n; im->nsqs++) {
		struct npci_image_sq *q = &im->sq[im->nsqs];

		take_sq(q, in);
		if (q->qid > queues || image_sq(im, q->qid, im->nsqs) || !q->qid != !q->cqid ||
		    !image_cq(im, q->cqid, im->ncqs))
			return image_wrong("a submission queue with this id", q->qid);
		if (!ring_ok(q->base, q->size, q->qid) || q->head >= q->size || q->bell >= q->size)
			return image_wrong("where this submission queue stands", q->qid);
	}
	return 0;
}

static int take_events(struct npci_image *im, struct pci_in *in)
{
	unsigned n = (unsigned)pci_take(in, 1);

	if (n > NV_AERS)
		return image_wrong("so many commands that wait for events", n);
	for (; im->naers < n; im->naers++)
		im->aers[im->naers] = (uint16_t)pci_take(in, 2);
	return 0;
}

static int take_answers(struct npci_image *im, struct pci_in *in)
{
	uint32_t n = (uint32_t)pci_take(in, 4);
	struct npci_image_answer *answers;

	if (n > in->left / 14)
		return image_wrong("so many answers", n);
	answers = calloc(n + 1, sizeof(*answers));
	if (!answers)
		return vio__fail(ENOMEM, "nvme: out of memory for %u answers", n);
	free(im->answers);
	im->answers = answers;
	for (; im->nanswers < n; im->nanswers++) {
		take_answer(&answers[im->nanswers], in);
		if (!image_sq(im, answers[im->nanswers].sqid, im->nsqs))
			return image_wrong("an answer of this queue", answers[im->nanswers].sqid);
	}
	return 0;
}

static void take_head(struct npci_image *im, struct pci_in *in)
{
	pci_take_bytes(in, im->nqn, sizeof(im->nqn));
	pci_take_bytes(in, im->serial, sizeof(im->serial));
	im->cntlid = (uint16_t)pci_take(in, 2);
	im->queues = (uint16_t)pci_take(in, 2);
	im->cc = (uint32_t)pci_take(in, 4);
	im->csts = (uint32_t)pci_take(in, 4) & (NV_CSTS_RDY | NV_CSTS_CFS | NV_CSTS_SHUT);
	im->aqa = (uint32_t)pci_take(in, 4) & 0x0fff0fff;
	im->asq = pci_take(in, 8);
	im->acq = pci_take(in, 8);
	im->up = pci_take(in, 1) & 1;
	im->kato = (uint32_t)pci_take(in, 4);
	im->events_masked = (uint32_t)pci_take(in, 4) & ((1u << NV_EVENTS) - 1);
	pci_take_bytes(in, im->hostid, sizeof(im->hostid));
	take_features(&im->f, in);
	im->shadow_at = pci_take(in, 8);
	im->event_at = pci_take(in, 8);
}

/* A controller that is on has its admin queue, one that is not has none. */
static int image_check(const struct npci_image *im, const struct pci_in *in, unsigned queues)
{
	bool admin = im->nsqs && !im->sq[0].qid && im->ncqs && !im->cq[0].qid;

	if (in->failed || in->left)
		return image_wrong("it ends too early, or too late", (unsigned)in->left);
	if (im->queues != queues)
		return image_wrong("expected another number of queues", im->queues);
	if (!im->up ? im->nsqs || im->ncqs || im->naers || im->nanswers
		    : !admin || !(im->cc & NV_CC_EN) || !(im->csts & NV_CSTS_RDY))
		return image_wrong("its admin queue", im->nsqs);
	if (im->up && (!im->f.queues || im->f.queues > queues))
		return image_wrong("so many queues were granted", im->f.queues);
	if ((im->shadow_at | im->event_at) % NRING_PAGE || (im->event_at && !im->shadow_at))
		return image_wrong("where its shadow doorbells are", 0);
	return 0;
}

int npci_image_take(struct npci_image **out, struct pci_in *in, unsigned queues, unsigned vectors)
{
	struct npci_image *im = npci_image_new(queues, 0);
	int rc;

	*out = NULL;
	if (!im)
		return vio__fail(ENOMEM, "nvme: out of memory for a controller's state");
	take_head(im, in);
	rc = take_cqs(im, in, queues, vectors);
	rc = rc ? rc : take_sqs(im, in, queues);
	rc = rc ? rc : take_events(im, in);
	rc = rc ? rc : take_answers(im, in);
	rc = rc ? rc : image_check(im, in, queues);
	if (rc)
		npci_image_free(im);
	else
		*out = im;
	return rc;
}
