/* SPDX-License-Identifier: MIT */
/* Asymmetric namespace access: the states of groups, at the ports that hosts come in by. */
#include "target.h"

#include <stdio.h>
#include <string.h>

static const struct {
	const char *word;
	enum vio_nvme_ana state;
} words[] = {
	{ "optimized", VIO_NVME_ANA_OPTIMIZED },
	{ "non-optimized", VIO_NVME_ANA_NON_OPTIMIZED },
	{ "inaccessible", VIO_NVME_ANA_INACCESSIBLE },
	{ "persistent-loss", VIO_NVME_ANA_PERSISTENT_LOSS },
	{ "change", VIO_NVME_ANA_CHANGE },
};
#define WORDS (sizeof(words) / sizeof(words[0]))

void access_note_group(struct target *t, unsigned group)
{
	if (group <= MAX_GROUPS)
		t->groups[group] = true;
}

void access_note_port(struct target *t, unsigned port)
{
	for (unsigned i = 0; i < t->nports; i++)
		if (t->ports[i] == port)
			return;
	if (t->nports < MAX_PORTS)
		t->ports[t->nports++] = (uint16_t)port;
}

const char *access_set(struct target *t, const char *text)
{
	unsigned group, port = 0, i = 0;
	char word[32], rest;
	int n = sscanf(text, "%u %31s %u %c", &group, word, &port, &rest);

	if (n < 2 || n > 3 || port > UINT16_MAX)
		return "expected GROUP STATE [PORT]";
	while (i < WORDS && strcmp(word, words[i].word))
		i++;
	if (i == WORDS)
		return "expected optimized, non-optimized, inaccessible, persistent-loss or change";
	if (vio_nvme_ana_set(t->subsystem, (uint16_t)port, group, words[i].state))
		return vio_errmsg();
	access_note_group(t, group);
	if (port)
		access_note_port(t, port);
	return NULL;
}

static const char *state_word(int state)
{
	for (unsigned i = 0; i < WORDS; i++)
		if ((int)words[i].state == state)
			return words[i].word;
	return "?";
}

void access_show(struct target *t, char *to, size_t size)
{
	size_t at = 0;

	*to = 0;
	for (unsigned g = 1; g <= MAX_GROUPS; g++) {
		if (!t->groups[g])
			continue;
		for (unsigned i = 0; i < t->nports && at < size; i++) {
			int state = vio_nvme_ana_get(t->subsystem, t->ports[i], g);

			at += (size_t)snprintf(to + at, size - at, "%sgroup %u port %u %s", at ? ", " : "", g,
					       t->ports[i], state_word(state));
		}
	}
}

int access_open(struct target *t)
{
	if (t->nsockets)
		access_note_port(t, 1);
	for (unsigned i = 0; i < t->nstates; i++) {
		const char *wrong = access_set(t, t->states[i]);

		if (wrong) {
			fprintf(stderr, "nvme-target: --ana '%s': %s\n", t->states[i], wrong);
			return -1;
		}
	}
	return 0;
}
